"""The order in which binary codes travel.

A picture of ``H`` x ``W`` pixels has a grid of ``rows`` x ``columns`` cells, one per ``stride`` x
``stride`` block. Every iteration of the codec adds ``planes`` binary codes to each cell. Codes
travel iteration by iteration; inside an iteration plane by plane (the training puts the most
important plane first); inside a plane first the even squares of a checkerboard, then the odd ones,
so that the second half sees all four neighbours of every cell; inside a half-plane in raster order.

The order is normative: see docs/bitstream.md, "Order of the codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HALVES = 2
"""Half-planes of a checkerboard."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a picture: ``rows`` x ``columns``."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.rows * self.columns


def grid_of(height: int, width: int, stride: int) -> Grid:
    """Cells that cover a picture of ``height`` x ``width`` pixels (the last ones may hang over)."""
    return Grid(-(-height // stride), -(-width // stride))


@lru_cache(maxsize=256)
def half_planes(grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat cell indices of the even and of the odd squares, each in raster order."""
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    parity = (row + column) % HALVES
    return np.flatnonzero(parity == 0), np.flatnonzero(parity == 1)


def coding_rank(grid: Grid, planes: int) -> NDArray[np.int64]:
    """Place of every code of one iteration in the stream.

    Returns an int64 array of shape ``(planes, rows, columns)`` that holds each of
    ``0 .. planes * cells - 1`` once.
    """
    plane_rank = np.empty(grid.cells, np.int64)
    plane_rank[np.concatenate(half_planes(grid))] = np.arange(grid.cells)
    rank = plane_rank + grid.cells * np.arange(planes)[:, None]
    return rank.reshape(planes, grid.rows, grid.columns)
