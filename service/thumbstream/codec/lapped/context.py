"""Context model of all groups but the first: mean and scale of latents, from a small network.

A network with integer weights reads magnitudes and signs of all latents of a cell and of its four
neighbours, in units of the plane's step. To its mean comes a linear prediction. All sums are below
2^24 in magnitude (checked when the tables are read), so float32 represents them exactly; those of
the inverse DCT are below 2^50, in float64.
Normative text: docs/bitstream.md, "Context model of format 8".

The functions take and return arrays only. Their first axis is any number of *items*: layers of a
picture for a decoder, layers and planes of the same class for an encoder, pictures for a fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.linear import integer_cosines
from thumbstream.codec.lapped.params import (
    FEATURES,
    MAX_PREDICTION,
    MAX_VALUE,
    VALUES,
    ContextTables,
    LappedParams,
)
from thumbstream.codec.lapped.planes import magnitudes
from thumbstream.codec.lapped.probabilities import SCALES, Integers
from thumbstream.codec.matmul import matmul_single_threaded
from thumbstream.codec.model_folder import HIDDEN_MAX
from thumbstream.codec.tensors import Float


def cell_values(x: Integers) -> Integers:
    """Inverse DCT of coefficients `in_steps` ``(n, K, rows, columns)``, as integers."""
    rows, columns = x.shape[-2:]
    exact = integer_cosines(rows).T @ x.astype(np.float64) @ integer_cosines(columns)
    return np.floor((exact + (1 << 23)) / (1 << 24)).astype(np.int32)


def features(x: Integers) -> tuple[Float, Float]:
    """Return features ``(n, c, 4, cells)`` and values ``(n, c, 2, cells)`` of ``x``.

    ``x``: latents `in_steps` ``(n, c, rows, columns)``, of cells. Features are magnitude, signed
    magnitude, and the sums of both over four neighbours; values the clipped ``x`` and its sum.
    """
    count, channels, rows, columns = x.shape
    own = np.zeros((3, count, channels, rows + 2, columns + 2), np.float32)
    inner = own[..., 1:-1, 1:-1]
    magnitude = magnitudes(x)
    inner[0] = magnitude
    inner[1] = np.sign(x) * magnitude
    inner[2] = np.clip(x, -MAX_VALUE, MAX_VALUE)
    around = own[..., :-2, 1:-1] + own[..., 2:, 1:-1]
    around += own[..., 1:-1, :-2]
    around += own[..., 1:-1, 2:]
    shape = 2, count, channels, rows * columns
    seen = np.empty((count, channels, FEATURES, rows * columns), np.float32)
    seen[:, :, 0], seen[:, :, 1] = inner[:2].reshape(shape)
    seen[:, :, 2], seen[:, :, 3] = around[:2].reshape(shape)
    values = np.empty((count, channels, VALUES, rows * columns), np.float32)
    values[:, :, 0], values[:, :, 1] = (z[2].reshape(shape[1:]) for z in (inner, around))
    return seen, values


class ContextModel:
    """Integer context model of one published model. Thread-safe: nothing changes later."""

    def __init__(self, params: LappedParams, tables: ContextTables) -> None:
        self._first = params.first
        self.starts = tables.starts
        shifts = np.exp2(-tables.shifts.astype(np.float64)).astype(np.float32)
        self._shifts = shifts
        self._w1 = np.ascontiguousarray(tables.w1.T, np.float32)
        self._b1, self._b1_plane = (t.astype(np.float32) for t in (tables.b1, tables.b1_plane))
        self._m = np.ascontiguousarray(tables.m.T, np.float32)
        self._bm = tables.bm.astype(np.float32)
        self._heads = np.concatenate([tables.w2, tables.w3], -1).astype(np.float32)
        self._b2, self._b2_plane = (t.astype(np.float32) for t in (tables.b2, tables.b2_plane))
        self._own = tables.own.astype(np.float32)
        self._predictor = np.ascontiguousarray(tables.predictor.T, np.float32)

    def predict(
        self,
        seen: Float,
        values: Float,
        planes: Sequence[int],
        group: int,
        parity: int,
        channels: NDArray[np.intp],
    ) -> tuple[Integers, Integers]:
        """Return scale and mean of the latents of ``channels``, ``(n, channels, cells)`` each.

        ``seen`` ``(n, C, 4, cells)`` and ``values`` ``(n, C, 2, cells)``: `features` of all
        channels before the step, of the cells of ``parity``. ``planes``: the plane of each item,
        all of one class. ``channels``: channels of ``group``.
        """
        count, _, _, cells = seen.shape
        plane, ours = np.asarray(planes, np.float32), channels - self._first
        bias = self._b1[planes[0] % 4, group - 1, parity] + plane[:, None] * self._b1_plane
        hidden = matmul_single_threaded(self._w1, seen.reshape(count, -1, cells))
        hidden += bias[..., None]
        _clip_units(hidden, self._shifts[0])
        second = matmul_single_threaded(self._m, hidden)
        second += self._bm[group - 1, :, None]
        _clip_units(second, self._shifts[1])
        units = np.concatenate([hidden, second], 1)
        weights = self._heads[:, ours].reshape(2 * len(ours), -1)
        heads = matmul_single_threaded(weights, units).reshape(count, 2, len(ours), cells)
        bias = self._b2[parity][:, ours] + plane[:, None, None] * self._b2_plane[:, ours]
        heads += bias[..., None]
        predictor = self._predictor[ours]
        linear = matmul_single_threaded(predictor, values.reshape(count, -1, cells))
        linear = np.floor(linear * np.float32(1 / 64)).clip(-MAX_VALUE, MAX_VALUE)
        own = self._own[:, ours, None]
        scale = heads[:, 0] + own[0] * seen[:, channels, 0] + own[1] * seen[:, channels, 2]
        scale += own[2] * np.minimum(np.abs(linear), MAX_PREDICTION)
        scale = np.floor(scale * self._shifts[2]).clip(0, SCALES - 1)
        mean = linear + np.floor(heads[:, 1] * self._shifts[3])
        return scale.astype(np.int32), mean.astype(np.int32)


def _clip_units(units: Float, shift: np.float32) -> None:
    """Convert sums to hidden units in place: integers from 0 to `HIDDEN_MAX`."""
    np.multiply(units, shift, out=units)
    np.floor(units, out=units)
    np.clip(units, 0, HIDDEN_MAX, out=units)
