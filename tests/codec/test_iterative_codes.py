"""Codes and stops to bytes and back: golden vectors, reference implementation, every prefix."""

from __future__ import annotations

from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_codec
from numpy.typing import NDArray

from thumbstream.codec.iterative.codes import CodeDecoder, CodeEncoder, DecodedCodes, decode_codes
from thumbstream.codec.iterative.context import ContextModel
from thumbstream.codec.tensors import Grid

GOLDEN = codec_vectors.read("stops")
DTYPES = {"w1": np.int8, "b1": np.int16, "w2": np.int8, "b2": np.int32, "probability": np.uint16}
MODEL = ContextModel({k: np.array(v, DTYPES[k]) for k, v in GOLDEN["tables"].items()})
IDS = [vector["name"] for vector in GOLDEN["vectors"]]
SHAPES = [(1, 1), (1, 5), (4, 4), (3, 2)]


def codes_with(ends: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Random codes of cells with ``ends`` iterations each, 0 after their stop."""
    shape = (MODEL.iterations, MODEL.planes, *ends.shape)
    codes = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), shape)
    active = np.arange(MODEL.iterations)[:, None, None] < ends
    return np.where(active[:, None], codes, np.float32(0))[: int(ends.max()) + 1]


def write(codes: NDArray[np.float32], *, stops: bool = True) -> bytes:
    writer = CodeEncoder(MODEL, Grid(*codes.shape[2:]), stops=stops)
    for iteration in codes:
        writer.write(iteration, iteration[0] != 0)
    return writer.finish()


def assert_same(found: DecodedCodes, expected: DecodedCodes) -> None:
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.active, expected.active)
    assert (found.decoded_count, found.stopped) == (expected.decoded_count, expected.stopped)


def started(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the iteration that contains only stops."""
    return codes[codes.any((1, 2, 3))]


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=IDS)
def test_golden_vectors(vector: dict[str, Any]) -> None:
    codes = codec_vectors.codes_of(vector["codes"], vector["rows"], vector["columns"])
    data, grid = bytes.fromhex(vector["hex"]), Grid(vector["rows"], vector["columns"])
    assert write(codes) == data
    assert [
        decode_codes(data[:n], MODEL, grid, stops=True).decoded_count for n in range(len(data) + 1)
    ] == (vector["known"])
    for tail in (b"", b"\x00" * 7, b"\xff" * 7):
        found = decode_codes(data + tail, MODEL, grid, stops=True)
        np.testing.assert_array_equal(found.codes, started(codes))


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=IDS)
def test_reference_on_golden_vectors(vector: dict[str, Any]) -> None:
    """Also the codes of every prefix, by the reference."""
    codes = codec_vectors.codes_of(vector["codes"], vector["rows"], vector["columns"])
    probabilities, bits, are_codes = reference_codec.stopping_probabilities(
        GOLDEN["tables"], codes.astype(int).tolist()
    )
    data = bytes.fromhex(vector["hex"])
    assert reference_codec.range_encode(bits, probabilities) == data
    for n, known in enumerate(vector["known"]):
        decided = reference_codec.range_decode(data[:n], probabilities)
        assert decided == bits[: len(decided)]
        assert sum(are_codes[: len(decided)]) == known


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_stops_round_trip(seed: int, shape: tuple[int, int]) -> None:
    ends = np.random.default_rng((9, seed)).integers(1, MODEL.iterations + 1, shape)
    codes = codes_with(ends, seed)
    found = decode_codes(write(codes), MODEL, Grid(*shape), stops=True)
    np.testing.assert_array_equal(found.codes, started(codes))
    np.testing.assert_array_equal(found.active, started(codes)[:, 0] != 0)
    assert found.decoded_count == np.count_nonzero(codes)
    assert found.stopped == np.count_nonzero(ends < MODEL.iterations)


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_pass_equals_single_prefixes(shape: tuple[int, int], stops: bool) -> None:
    rng = np.random.default_rng(4)
    ends = rng.integers(1, 5, shape) if stops else np.full(shape, MODEL.iterations)
    codes = codes_with(ends, 1)
    data, grid = write(codes, stops=stops), Grid(*shape)
    lengths = [0, *range(len(data) + 1), len(data) + 4]
    trace = CodeDecoder(data, MODEL, grid, stops=stops)
    for n, found in zip(lengths, trace.prefixes(lengths), strict=True):
        assert_same(found, decode_codes(data[:n], MODEL, grid, stops=stops))
    assert_same(trace.decode_all(), decode_codes(data, MODEL, grid, stops=stops))


def test_no_codes_after_a_stop() -> None:
    """A stopped cell is 0 in its neighbours' contexts, whatever its codes are."""
    ends = np.array([[1, 4], [2, 3]])
    codes = codes_with(ends, 3)
    rest = np.where(codes == 0, np.float32(-1), codes)
    writer = CodeEncoder(MODEL, Grid(2, 2), stops=True)
    for iteration, active in zip(rest, codes[:, 0] != 0, strict=True):
        writer.write(iteration, active)
    assert writer.finish() == write(codes)


def test_stream_ends_when_all_cells_stop() -> None:
    codes = codes_with(np.full((3, 3), 2), 5)
    data = write(codes)
    for tail in (b"", bytes(50), b"\xff" * 50):
        found = decode_codes(data + tail, MODEL, Grid(3, 3), stops=True)
        assert len(found.codes) == 2
        assert (found.decoded_count, found.stopped) == (2 * 9 * MODEL.planes, 9)


def test_stream_without_stops_costs_few_bits() -> None:
    codes = codes_with(np.full((4, 4), MODEL.iterations), 6)
    assert len(write(codes)) <= len(write(codes, stops=False)) + 1


def test_truncated_stop_does_not_count() -> None:
    """Bytes that determine stops of an iteration but no code of it do not start it."""
    codes = codes_with(np.where(np.eye(4, dtype=bool), 1, MODEL.iterations), 7)
    data, grid = write(codes), Grid(4, 4)
    partly = []
    for n in range(len(data) + 1):
        found = decode_codes(data[:n], MODEL, grid, stops=True)
        if 0 < found.stopped < 4:
            partly.append(n)
            assert len(found.codes) == 1
            assert found.decoded_count == 16 * MODEL.planes
    assert partly


def test_any_bytes_decode() -> None:
    rng = np.random.default_rng(12)
    stopped = 0
    for _ in range(400):
        grid = Grid(*(int(n) for n in rng.integers(1, 4, 2)))
        found = decode_codes(rng.bytes(rng.integers(0, 30)), MODEL, grid, stops=True)
        assert 1 <= len(found.codes) <= MODEL.iterations
        assert np.abs(found.codes).max() <= 1
        assert not found.codes[~np.broadcast_to(found.active[:, None], found.codes.shape)].any()
        assert 0 <= found.stopped <= grid.cells
        stopped += found.stopped > 0
    assert stopped, "the generator should have stopped a cell now and then"
