"""Symbols to bytes and back: golden vectors, the slow twin, and every prefix."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import codec_embedded_twins as twins
import codec_twins
import codec_vectors
import numpy as np
import pytest
from codec_embedded import LAYOUT, embedded_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.context_batch import AT_ONCE, chances_ahead
from thumbstream.codec.embedded.quantizer import Integers, Latents, Nesting
from thumbstream.codec.embedded.symbols import SymbolTrace, WrittenSymbols, write_symbols
from thumbstream.codec.embedded.unfolding import DecodedSymbols
from thumbstream.codec.iterative.codes import Grid
from thumbstream.codec.layouts import EmbeddedLayout
from thumbstream.codec.range_coder import RangeEncoder

GOLDEN = codec_vectors.read("embedded")
MODEL = codec_vectors.embedded_model(GOLDEN)
NESTING = MODEL.nesting
TWIN = codec_vectors.embedded_twin(GOLDEN)
SHAPES = [(1, 1, 1), (1, 2, 3), (2, 1, 1), (2, 2, 2)]
"""Layers, rows, columns."""

Vector = dict[str, Any]
of_vectors = pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda v: v["name"])
quick = settings(deadline=None, max_examples=60)


def any_states(seed: int, shape: tuple[int, int, int], nesting: Nesting = NESTING) -> Integers:
    """Finest states ``(layers, channels, cells)``, small ones more often."""
    rng = np.random.default_rng(seed)
    finest = np.broadcast_to(
        nesting.finest, (shape[0], nesting.layout.channels, shape[1] * shape[2])
    )
    drawn = rng.laplace(size=finest.shape) * rng.choice([0.5, 3, 9])
    return np.clip(np.rint(drawn), -finest, finest).astype(np.int32)


def read(data: bytes, shape: tuple[int, int, int]) -> DecodedSymbols:
    return SymbolTrace(data, MODEL, shape[0], Grid(*shape[1:])).whole()


def write(states: Integers, shape: tuple[int, int, int]) -> bytes:
    return write_symbols(MODEL, states, Grid(*shape[1:]))


def plain(states: Integers, shape: tuple[int, int, int]) -> twins.States:
    layers, rows, columns = shape
    nested: twins.States = states.reshape(layers, -1, rows, columns).tolist()
    return nested


def assert_same(found: DecodedSymbols, expected: DecodedSymbols) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.levels, expected.levels)
    assert (found.known, found.step) == (expected.known, expected.step)


def assert_as_the_twin(found: DecodedSymbols, walk: twins.Walk) -> None:
    np.testing.assert_array_equal(found.levels, np.array(walk.levels, np.float32))
    intervals = np.float32(NESTING.layout.base_step / 3.0 ** np.array(walk.levels))
    np.testing.assert_array_equal(found.values, np.array(walk.states, np.float32) * intervals)
    assert found.known == walk.known
    assert walk.ended_in == (None if found.step is None else (found.step.plane, found.step.group))


@of_vectors
def test_golden(vector: Vector) -> None:
    """States to bytes and back: whole, cut at every byte, and with a tail."""
    shape = vector["layers"], vector["rows"], vector["columns"]
    states, data = codec_vectors.states_of(vector["states"]), bytes.fromhex(vector["hex"])
    assert write(states, shape) == data
    known = [read(data[:n], shape).known for n in range(len(data) + 1)]
    assert known == vector["known"]
    for tail in (b"", b"\x00" * 7, b"\xff" * 7):
        found = read(data + tail, shape)
        assert found.known == len(vector["chances"])
        finest = np.float32(NESTING.intervals[-1]) * states.astype(np.float32)
        np.testing.assert_array_equal(found.values.reshape(states.shape), finest)
        assert (found.levels == NESTING.layout.planes).all()


@of_vectors
def test_twin_on_golden(vector: Vector) -> None:
    """Chances, bytes and what every prefix determines, by the words of the standard."""
    shape = vector["layers"], vector["rows"], vector["columns"]
    states, data = (
        plain(codec_vectors.states_of(vector["states"]), shape),
        bytes.fromhex(vector["hex"]),
    )
    probabilities, bits, ends = twins.decisions(TWIN, states)
    assert codec_twins.range_encode(bits, probabilities) == data
    for n, known in enumerate(vector["known"]):
        decided = len(codec_twins.range_decode(data[:n], probabilities))
        assert sum(end <= decided for end in ends) == known
    walk = twins.read(TWIN, data, *shape)
    assert walk.states == states
    assert [list(pair) for pair in walk.chances] == vector["chances"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_every_prefix(seed: int, shape: tuple[int, int, int]) -> None:
    """One by one, in one pass, and as the twin reads them."""
    states = any_states(seed, shape)
    data = write(states, shape)
    assert data == twins.write(TWIN, plain(states, shape))
    lengths = [0, *range(len(data) + 1), len(data) + 4]
    trace = SymbolTrace(data, MODEL, shape[0], Grid(*shape[1:]))
    together = list(trace.prefixes(lengths))
    for n, found in zip(lengths, together, strict=True):
        assert_same(found, read(data[:n], shape))
    for n in lengths[:: max(1, len(lengths) // 6)]:
        assert_as_the_twin(read(data[:n], shape), twins.read(TWIN, data[:n], *shape))
    assert_same(trace.whole(), together[-1])
    assert trace.known == states.size * NESTING.layout.planes - symbols_before_starts(states)
    assert all(a.known <= b.known for a, b in pairwise(together))
    assert all((a is b) == (a.known == b.known) for a, b in pairwise(together))


def symbols_before_starts(states: Integers) -> int:
    layers, _, cells = states.shape
    return layers * cells * sum(NESTING.layout.starts)


@quick
@given(st.binary(max_size=40), st.sampled_from(SHAPES), st.data())
def test_any_bytes_and_their_prefixes(
    data: bytes, shape: tuple[int, int, int], drawn: st.DataObject
) -> None:
    """As the twin reads them, whole and cut; also bytes that no encoder writes."""
    lengths = sorted(drawn.draw(st.lists(st.integers(0, len(data) + 3), min_size=1, max_size=5)))
    trace = SymbolTrace(data, MODEL, shape[0], Grid(*shape[1:]))
    assert_as_the_twin(trace.whole(), twins.read(TWIN, data, *shape))
    for n, found in zip(lengths, trace.prefixes(lengths), strict=True):
        assert_same(found, read(data[:n], shape))


LARGE = (2, 9, AT_ONCE // 9)
"""Of more cells than are worked on together."""


@pytest.mark.parametrize("shape", [*SHAPES, LARGE], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_chances_ahead_are_those_that_a_reader_has(seed: int, shape: tuple[int, int, int]) -> None:
    """All at once, and step by step as the states become known."""
    states, grid = any_states(seed, shape), Grid(*shape[1:])
    context, latents = EmbeddedContext(MODEL, shape[0], grid), Latents(NESTING, shape)
    ahead = list(chances_ahead(MODEL, NESTING.behind(states), grid))
    digits = NESTING.digits(states).astype(np.float32)
    assert [step for step, _, _ in ahead] == list(NESTING.steps)
    for step, nonzero, positive in ahead:
        for found, expected in zip((nonzero, positive), context.chances(step), strict=True):
            np.testing.assert_array_equal(found, expected)
        latents.refine(step, digits[step.plane][:, step.channels])
        context.learn(step, latents.states)


@quick
@given(st.integers(0, 9999), st.sampled_from(SHAPES))
def test_who_wrote_knows_what_a_prefix_determines(seed: int, shape: tuple[int, int, int]) -> None:
    """What reading every single prefix finds."""
    states, grid = any_states(seed, shape), Grid(*shape[1:])
    written = WrittenSymbols(MODEL, states, grid)
    lengths = range(len(written.data) + 1)
    found = list(written.prefixes(lengths))
    for n in lengths:
        assert_same(found[n], read(written.data[:n], shape))
    assert all((a is b) == (a.known == b.known) for a, b in pairwise(found))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_who_wrote_a_part_knows_it_too(shape: tuple[int, int, int]) -> None:
    states, grid = any_states(8, shape), Grid(*shape[1:])
    for limit in range(len(write(states, shape)) + 1):
        written = WrittenSymbols(MODEL, states, grid, limit)
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
def test_digits_are_so_many_decisions(digits: list[tuple[int, int, int]], cut: int) -> None:
    """In any number of calls the bytes of `RangeEncoder.encode`, through carries and long runs."""
    plain, coder = RangeEncoder(), RangeEncoder()
    for digit, nonzero, positive in digits:
        plain.encode(digit != 0, nonzero)
        if digit:
            plain.encode(digit > 0, positive)
    for part in (digits[:cut], digits[cut:]):
        coder.encode_ternary(*([list(column) for column in zip(*part, strict=True)] or [[]] * 3))
    assert coder.finish() == plain.finish()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_enough_bytes_leave_out_changes_none_of_them(shape: tuple[int, int, int]) -> None:
    states = any_states(5, shape)
    whole = write(states, shape)
    for n in range(len(whole) + 3):
        part = write_symbols(MODEL, states, Grid(*shape[1:]), n)
        assert part[:n] == whole[:n]
        assert len(part) <= len(whole)


def test_few_bytes_need_few_steps() -> None:
    states = any_states(6, (1, 4, 4))
    whole = write_symbols(MODEL, states, Grid(4, 4))
    assert len(write_symbols(MODEL, states, Grid(4, 4), 4)) < len(whole) / 2


def test_layers_have_contexts_of_their_own() -> None:
    """What one layer holds changes no chance of the other; its symbols come first in each step."""
    grid = Grid(2, 2)
    first, second, other = (any_states(seed, (1, 2, 2)) for seed in range(3))

    def steps_of(*layers: Integers) -> list[list[list[int]]]:
        states = np.concatenate(layers)
        data = write_symbols(MODEL, states, grid)
        chances = iter(SymbolTrace(data, MODEL, len(states), grid).chances())
        widths = [len(states) * step.width * grid.cells for step in NESTING.steps]
        return [[next(chances) for _ in range(width)] for width in widths]

    alone, beside = steps_of(first), steps_of(second)
    assert steps_of(first, second) == [a + b for a, b in zip(alone, beside, strict=True)]
    assert steps_of(first, other) == [a + b for a, b in zip(alone, steps_of(other), strict=True)]


def test_the_likeliest_symbols_travel_first_and_ties_keep_their_order() -> None:
    tables = embedded_tables()
    for name in ("w2", "w3", "own", "b2", "gain"):  # so that channels alone make the chances
        tables[name] = np.zeros_like(tables[name])
    tables["b2"][0, 0, :2] = -80, 80  # type: ignore[index]
    model = EmbeddedContextModel(tables, Nesting(LAYOUT))
    states = np.zeros((1, LAYOUT.channels, 4), np.int32)
    trace = SymbolTrace(write_symbols(model, states, Grid(2, 2)), model, 1, Grid(2, 2))
    assert trace._reads[0].order.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_a_picture_of_one_channel_and_one_plane() -> None:
    layout = EmbeddedLayout(1, 1, (1,), (0,), 1.0)
    model = EmbeddedContextModel(embedded_tables(layout), Nesting(layout))
    for state in (-1, 0, 1):
        data = write_symbols(model, np.array([[[state]]], np.int32), Grid(1, 1))
        found = SymbolTrace(data, model, 1, Grid(1, 1)).whole()
        assert found.known == 1
        assert found.values.reshape(-1).tolist() == [np.float32(state / 3)]
