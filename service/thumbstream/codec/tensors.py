"""Converts pixels to network tensors and back.

Tensors have samples in [-1, 1], channels first, and a height and width that are multiples of a
cell's side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """Number of rows and columns of cells; a cell is a block of ``stride`` x ``stride`` pixels."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Total number of cells."""
        return self.rows * self.columns


def cell_grid(height: int, width: int, stride: int) -> Grid:
    """Return the smallest grid that covers ``height`` x ``width`` pixels.

    The last row and column of cells may extend beyond the picture.
    """
    return Grid(-(-height // stride), -(-width // stride))


def normalize(pictures: NDArray[np.uint8], grid: Grid, stride: int) -> Float:
    """Convert uint8 ``(N, H, W, 3)`` to float32 ``(N, 3, H', W')`` in [-1, 1].

    ``H' = grid.rows * stride`` and ``W' = grid.columns * stride``: edge pixels are repeated to
    fill the last row and column of cells.
    """
    _, height, width, _ = pictures.shape
    below, right = grid.rows * stride - height, grid.columns * stride - width
    padded = np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    x = padded.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return np.ascontiguousarray(x, np.float32)


def denormalize(x_hat: Float, height: int, width: int) -> NDArray[np.uint8]:
    """Convert ``(..., C, H', W')`` to uint8 ``(..., height, width, C)``.

    Samples are clipped to [-1, 1], and the picture is cropped.
    """
    pixels = np.clip(np.rint((x_hat + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, -3, -1)[..., :height, :width, :])
