"""Samples of pictures as networks take and give them: [-1, 1], whole cells, channels first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a picture: ``rows`` x ``columns``."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.rows * self.columns


def cell_grid(height: int, width: int, stride: int) -> Grid:
    """Cells that cover a picture of ``height`` x ``width`` pixels (the last ones may hang over)."""
    return Grid(-(-height // stride), -(-width // stride))


def normalize(pictures: NDArray[np.uint8], grid: Grid, stride: int) -> Float:
    """``(N, H, W, 3)`` to ``(N, 3, H', W')`` float32 in [-1, 1], edges repeated to whole cells."""
    _, height, width, _ = pictures.shape
    below, right = grid.rows * stride - height, grid.columns * stride - width
    padded = np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    x = padded.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return np.ascontiguousarray(x, np.float32)


def denormalize(x_hat: Float, height: int, width: int) -> NDArray[np.uint8]:
    """``(C, H', W')`` in [-1, 1] or slightly outside to ``(height, width, C)`` uint8."""
    pixels = np.clip(np.rint((x_hat + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0)[:height, :width])
