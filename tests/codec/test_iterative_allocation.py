"""Allocation of iterations to cells, compared with brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream.codec.iterative.allocation import (
    ANY_STOP_BITS,
    CELL_STOP_BITS,
    RateDistortionTraces,
    allocate,
)
from thumbstream.codec.quality import psnr

PLANES = 4


def falling(seed: int, iterations: int, cells: int) -> NDArray[np.float64]:
    """``(iterations, 1, cells)``: decreasing errors, in some cells much faster than in others."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.4, 0.98, cells)
    scale = rng.uniform(50, 5000, cells)
    steps = np.arange(iterations)[:, None]
    return (scale * rate**steps * rng.uniform(0.9, 1.1, (iterations, cells)))[:, None]


def cost(errors: NDArray[np.float64], ends: NDArray[np.intp], slope: float) -> float:
    """Error + slope x bits, with the decisions about stops of each iteration."""
    flat, cells = ends.reshape(-1), np.arange(ends.size)
    bits = float(PLANES * flat.sum())
    for t in range(1, int(flat.max())):
        if (flat == t).any():
            bits += ANY_STOP_BITS + CELL_STOP_BITS * int((flat >= t).sum())
    return float(errors.reshape(len(errors), -1)[flat - 1, cells].sum()) + slope * bits


@pytest.mark.parametrize("slope", [0.01, 1, 8, 40, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_close_to_exhaustive_search(seed: int, slope: float) -> None:
    """Greedy, so not always optimal; but close, and never worse than without stops."""
    errors = falling(seed, 4, 5)
    found = allocate(errors, PLANES, slope)
    best = min(cost(errors, np.array(ends), slope) for ends in product(range(1, 5), repeat=5))
    uniform = min(cost(errors, np.full(5, end), slope) for end in range(1, 5))
    assert cost(errors, found, slope) <= min(uniform, 1.05 * best) + 1e-6


def test_steeper_slopes_use_fewer_iterations() -> None:
    errors = falling(3, 12, 64)
    spent = [int(allocate(errors, PLANES, 2.0**k).sum()) for k in range(-4, 14)]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > 4 * spent[-1]
    assert spent[-1] == 64


def test_no_stops_without_savings() -> None:
    """Identical cells do not stop."""
    errors = np.repeat(falling(1, 8, 1), 30, axis=2)
    for k in range(-2, 12):
        assert len(np.unique(allocate(errors, PLANES, 2.0**k))) == 1


def test_errors_per_cell() -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (11, 19, 3), np.uint8)
    x_hats = rng.integers(0, 256, (3, 11, 19, 3), np.uint8)
    traces = RateDistortionTraces(pixels, x_hats, 8, PLANES, lambda iterations: b"")
    errors = traces.errors()
    assert errors.shape == (3, 2, 3)
    last = (x_hats[2, 8:, 16:].astype(float) - pixels[8:, 16:]) ** 2
    assert errors[2, 1, 2] == last.sum()
    assert traces.all_iterations().tolist() == [[3, 3, 3], [3, 3, 3]]


def test_picture_of_an_allocation() -> None:
    """Each cell has its pixels of its last iteration."""
    pixels = np.zeros((16, 11, 3), np.uint8)
    x_hats = np.stack([np.full_like(pixels, 10 * t) for t in (1, 2, 3)])
    traces = RateDistortionTraces(pixels, x_hats, 8, PLANES, lambda iterations: b"")
    ends = np.array([[1, 3], [2, 1]])
    picture = traces.picture(ends)
    assert picture.shape == pixels.shape
    assert picture[:8, :8].tolist() == np.full((8, 8, 3), 10).tolist()
    assert np.unique(picture[:8, 8:]).tolist() == [30]
    assert np.unique(picture[8:, :8]).tolist() == [20]
    complete = psnr(pixels, traces.picture(traces.all_iterations()))
    assert complete == pytest.approx(psnr(pixels, x_hats[-1]))
