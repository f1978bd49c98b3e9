"""Symbols of format 8: round trips, prefixes, hostile bytes, and a slow twin of the contexts."""

from __future__ import annotations

import numpy as np
import pytest
from codec_lapped import PARAMS, stream_model

from thumbstream.codec.lapped.planes import coarser, digits_between, refine
from thumbstream.codec.lapped.symbols import DecodedLatents, SymbolDecoder, SymbolEncoder
from thumbstream.codec.tensors import Grid

MODEL = stream_model()
GRIDS = [(1, 1, 1), (2, 3, 1), (4, 4, 2), (1, 5, 2), (7, 1, 1)]


def states(rows: int, columns: int, layers: int, size: float = 1.0) -> tuple[np.ndarray, Grid]:
    grid = Grid(rows, columns)
    rng = np.random.default_rng(10 * rows + columns)
    scales = size * np.geomspace(20, 0.5, PARAMS.channels)[:, None]
    latents = rng.laplace(size=(layers, PARAMS.channels, grid.cells)) * scales
    return MODEL.on_grid(grid).layout.quantize(latents), grid


def equal(one: DecodedLatents, other: DecodedLatents) -> bool:
    return (
        np.array_equal(one.q, other.q)
        and np.array_equal(one.levels, other.levels)
        and (one.symbols, one.step, one.planes) == (other.symbols, other.step, other.planes)
    )


@pytest.mark.parametrize(("rows", "columns", "layers"), GRIDS)
def test_every_prefix(rows: int, columns: int, layers: int) -> None:
    q, grid = states(rows, columns, layers)
    encoder = SymbolEncoder(MODEL, q, grid)
    decoder = SymbolDecoder(encoder.data, MODEL, layers, grid)
    whole = decoder.decode_all()
    assert np.array_equal(whole.q, q)
    assert whole.step is None
    assert whole.planes == PARAMS.planes
    lengths = range(len(encoder.data) + 1)
    symbols = 0
    for n, one, other in zip(
        lengths, encoder.prefixes(lengths), decoder.prefixes(lengths), strict=True
    ):
        cut = SymbolDecoder(encoder.data[:n], MODEL, layers, grid).decode_all()
        assert equal(one, other)
        assert equal(one, cut)
        assert cut.symbols >= symbols
        symbols = cut.symbols
    tail = SymbolDecoder(encoder.data + b"\x5a\x00\xff", MODEL, layers, grid).decode_all()
    assert equal(tail, whole)


def test_states_of_a_prefix_are_leading_bits() -> None:
    q, grid = states(3, 3, 1)
    data = SymbolEncoder(MODEL, q, grid).data
    layout = MODEL.on_grid(grid).layout
    for n in range(0, len(data), 7):
        cut = SymbolDecoder(data[:n], MODEL, 1, grid).decode_all()
        missing = (layout.last - cut.levels) // 4
        started = cut.levels >= layout.starts
        assert np.array_equal(cut.q[started], coarser(q, missing)[started])
        assert not cut.q[~started].any()


@pytest.mark.parametrize("size", [0.01, 1.0, 1e6])
def test_latents_of_any_size(size: float) -> None:
    q, grid = states(2, 2, 2, size)
    data = SymbolEncoder(MODEL, q, grid).data
    assert np.array_equal(SymbolDecoder(data, MODEL, 2, grid).decode_all().q, q)


@pytest.mark.parametrize("limit", [0, 1, 2, 17, 60])
def test_a_limit_gives_the_first_bytes(limit: int) -> None:
    q, grid = states(4, 4, 1)
    short = SymbolEncoder(MODEL, q, grid, limit).data[:limit]
    assert short == SymbolEncoder(MODEL, q, grid).data[:limit]


def test_layers_do_not_depend_on_each_other() -> None:
    q, grid = states(3, 2, 2)
    alone = SymbolDecoder(SymbolEncoder(MODEL, q[:1], grid).data, MODEL, 1, grid).decode_all()
    both = SymbolDecoder(SymbolEncoder(MODEL, q, grid).data, MODEL, 2, grid).decode_all()
    assert np.array_equal(alone.q, both.q[:1])


@pytest.mark.parametrize("seed", range(24))
def test_random_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid(*(int(side) for side in rng.integers(1, 5, 2)))
    data = rng.bytes(int(rng.integers(0, 300)))
    found = SymbolDecoder(data, MODEL, 1 + seed % 2, grid).decode_all()
    layout = MODEL.on_grid(grid).layout
    assert (np.abs(found.q) <= layout.max_states).all()
    # What an encoder writes for these states has the same beginning, as far as it is known.
    again = SymbolEncoder(MODEL, found.q, grid)
    assert SymbolDecoder(again.data, MODEL, 1 + seed % 2, grid).decode_all().symbols > 0


def test_states_out_of_range_are_an_error() -> None:
    q, grid = states(1, 2, 1)
    q[0, -1, 0] = 1 << 20
    with pytest.raises(ValueError, match="out of range"):
        SymbolEncoder(MODEL, q, grid)


def test_refinement_and_its_inverse() -> None:
    after = np.arange(-9, 10, dtype=np.int32)
    before = coarser(after, 1)
    assert np.array_equal(refine(before, digits_between(before, after)), after)


def test_both_ways_to_compute_contexts_agree_on_a_large_grid() -> None:
    q, grid = states(9, 11, 1, 0.3)
    data = SymbolEncoder(MODEL, q, grid).data
    assert np.array_equal(SymbolDecoder(data, MODEL, 1, grid).decode_all().q, q)


def test_kept_grids_are_limited_by_their_cells() -> None:
    model = stream_model()
    small, large = Grid(2, 3), [Grid(32, columns) for columns in (32, 31, 30)]
    first = model.on_grid(small)
    for grid in large:
        model.on_grid(grid)
        assert model.on_grid(small) is first  # in use
    assert list(model._grids) == [*large[1:], small]
    model.on_grid(large[0])
    assert model.on_grid(small) is first
    assert model.on_grid(large[0]) is model.on_grid(large[0])
