"""Pixels to network tensors and back: samples in [-1, 1], channels first, complete cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a picture; a cell is a block of ``stride`` x ``stride`` pixels."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns


def cell_grid(height: int, width: int, stride: int) -> Grid:
    """Grid that covers ``height`` x ``width`` pixels; the last cells may extend beyond them."""
    return Grid(-(-height // stride), -(-width // stride))


def normalize(pictures: NDArray[np.uint8], grid: Grid, stride: int) -> Float:
    """``(N, H, W, 3)`` to ``(N, 3, H', W')`` float32 in [-1, 1].

    Edge pixels are repeated to fill the last cells: ``H' = grid.rows * stride``.
    """
    _, height, width, _ = pictures.shape
    below, right = grid.rows * stride - height, grid.columns * stride - width
    padded = np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    x = padded.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return np.ascontiguousarray(x, np.float32)


def denormalize(x_hat: Float, height: int, width: int) -> NDArray[np.uint8]:
    """``(C, H', W')`` in [-1, 1], clipped and cropped, to ``(height, width, C)`` uint8."""
    pixels = np.clip(np.rint((x_hat + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0)[:height, :width])
