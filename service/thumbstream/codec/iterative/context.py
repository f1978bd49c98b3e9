"""Integer context model: the probability of each code, given everything coded before it.

For every iteration there is one small network with integer weights. A cell looks at the codes in
the 3x3 cells around it, of this iteration (as far as they are known) and of the two before::

    3x3 neighbours x planes x 3 iterations, each -1, 0 (unknown or outside) or +1
        --> x w1 + b1[plane, half] --> clip to 0..255 --> . w2[plane, half] + b2 --> >> 3
        --> clip to -1024..1023 --> table of 16-bit probabilities

All sums stay below 2^24 (checked when the tables are opened), so float32 is exact: matrix
products run in BLAS and still give the same integers everywhere. Nothing else on the way between
symbols and bytes uses floating point. Normative text: docs/bitstream.md, "Context model".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.model_folder import (
    HIDDEN_MAX,
    LOGIT_SHIFT,
    TABLE_SIZE,
    check_accumulator_range,
    shape_error,
    validate_tables,
)
from thumbstream.codec.tensors import Float, Grid

HALVES_PER_PLANE = 2
"""Half-planes of a checkerboard."""
SOURCES = 3
"""Iterations that a context sees: this one and the two before."""
TAPS = 9
"""Cells of a 3x3 neighbourhood, in raster order."""
_TYPES: dict[str, np.dtype[Any]] = {
    "w1": np.dtype(np.int8),
    "b1": np.dtype(np.int16),
    "w2": np.dtype(np.int8),
    "b2": np.dtype(np.int32),
    "probability": np.dtype(np.uint16),
}


@lru_cache(maxsize=256)
def half_planes(grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat cell indices of the even and of the odd squares, each in raster order."""
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    parity = (row + column) % HALVES_PER_PLANE
    return np.flatnonzero(parity == 0), np.flatnonzero(parity == 1)


class ContextModel:
    """The integer tables of one published model, validate_tables and ready to use."""

    def __init__(self, tables: Mapping[str, NDArray[np.generic]]) -> None:
        """Check and take ``tables``; raises `ArtifactError` when they do not fit each other.

        ``w1`` int8 (T, 3, planes, 9, hidden), ``b1`` int16 (T, 2 planes, hidden), ``w2`` int8
        (T, 2 planes, hidden), ``b2`` int32 (T, 2 planes), ``probability`` uint16 (2048,).
        """
        w1, b1, w2, b2, probability = validate_tables(tables, _TYPES)
        iterations, sources, planes, taps, hidden = w1.shape if w1.ndim == 5 else (0,) * 5
        steps = (iterations, planes * HALVES_PER_PLANE)
        if (
            (sources, taps) != (SOURCES, TAPS)
            or not w1.size
            or b1.shape != (*steps, hidden)
            or w2.shape != (*steps, hidden)
            or b2.shape != steps
        ):
            raise shape_error()
        check_accumulator_range(
            np.abs(w1).sum(axis=(1, 2, 3)).max() + np.abs(b1).max(),
            HIDDEN_MAX * np.abs(w2).sum(axis=-1).max() + np.abs(b2).max(),
        )
        self.iterations = int(iterations)
        self.planes = int(planes)
        self.w1: Float = w1.astype(np.float32)
        self.b1: Float = b1.astype(np.float32)
        self.w2: Float = w2.astype(np.float32)
        self.b2: Float = b2.astype(np.float32)
        self.probability: NDArray[np.int64] = probability


@dataclass(frozen=True, slots=True)
class _Neighbourhoods:
    """Where cells and their neighbours lie in a flattened plane with a border of zeros."""

    taps: NDArray[np.intp]
    """``(cells, 9)``: the 3x3 cells around each cell."""
    halves: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Cells of either half-plane."""
    size: int
    """Samples of a plane with its border."""


@lru_cache(maxsize=256)
def _neighbourhoods(grid: Grid) -> _Neighbourhoods:
    width = grid.columns + 2
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    centre = (row + 1) * width + column + 1
    around = np.array([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    even, odd = half_planes(grid)
    halves = centre[even], centre[odd]
    return _Neighbourhoods(centre[:, None] + around, halves, width * (grid.rows + 2))


class Context:
    """What is known of one picture's codes so far, and the probabilities that follow from it."""

    def __init__(self, model: ContextModel, grid: Grid) -> None:
        self._model = model
        self._where = _neighbourhoods(grid)
        self.halves = half_planes(grid)
        """Cells of either half-plane that have codes in this iteration, in coding order."""
        self._centres = self._where.halves
        self._iteration = -1
        # Codes with a border of zeros, (planes, size): this iteration's, then the earlier ones'.
        self._codes: list[Float] = []
        self._sums = np.zeros((grid.cells, model.w1.shape[-1]), np.float32)

    def next_iteration(self, active: NDArray[np.bool_] | None = None) -> None:
        """Go on to the next iteration, of which nothing is known yet.

        ``active`` ``(cells,)``: which cells have codes in it (None: those of the one before).
        """
        model, where = self._model, self._where
        if active is not None:
            coded = [active[cells] for cells in self.halves]
            self._centres = (self._centres[0][coded[0]], self._centres[1][coded[1]])
            self.halves = (self.halves[0][coded[0]], self.halves[1][coded[1]])
        self._iteration += 1
        unknown = np.zeros((model.planes, where.size), np.float32)
        self._codes = [unknown, *self._codes[: SOURCES - 1]]
        self._sums = np.zeros_like(self._sums)
        for source, codes in enumerate(self._codes[1:], start=1):
            weights = model.w1[self._iteration, source]
            seen = codes[:, where.taps].transpose(1, 0, 2).reshape(len(where.taps), -1)
            self._sums += seen @ weights.reshape(-1, weights.shape[-1])

    def probabilities(self, plane: int, half: int) -> NDArray[np.int64]:
        """``P(+1) * 2^16`` of the codes of one half-plane, in coding order."""
        model, step = self._model, (self._iteration, plane * HALVES_PER_PLANE + half)
        sums = self._sums[self.halves[half]] + model.b1[step]
        hidden = np.minimum(np.maximum(sums, 0), HIDDEN_MAX)
        logit = (hidden @ model.w2[step] + model.b2[step]).astype(np.int64) >> LOGIT_SHIFT
        middle = TABLE_SIZE // 2
        entries = np.minimum(np.maximum(logit, -middle), middle - 1) + middle
        chances: NDArray[np.int64] = model.probability[entries]
        return chances

    def update(self, plane: int, half: int, codes: Float) -> None:
        """Take in the codes (-1 or +1) of one half-plane."""
        where = self._where
        new = np.zeros(where.size, np.float32)
        new[self._centres[half]] = codes
        self._codes[0][plane] += new
        self._sums += new[where.taps] @ self._model.w1[self._iteration, 0, plane]
