"""Integer context model of the iterative families: probability of each code given earlier codes.

Each iteration has a small network with integer weights. The inputs of the network are the codes of
the 3x3 cells around a cell, from this iteration (codes that are already known) and from the two
previous iterations::

    3x3 neighbours x planes x 3 iterations, each -1, 0 (unknown or outside) or +1
        --> x w1 + b1[plane, half] --> clip to 0..255 --> . w2[plane, half] + b2 --> >> 3
        --> clip to -1024..1023 --> table of 16-bit probabilities

How to read this file: `ContextModel` checks the tables and converts them to float32; `Context` is
the state while one picture is coded. For every iteration call `next_iteration`. Then, for each
half-plane of the iteration, call `probabilities`, code the half-plane's codes, and call `update`.
The sums of the first layer are stored per cell, and `update` adds only the contribution of the new
codes.

All sums stay below 2^24 (checked when the tables are opened), so float32 is exact: matrix products
run in BLAS and give the same integers on every machine. No other computation between codes and
bytes uses floating point. Normative text: docs/bitstream.md, "Context model".
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
"""A plane is coded in two halves: the even and the odd cells of a checkerboard."""
SOURCES = 3
"""Number of iterations whose codes a context reads: the current and the two previous ones."""
TAPS = 9
"""Number of cells of a 3x3 neighbourhood; the order is row by row."""
_TYPES: dict[str, np.dtype[Any]] = {
    "w1": np.dtype(np.int8),
    "b1": np.dtype(np.int16),
    "w2": np.dtype(np.int8),
    "b2": np.dtype(np.int32),
    "probability": np.dtype(np.uint16),
}


@lru_cache(maxsize=256)
def half_planes(grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the flat indices of the even and of the odd cells of a checkerboard, row by row.

    The even cells are coded first, so the four direct neighbours of an odd cell are then known.
    """
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    parity = (row + column) % HALVES_PER_PLANE
    return np.flatnonzero(parity == 0), np.flatnonzero(parity == 1)


class ContextModel:
    """Integer tables of one published model, checked and converted to float32."""

    def __init__(self, tables: Mapping[str, NDArray[np.generic]]) -> None:
        """Check and convert ``tables``; raises `ArtifactError` if they contradict each other.

        ``w1`` int8 (T, 3, planes, 9, hidden), ``b1`` int16 (T, 2 * planes, hidden), ``w2`` int8
        (T, 2 * planes, hidden), ``b2`` int32 (T, 2 * planes), ``probability`` uint16 (2048,). ``T``
        is the number of iterations.
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
    """Indices of cells and their neighbours in a flattened plane with a border of one cell."""

    taps: NDArray[np.intp]
    """``(cells, 9)``: indices of the 3x3 cells around each cell."""
    halves: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Indices of the cells of the two half-planes."""
    size: int
    """Number of cells of a plane, including the border."""


@lru_cache(maxsize=256)
def _neighbourhoods(grid: Grid) -> _Neighbourhoods:
    width = grid.columns + 2
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    centre = (row + 1) * width + column + 1
    offsets = np.array([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    even, odd = half_planes(grid)
    halves = centre[even], centre[odd]
    return _Neighbourhoods(centre[:, None] + offsets, halves, width * (grid.rows + 2))


class Context:
    """State of the context model while one picture is coded."""

    def __init__(self, model: ContextModel, grid: Grid) -> None:
        self._model = model
        self._indices = _neighbourhoods(grid)
        self.halves = half_planes(grid)
        """Flat indices of the cells of each half-plane that have codes in the current iteration, in
        coding order."""
        self._centres = self._indices.halves
        self._iteration = -1
        # Codes with a border of zeros, (planes, size): this iteration's, then the earlier ones'.
        self._codes: list[Float] = []
        self._sums = np.zeros((grid.cells, model.w1.shape[-1]), np.float32)

    def next_iteration(self, active: NDArray[np.bool_] | None = None) -> None:
        """Start the next iteration.

        ``active`` ``(cells,)``: whether each cell has codes in the iteration (None: the cells of
        the previous iteration). A cell without codes cannot become active again.
        """
        model, indices = self._model, self._indices
        if active is not None:
            coded = [active[cells] for cells in self.halves]
            self._centres = (self._centres[0][coded[0]], self._centres[1][coded[1]])
            self.halves = (self.halves[0][coded[0]], self.halves[1][coded[1]])
        self._iteration += 1
        unknown = np.zeros((model.planes, indices.size), np.float32)
        self._codes = [unknown, *self._codes[: SOURCES - 1]]
        self._sums = np.zeros_like(self._sums)
        for source, codes in enumerate(self._codes[1:], start=1):
            weights = model.w1[self._iteration, source]
            inputs = codes[:, indices.taps].transpose(1, 0, 2).reshape(len(indices.taps), -1)
            self._sums += inputs @ weights.reshape(-1, weights.shape[-1])

    def probabilities(self, plane: int, half: int) -> NDArray[np.int64]:
        """Return ``P(+1) * 2^16`` of the codes of one half-plane, in coding order."""
        model, step = self._model, (self._iteration, plane * HALVES_PER_PLANE + half)
        sums = self._sums[self.halves[half]] + model.b1[step]
        hidden = np.minimum(np.maximum(sums, 0), HIDDEN_MAX)
        logit = (hidden @ model.w2[step] + model.b2[step]).astype(np.int64) >> LOGIT_SHIFT
        middle = TABLE_SIZE // 2
        entries = np.minimum(np.maximum(logit, -middle), middle - 1) + middle
        probabilities: NDArray[np.int64] = model.probability[entries]
        return probabilities

    def update(self, plane: int, half: int, codes: Float) -> None:
        """Update the context with the codes (-1 or +1) of one half-plane, in coding order."""
        indices = self._indices
        new = np.zeros(indices.size, np.float32)
        new[self._centres[half]] = codes
        self._codes[0][plane] += new
        self._sums += new[indices.taps] @ self._model.w1[self._iteration, 0, plane]
