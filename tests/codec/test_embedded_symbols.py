"""Symbols to bytes and back: golden vectors, reference implementation, every prefix."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_codec
import reference_embedded
from codec_embedded import LAYOUT, embedded_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.context_batch import BATCH_CELLS, batch_probabilities
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import (
    DecodedLatents,
    DecodedSymbols,
    EmbeddedQuantizer,
    States,
)
from thumbstream.codec.embedded.symbols import SymbolDecoder, SymbolEncoder, encode_symbols
from thumbstream.codec.range_coder import RangeEncoder
from thumbstream.codec.tensors import Grid

GOLDEN = codec_vectors.read("embedded")
MODEL = codec_vectors.embedded_model(GOLDEN)
QUANTIZER = MODEL.quantizer
REFERENCE = codec_vectors.embedded_reference(GOLDEN)
SHAPES = [(1, 1, 1), (1, 2, 3), (2, 1, 1), (2, 2, 2)]
"""Layers, rows, columns."""

Vector = dict[str, Any]
of_vectors = pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda v: v["name"])
quick = settings(deadline=None, max_examples=60)


def any_states(
    seed: int, shape: tuple[int, int, int], quantizer: EmbeddedQuantizer = QUANTIZER
) -> States:
    """Final states ``(layers, channels, cells)``, small ones more often."""
    rng = np.random.default_rng(seed)
    largest = np.broadcast_to(
        quantizer.max_states, (shape[0], quantizer.params.channels, shape[1] * shape[2])
    )
    samples = rng.laplace(size=largest.shape) * rng.choice([0.5, 3, 9])
    return np.clip(np.rint(samples), -largest, largest).astype(np.int32)


def read(data: bytes, shape: tuple[int, int, int]) -> DecodedSymbols:
    return SymbolDecoder(data, MODEL, shape[0], Grid(*shape[1:])).decode_all()


def write(states: States, shape: tuple[int, int, int]) -> bytes:
    return encode_symbols(MODEL, states, Grid(*shape[1:]))


def plain(states: States, shape: tuple[int, int, int]) -> reference_embedded.States:
    layers, rows, columns = shape
    nested: reference_embedded.States = states.reshape(layers, -1, rows, columns).tolist()
    return nested


def assert_same(found: DecodedSymbols, expected: DecodedSymbols) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.levels, expected.levels)
    assert (found.decoded_count, found.step) == (expected.decoded_count, expected.step)


def assert_same_as_reference(found: DecodedSymbols, walk: reference_embedded.Walk) -> None:
    np.testing.assert_array_equal(found.levels, np.array(walk.levels, np.float32))
    intervals = np.float32(QUANTIZER.params.base_step / 3.0 ** np.array(walk.levels))
    np.testing.assert_array_equal(found.values, np.array(walk.states, np.float32) * intervals)
    assert found.decoded_count == walk.decoded_count
    assert walk.ended_in == (None if found.step is None else (found.step.plane, found.step.group))


@of_vectors
def test_golden_vectors(vector: Vector) -> None:
    """States to bytes and back: complete, cut at every byte, and with a tail."""
    shape = vector["layers"], vector["rows"], vector["columns"]
    states, data = codec_vectors.states_of(vector["states"]), bytes.fromhex(vector["hex"])
    assert write(states, shape) == data
    known = [read(data[:n], shape).decoded_count for n in range(len(data) + 1)]
    assert known == vector["known"]
    for tail in (b"", b"\x00" * 7, b"\xff" * 7):
        found = read(data + tail, shape)
        assert found.decoded_count == len(vector["chances"])  # words: ok
        largest = np.float32(QUANTIZER.intervals[-1]) * states.astype(np.float32)
        np.testing.assert_array_equal(found.values.reshape(states.shape), largest)
        assert (found.levels == QUANTIZER.params.planes).all()


@of_vectors
def test_reference_on_golden_vectors(vector: Vector) -> None:
    """Probabilities, bytes and the symbols of every prefix, by the reference."""
    shape = vector["layers"], vector["rows"], vector["columns"]
    states, data = (
        plain(codec_vectors.states_of(vector["states"]), shape),
        bytes.fromhex(vector["hex"]),
    )
    probabilities, bits, ends = reference_embedded.decisions(REFERENCE, states)
    assert reference_codec.range_encode(bits, probabilities) == data
    for n, known in enumerate(vector["known"]):
        decided = len(reference_codec.range_decode(data[:n], probabilities))
        assert sum(end <= decided for end in ends) == known
    walk = reference_embedded.read(REFERENCE, data, *shape)
    assert walk.states == states
    assert [list(pair) for pair in walk.probabilities] == vector["chances"]  # words: ok


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_every_prefix_matches_the_reference(seed: int, shape: tuple[int, int, int]) -> None:
    """One by one, in one pass, and by the reference."""
    states = any_states(seed, shape)
    data = write(states, shape)
    assert data == reference_embedded.write(REFERENCE, plain(states, shape))
    lengths = [0, *range(len(data) + 1), len(data) + 4]
    trace = SymbolDecoder(data, MODEL, shape[0], Grid(*shape[1:]))
    together = list(trace.prefixes(lengths))
    for n, found in zip(lengths, together, strict=True):
        assert_same(found, read(data[:n], shape))
    for n in lengths[:: max(1, len(lengths) // 6)]:
        assert_same_as_reference(
            read(data[:n], shape), reference_embedded.read(REFERENCE, data[:n], *shape)
        )
    assert_same(trace.decode_all(), together[-1])
    assert trace.decoded_count == states.size * QUANTIZER.params.planes - symbols_before_starts(
        states
    )
    assert all(a.decoded_count <= b.decoded_count for a, b in pairwise(together))
    assert all((a is b) == (a.decoded_count == b.decoded_count) for a, b in pairwise(together))


def symbols_before_starts(states: States) -> int:
    layers, _, cells = states.shape
    return layers * cells * sum(QUANTIZER.params.starts)


@quick
@given(st.binary(max_size=40), st.sampled_from(SHAPES), st.data())
def test_any_bytes_match_the_reference(
    data: bytes, shape: tuple[int, int, int], source: st.DataObject
) -> None:
    """Compared with the reference, complete and cut; also bytes that no encoder writes."""
    lengths = sorted(source.draw(st.lists(st.integers(0, len(data) + 3), min_size=1, max_size=5)))
    trace = SymbolDecoder(data, MODEL, shape[0], Grid(*shape[1:]))
    assert_same_as_reference(trace.decode_all(), reference_embedded.read(REFERENCE, data, *shape))
    for n, found in zip(lengths, trace.prefixes(lengths), strict=True):
        assert_same(found, read(data[:n], shape))


LARGE = (2, 9, BATCH_CELLS // 9)
"""More cells than one batch."""


@pytest.mark.parametrize("shape", [*SHAPES, LARGE], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_batch_probabilities_equal_the_decoders(seed: int, shape: tuple[int, int, int]) -> None:
    """All at once against step by step."""
    states, grid = any_states(seed, shape), Grid(*shape[1:])
    context, latents = EmbeddedContext(MODEL, shape[0], grid), DecodedLatents(QUANTIZER, shape)
    ahead = list(batch_probabilities(MODEL, QUANTIZER.states_by_level(states), grid))
    digits = QUANTIZER.digits(states).astype(np.float32)
    assert [step for step, _, _ in ahead] == list(QUANTIZER.steps)
    for step, nonzero, positive in ahead:
        for found, expected in zip((nonzero, positive), context.probabilities(step), strict=True):
            np.testing.assert_array_equal(found, expected)
        latents.refine(step, digits[step.plane][:, step.channels])
        context.update(step, latents.states)


@quick
@given(st.integers(0, 9999), st.sampled_from(SHAPES))
def test_encoder_knows_what_a_prefix_determines(seed: int, shape: tuple[int, int, int]) -> None:
    """Compared with decoding every prefix."""
    states, grid = any_states(seed, shape), Grid(*shape[1:])
    written = SymbolEncoder(MODEL, states, grid)
    lengths = range(len(written.data) + 1)
    found = list(written.prefixes(lengths))
    for n in lengths:
        assert_same(found[n], read(written.data[:n], shape))
    assert all((a is b) == (a.decoded_count == b.decoded_count) for a, b in pairwise(found))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_encoder_of_a_part_knows_its_prefixes(shape: tuple[int, int, int]) -> None:
    states, grid = any_states(8, shape), Grid(*shape[1:])
    for limit in range(len(write(states, shape)) + 1):
        written = SymbolEncoder(MODEL, states, grid, limit)
        lengths = range(min(limit, len(written.data)) + 1)
        for n, found in zip(lengths, written.prefixes(lengths), strict=True):
            assert_same(found, read(written.data[:n], shape))


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-1, 0, 0, 1]),
            st.sampled_from([1, 40, 9000, 65535]),
            st.sampled_from([1, 30000, 65535]),
        ),
        max_size=200,
    ),
    st.integers(0, 200),
)
def test_decisions_per_digit(digits: list[tuple[int, int, int]], cut: int) -> None:
    """Any number of calls gives the bytes of `RangeEncoder.encode`, also with carries."""
    plain, coder = RangeEncoder(), RangeEncoder()
    for digit, nonzero, positive in digits:
        plain.encode(digit != 0, nonzero)
        if digit:
            plain.encode(digit > 0, positive)
    for part in (digits[:cut], digits[cut:]):
        columns = np.array(part, np.int32).reshape(-1, 3).T
        coder.encode_ternary(
            columns[0].astype(np.int8), *(column.astype(np.uint16) for column in columns[1:])
        )
    assert coder.finish() == plain.finish()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_max_bytes_does_not_change_the_prefix(shape: tuple[int, int, int]) -> None:
    states = any_states(5, shape)
    complete = write(states, shape)
    for n in range(len(complete) + 3):
        part = encode_symbols(MODEL, states, Grid(*shape[1:]), n)
        assert part[:n] == complete[:n]
        assert len(part) <= len(complete)


def test_max_bytes_omits_steps() -> None:
    states = any_states(6, (1, 4, 4))
    complete = encode_symbols(MODEL, states, Grid(4, 4))
    assert len(encode_symbols(MODEL, states, Grid(4, 4), 4)) < len(complete) / 2


def test_layers_have_independent_contexts() -> None:
    """Layers have independent contexts; symbols of the first layer come first in each step."""
    grid = Grid(2, 2)
    first, second, other = (any_states(seed, (1, 2, 2)) for seed in range(3))

    def steps_of(*layers: States) -> list[list[list[int]]]:
        states = np.concatenate(layers)
        data = encode_symbols(MODEL, states, grid)
        probabilities = iter(SymbolDecoder(data, MODEL, len(states), grid).probabilities())
        widths = [len(states) * step.width * grid.cells for step in QUANTIZER.steps]
        return [[next(probabilities) for _ in range(width)] for width in widths]

    alone, together = steps_of(first), steps_of(second)
    assert steps_of(first, second) == [a + b for a, b in zip(alone, together, strict=True)]
    assert steps_of(first, other) == [a + b for a, b in zip(alone, steps_of(other), strict=True)]


def test_symbols_sorted_by_probability_stable() -> None:
    tables = embedded_tables()
    for name in (
        "w2",
        "w3",
        "own",
        "b2",
        "gain",
    ):
        tables[name] = np.zeros_like(tables[name])
    tables["b2"][0, 0, :2] = -80, 80  # type: ignore[index]
    model = EmbeddedContextModel(tables, EmbeddedQuantizer(LAYOUT))
    states = np.zeros((1, LAYOUT.channels, 4), np.int32)
    trace = SymbolDecoder(encode_symbols(model, states, Grid(2, 2)), model, 1, Grid(2, 2))
    assert trace._steps[0].order.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_one_channel_and_one_plane() -> None:
    layout = EmbeddedParams(1, 1, (1,), (0,), 1.0)
    model = EmbeddedContextModel(embedded_tables(layout), EmbeddedQuantizer(layout))
    for state in (-1, 0, 1):
        data = encode_symbols(model, np.array([[[state]]], np.int32), Grid(1, 1))
        found = SymbolDecoder(data, model, 1, Grid(1, 1)).decode_all()
        assert found.decoded_count == 1
        assert found.values.reshape(-1).tolist() == [np.float32(state / 3)]
