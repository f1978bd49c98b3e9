"""Context model against golden vectors and the reference implementation; invalid tables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_codec
from numpy.typing import NDArray

from thumbstream.codec.iterative.codes import CodeEncoder, decode_codes
from thumbstream.codec.iterative.context import Context, ContextModel, half_planes
from thumbstream.codec.tensors import Grid
from thumbstream.errors import ArtifactError

Tables = dict[str, NDArray[Any]]
GOLDEN = codec_vectors.read("context-model")
DTYPES = {
    "w1": np.int8,
    "b1": np.int16,
    "w2": np.int8,
    "b2": np.int32,
    "probability": np.uint16,
}
EXACT = 1 << 24
"""Sums must stay below it; float32 holds every integer up to it."""


def golden_tables() -> Tables:
    return {name: np.array(table, DTYPES[name]) for name, table in GOLDEN["tables"].items()}


def random_tables(
    seed: int, *, iterations: int = 3, planes: int = 2, hidden: int = 3, extreme: bool = False
) -> Tables:
    """Random weights of the published types; ``extreme``: only the largest ones."""
    rng = np.random.default_rng(seed)
    shapes = {
        "w1": (iterations, 3, planes, 9, hidden),
        "b1": (iterations, 2 * planes, hidden),
        "w2": (iterations, 2 * planes, hidden),
        "b2": (iterations, 2 * planes),
    }
    spans = {"w1": (-9, 9), "b1": (-60, 200), "w2": (-25, 25), "b2": (-4000, 4000)}
    if extreme:
        spans = {"w1": (-128, 127), "b1": (-(2**15), 2**15 - 1), "w2": (-128, 127), "b2": (0, 0)}
    tables: Tables = {}
    for name, shape in shapes.items():
        low, high = spans[name]
        values = rng.choice([low, high], shape) if extreme else rng.integers(low, high + 1, shape)
        tables[name] = values.astype(DTYPES[name])
    if extreme:  # b2 uses up what is left below 2^24, with either sign
        left = EXACT - 1 - 255 * np.abs(tables["w2"].astype(int)).sum(-1)
        tables["b2"] = (left.min() * rng.choice([-1, 1], shapes["b2"])).astype(np.int32)
    tables["probability"] = rng.integers(1, 65536, 2048).astype(np.uint16)
    return tables


def random_codes(model: ContextModel, grid: Grid, seed: int) -> NDArray[np.float32]:
    shape = (model.iterations, model.planes, grid.rows, grid.columns)
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), shape)


def write(codes: NDArray[np.float32], model: ContextModel) -> bytes:
    writer = CodeEncoder(model, Grid(*codes.shape[2:]))
    for iteration in codes:
        writer.write(iteration)
    return writer.finish()


def model_probabilities(codes: NDArray[np.float32], model: ContextModel) -> list[int]:
    """Probability of every code given those before it, in coding order."""
    grid = Grid(*codes.shape[2:])
    context, found = Context(model, grid), []
    for iteration in codes:
        context.next_iteration()
        for plane in range(model.planes):
            for half, cells in enumerate(half_planes(grid)):
                found += context.probabilities(plane, half).tolist()
                context.update(plane, half, iteration[plane].reshape(-1)[cells])
    return found


def with_expected_values(
    codes: NDArray[np.float32], known: int, probabilities: list[int]
) -> NDArray[np.float32]:
    """The expected result of a decoder that knows the first ``known`` codes."""
    half_by_half = list(reference_codec.half_planes(codes.shape))
    expected, started, index = np.zeros_like(codes), 1, 0
    for places in half_by_half:
        begins = index
        for place in places:
            if index < known:
                expected[place] = codes[place]
                started = place[0] + 1
            elif begins <= known:
                expected[place] = probabilities[index] / 32768 - 1
            index += 1
        if index > known:
            break
    return expected[:started]


GOLDEN_IDS = [vector["name"] for vector in GOLDEN["vectors"]]


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=GOLDEN_IDS)
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """Codes to bytes and back: complete, cut at every byte, and with a tail."""
    model, grid = ContextModel(golden_tables()), Grid(vector["rows"], vector["columns"])
    codes = codec_vectors.codes_of(vector["codes"], grid.rows, grid.columns)
    data = bytes.fromhex(vector["hex"])
    assert model_probabilities(codes, model) == vector["probabilities"]
    assert write(codes, model) == data
    assert len(vector["known"]) == len(data) + 1
    for n, known in enumerate(vector["known"]):
        found = decode_codes(data[:n], model, grid)
        assert found.decoded_count == known
        expected = with_expected_values(codes, known, vector["probabilities"])
        np.testing.assert_array_equal(found.codes, expected)
    for tail in (b"\x00" * 5, b"\xff" * 5, b"\x80"):
        np.testing.assert_array_equal(decode_codes(data + tail, model, grid).codes, codes)


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=GOLDEN_IDS)
def test_reference_on_golden_vectors(vector: dict[str, Any]) -> None:
    codes = codec_vectors.codes_of(vector["codes"], vector["rows"], vector["columns"])
    probabilities, bits = reference_codec.probabilities(
        GOLDEN["tables"], codes.astype(int).tolist()
    )
    assert probabilities == vector["probabilities"]
    assert reference_codec.range_encode(bits, probabilities).hex() == vector["hex"]


@pytest.mark.parametrize("extreme", [False, True], ids=["ordinary", "extreme"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 3)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_same_probabilities_and_bytes_as_the_reference(
    seed: int, shape: tuple[int, int], extreme: bool
) -> None:
    tables = random_tables(seed, extreme=extreme)
    model = ContextModel(tables)
    codes = random_codes(model, Grid(*shape), seed)
    plain = {name: table.tolist() for name, table in tables.items()}
    probabilities, bits = reference_codec.probabilities(plain, codes.astype(int).tolist())
    assert model_probabilities(codes, model) == probabilities
    assert write(codes, model) == reference_codec.range_encode(bits, probabilities)


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_exact_up_to_the_limit(seed: int) -> None:
    """512 hidden units whose products fill 24 bits: rounding would change the low bits."""
    tables = random_tables(seed, iterations=1, planes=1, hidden=512, extreme=True)
    tables["b1"] = np.random.default_rng(seed).integers(0, 300, tables["b1"].shape).astype(np.int16)
    tables["w1"] //= 50
    # Opposite signs bring the logit back into the table, where every step is visible.
    tables["w2"][..., 1::2] = -tables["w2"][..., ::2].clip(-127)
    tables["b2"] = np.array([[977, -3210]], np.int32)
    assert 255 * np.abs(tables["w2"].astype(int)).sum(-1).max() > EXACT - 2**19
    model = ContextModel(tables)
    codes = random_codes(model, Grid(2, 3), seed)
    plain = {name: table.tolist() for name, table in tables.items()}
    assert (
        model_probabilities(codes, model)
        == reference_codec.probabilities(plain, codes.astype(int).tolist())[0]
    )


def test_large_sums_are_clipped() -> None:
    """Hidden values and logits out of range are clipped."""
    tables = random_tables(0, iterations=1, planes=1, hidden=1)
    tables["w1"][:], tables["b1"][:] = 0, np.array([-(2**15), 2**15 - 1])[:, None]
    tables["w2"][:], tables["b2"][:] = 127, [[-(2**20), 2**20]]
    model = ContextModel(tables)
    context = Context(model, Grid(2, 2))
    context.next_iteration()
    first, last = int(tables["probability"][0]), int(tables["probability"][-1])
    assert context.probabilities(0, 0).tolist() == [first, first]
    assert context.probabilities(0, 1).tolist() == [last, last]


@pytest.mark.parametrize("b2", range(-17, 18))
def test_logits_are_rounded_down(b2: int) -> None:
    tables = random_tables(1, iterations=1, planes=1, hidden=1)
    tables["w2"][:], tables["b2"][:] = 0, b2
    context = Context(ContextModel(tables), Grid(1, 1))
    context.next_iteration()
    assert context.probabilities(0, 0).tolist() == [int(tables["probability"][1024 + b2 // 8])]


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (4, 4)], ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_prefix_determines_a_prefix_of_the_codes(seed: int, shape: tuple[int, int]) -> None:
    model, grid = ContextModel(random_tables(seed)), Grid(*shape)
    codes = random_codes(model, grid, seed)
    data, probabilities = write(codes, model), model_probabilities(codes, model)
    found = [decode_codes(data[:n], model, grid) for n in range(len(data) + 1)]
    for part in found:
        expected = with_expected_values(codes, part.decoded_count, probabilities)
        np.testing.assert_array_equal(part.codes, expected)
        assert part.codes.dtype == np.float32
    assert all(a.decoded_count <= b.decoded_count for a, b in pairwise(found))
    assert found[0].decoded_count == 0
    assert found[-1].decoded_count == codes.size


def test_stable_bytes_never_change() -> None:
    model = ContextModel(random_tables(5, iterations=6))
    codes = random_codes(model, Grid(3, 3), 5)
    complete, writer = write(codes, model), CodeEncoder(model, Grid(3, 3))
    stable_length = 0
    for t, iteration in enumerate(codes):
        writer.write(iteration)
        assert writer.stable_length() >= stable_length
        stable_length = writer.stable_length()
        assert write(codes[: t + 1], model)[:stable_length] == complete[:stable_length]
    assert stable_length >= len(complete) - 8


def test_any_bytes_decode() -> None:
    model, rng = ContextModel(random_tables(2)), np.random.default_rng(2)
    for _ in range(300):
        rows, columns = rng.integers(1, 4, 2)
        found = decode_codes(rng.bytes(rng.integers(0, 30)), model, Grid(int(rows), int(columns)))
        iterations = found.codes.shape[0]
        assert 1 <= iterations <= model.iterations
        assert found.codes.shape[1:] == (model.planes, rows, columns)
        assert np.abs(found.codes).max() <= 1
        size = model.planes * int(rows) * int(columns)
        assert iterations == max(1, -(-found.decoded_count // size))


def changed(**changes: Callable[[NDArray[Any]], NDArray[Any]]) -> Tables:
    tables = random_tables(0)
    return {name: changes.get(name, np.copy)(table) for name, table in tables.items()}


def filled(value: int, dtype: type | None = None) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda table: np.full(table.shape, value, dtype or table.dtype)


@pytest.mark.parametrize("name", DTYPES)
def test_rejects_missing_table(name: str) -> None:
    tables = random_tables(0)
    del tables[name]
    with pytest.raises(ArtifactError, match=name):
        ContextModel(tables)


RESHAPED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "one shorter": lambda table: table[:-1],
    "empty": lambda table: table[:0],
    "one dimension more": lambda table: table[None],
    "transposed": lambda table: table[..., None].T,
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("how", RESHAPED)
def test_rejects_wrong_shape(name: str, how: str) -> None:
    with pytest.raises(ArtifactError, match="shape"):
        ContextModel(changed(**{name: RESHAPED[how]}))


@pytest.mark.parametrize("sizes", [{"iterations": 0}, {"planes": 0}, {"hidden": 0}], ids=str)
def test_rejects_empty_tables(sizes: dict[str, int]) -> None:
    with pytest.raises(ArtifactError, match="shape"):
        ContextModel(random_tables(0, **sizes))


@pytest.mark.parametrize("value", [0, 65536])
def test_rejects_probability_of_zero_or_one(value: int) -> None:
    def with_one_wrong(table: NDArray[Any]) -> NDArray[Any]:
        wrong = table.astype(np.int64)
        wrong[77] = value
        return wrong if value > 65535 else wrong.astype(np.uint16)

    with pytest.raises(ArtifactError, match=r"zero or one|uint16"):
        ContextModel(changed(probability=with_one_wrong))


def test_rejects_sums_beyond_float32() -> None:
    tables = random_tables(0)
    most = EXACT - 1 - 255 * int(np.abs(tables["w2"].astype(int)).sum(-1).max())
    for value in (most, -most):
        ContextModel({**tables, "b2": np.full_like(tables["b2"], value)})
    for value in (most + 1, -most - 1):
        with pytest.raises(ArtifactError, match="float32"):
            ContextModel({**tables, "b2": np.full_like(tables["b2"], value)})


def test_rejects_hidden_sums_beyond_float32() -> None:
    """Weights of -128 in 4855 planes sum to more than 2^24; in 4500 they do not."""
    for planes, allowed in ((4500, True), (4855, False)):
        tables = random_tables(0, iterations=1, planes=planes, hidden=1)
        tables["w1"][:] = -128
        if allowed:
            assert ContextModel(tables).planes == planes
        else:
            with pytest.raises(ArtifactError, match="float32"):
                ContextModel(tables)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("dtype", ["float32", "complex64", "bool", "uint64", "U3", "O"])
def test_rejects_wrong_dtype(name: str, dtype: str) -> None:
    with pytest.raises(ArtifactError):
        ContextModel(changed(**{name: lambda table: table.astype(dtype)}))


@pytest.mark.parametrize("name", ["w1", "b1", "w2", "b2"])
def test_smallest_int64_does_not_bypass_the_limit(name: str) -> None:
    """Its absolute value is itself."""
    with pytest.raises(ArtifactError):
        ContextModel(changed(**{name: filled(-(2**63), np.int64)}))
