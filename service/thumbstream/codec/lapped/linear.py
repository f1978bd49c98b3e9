"""Computes the linear transform that encoder and decoder share.

::

    pixels --lapping, 8 x 8 blocks--> samples of cells --KLT--> latents of cells
                                      latents of group 0 --DCT over cells--> coefficients

Every step is orthonormal, so the inverse is the transpose. *Lapping* mixes four pixels on each side
of every edge between cells (Malvar 1992; Tran, Liang and Tu 2003). The *KLT* transforms the 3 x 64
samples of a cell, the strongest channel first.

Pixels of float64 have latents of float64. Encoders in all languages quantize these to the same
integers; the networks take float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.params import SAMPLES, SIDE, LinearTables
from thumbstream.codec.matmul import matmul_single_threaded
from thumbstream.codec.tensors import Float

COLOURS = 3
_HALF = SIDE // 2

Latents: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)


class LinearTransform:
    """Linear transform of one published model. Thread-safe."""

    def __init__(self, tables: LinearTables) -> None:
        self._tables, self._inverse = tables, np.ascontiguousarray(tables.klt.T)
        self._edge = _edge_matrix(tables.rotation)

    def samples(self, x: NDArray[Real]) -> NDArray[Real]:
        """Lap pixels ``(N, 3, 8 h, 8 w)`` and cut them into cells: ``(N, 192, h, w)``."""
        count, colours, height, width = x.shape
        rows, columns = height // SIDE, width // SIDE
        lapped = self._lap(x, _edge_matrix(self._tables.rotation.astype(x.dtype)))
        cells = lapped.reshape(count, colours, rows, SIDE, columns, SIDE)
        return cells.transpose(0, 1, 3, 5, 2, 4).reshape(count, SAMPLES, rows, columns)

    def latents(self, samples: NDArray[Real]) -> NDArray[Real]:
        """Transform samples ``(N, 192, h, w)`` to latents ``(N, C, h, w)``, without scales."""
        return _per_cell(self._tables.klt.astype(samples.dtype, copy=False), samples)

    def colour_latents(self, samples: NDArray[Real]) -> NDArray[Real]:
        """Return the terms of the latents of rotated colours: ``(3, 3, C, h, w)``.

        Entry ``[j, i]`` has the latents of colour ``j`` of ``samples`` ``(1, 192, h, w)`` in place
        of colour ``i``. So the latents of samples that are multiplied by a matrix ``R`` are the sum
        of ``R[i, j]`` times these.
        """
        rows, columns = samples.shape[2:]
        colours = np.ascontiguousarray(samples.reshape(COLOURS, -1, rows * columns))
        klt = self._tables.klt.astype(samples.dtype).reshape(-1, COLOURS, SIDE * SIDE)
        terms = np.empty((COLOURS, COLOURS, len(klt), rows * columns), samples.dtype)
        for i in range(COLOURS):
            matmul_single_threaded(np.ascontiguousarray(klt[:, i]), colours, out=terms[:, i])
        return terms.reshape(COLOURS, COLOURS, -1, rows, columns)

    def pixels(self, latents: Float) -> Float:
        """Transform latents ``(N, C, h, w)``, without scales, to pixels ``(N, 3, 8 h, 8 w)``."""
        count, _, rows, columns = latents.shape
        cells = _per_cell(self._inverse, latents)
        cells = cells.reshape(count, -1, SIDE, SIDE, rows, columns).transpose(0, 1, 4, 2, 5, 3)
        return self._lap(cells.reshape(count, -1, rows * SIDE, columns * SIDE), self._edge.T)

    @staticmethod
    def _lap(x: NDArray[Real], edge: NDArray[Real]) -> NDArray[Real]:
        """Multiply the eight samples around every inner edge of cells by ``edge``."""
        result = x.copy()
        for axis in (2, 3):
            inner = np.moveaxis(result, axis, -1)[..., _HALF:-_HALF]  # a view
            straddling = inner.reshape(*inner.shape[:-1], -1, SIDE)
            inner[...] = (straddling @ edge.T).reshape(inner.shape)
        return result


@lru_cache(maxsize=64)
def cosines(count: int) -> Float:
    """Return the orthonormal DCT-II of ``count`` samples: ``(count, count)``, one row each."""
    return _cosines(count).astype(np.float32)


@lru_cache(maxsize=64)
def integer_cosines(count: int) -> NDArray[np.float64]:
    """Return `cosines` times 4096, rounded; float64, so that products are exact and fast."""
    return np.floor(4096 * _cosines(count) + 0.5)


def to_frequencies(latents: NDArray[Real]) -> NDArray[Real]:
    """DCT of each channel over the cells: ``(..., h, w)`` to the same shape."""
    down, across = (_cosines(count).astype(latents.dtype) for count in latents.shape[-2:])
    result: NDArray[Real] = np.matmul(down, np.matmul(latents, across.T))
    return result


def from_frequencies(coefficients: Float) -> Float:
    """Compute the inverse of `to_frequencies`."""
    rows, columns = coefficients.shape[-2:]
    result: Float = np.matmul(cosines(rows).T, np.matmul(coefficients, cosines(columns)))
    return result


def _cosines(count: int) -> NDArray[np.float64]:
    places = np.arange(count)
    rows: NDArray[np.float64] = np.cos(np.pi / (2 * count) * places[:, None] * (2 * places + 1))
    rows *= np.sqrt(2 / count)
    rows[0] *= np.sqrt(0.5)
    return rows


def _edge_matrix(rotation: NDArray[Real]) -> NDArray[Real]:
    """``(8, 8)``: sums of mirrored samples stay, their differences are rotated."""
    same = np.eye(_HALF, dtype=rotation.dtype)
    mirrored = same[::-1]
    butterfly = np.block([[same, mirrored], [mirrored, -same]])
    turn = np.block([[same, np.zeros_like(same)], [np.zeros_like(same), rotation]])
    edge: NDArray[Real] = butterfly @ turn @ butterfly / rotation.dtype.type(2)
    return edge


def _per_cell(matrix: NDArray[Real], x: NDArray[Real]) -> NDArray[Real]:
    count, _, rows, columns = x.shape
    flat = np.ascontiguousarray(x.reshape(count, -1, rows * columns))
    return matmul_single_threaded(matrix, flat).reshape(count, -1, rows, columns)
