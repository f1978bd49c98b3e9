"""Products of matrices that stay in the thread that asks for them.

NumPy's BLAS gives a large product to a thread for each core, which spin while they wait for each
other. Beside workers that keep every core busy that is no help: with one busy neighbour a product
of microseconds took tens of milliseconds. Small products stay in their thread, so a large one is
made of small ones.
"""

from __future__ import annotations

import numpy as np

from thumbstream.codec.runtime import Float

ALONE = 1 << 18
"""Multiplications up to which OpenBLAS, which NumPy's wheels bring, uses one thread."""


def product(a: Float, b: Float, out: Float | None = None) -> Float:
    """``a @ b`` of ``(m, k)`` and ``(..., k, n)``, into ``out`` where there is one."""
    rows, inner = a.shape
    columns = b.shape[-1]
    together = max(1, ALONE // (rows * inner))
    if columns <= together:
        return np.matmul(a, b, out=out)
    if out is None:
        out = np.empty((*b.shape[:-2], rows, columns), np.float32)
    for first in range(0, columns, together):
        part = slice(first, first + together)
        np.matmul(a, b[..., part], out=out[..., part])
    return out
