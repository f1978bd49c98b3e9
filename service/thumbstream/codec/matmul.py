"""Computes matrix products in the calling thread."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", np.float32, np.float64)

MAX_SINGLE_THREADED_SIZE = 1 << 18
"""OpenBLAS, the BLAS of NumPy's wheels, computes products up to this size (m * k * n) in the
calling thread."""


def matmul_single_threaded(
    a: NDArray[T], b: NDArray[T], out: NDArray[T] | None = None
) -> NDArray[T]:
    """Return ``a @ b`` for ``(m, k)`` and ``(..., k, n)``; written to ``out`` if given.

    BLAS splits a large product over one thread per core, and the threads spin while they wait for
    each other: with a single busy core, a product of microseconds took tens of milliseconds. A
    large product is therefore computed in slices that are small enough for a single thread.
    """
    rows, inner = a.shape
    columns = b.shape[-1]
    width = max(1, MAX_SINGLE_THREADED_SIZE // (rows * inner))
    if out is None:
        out = np.empty((*b.shape[:-2], rows, columns), b.dtype)
    # Kernels of some processors compute lanes that they do not store, and raise their flags.
    with np.errstate(all="ignore"):
        for first in range(0, columns, width):
            part = slice(first, first + width)
            np.matmul(a, b[..., part], out=out[..., part])
    return out
