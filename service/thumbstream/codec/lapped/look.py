"""Context of the first look: mean and scale of coefficients, from a few small integer tables.

A coefficient's scale comes from a table of channel and frequency, from what all channels have at
low frequencies and from the magnitudes of near frequencies; its mean is a linear prediction from
these. Contexts are the states before the step, of coarser and finer frequencies alike.
Normative text: docs/bitstream.md, "Probabilities of the first look".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.params import CLASSES, MAX_VALUE, NODES, LappedParams, LookTables
from thumbstream.codec.lapped.planes import in_steps, last_plane, magnitudes
from thumbstream.codec.lapped.probabilities import SCALES, Integers
from thumbstream.codec.tensors import Grid

_LOW = 4
"""Frequencies below this count for the activity of a channel."""
_START = -320
"""Scale in sixteenths at which a coefficient starts."""


class LookContext:
    """Context model of group 0 for pictures of one grid. Nothing changes after construction."""

    def __init__(self, params: LappedParams, tables: LookTables, grid: Grid) -> None:
        first, self._cells = params.first, grid.cells
        self.tables = tables
        row, column = np.arange(grid.rows)[:, None], np.arange(grid.columns)
        frequency = 3 * row + 2 * column
        channel = np.arange(first)[:, None, None]
        self._classes = ((channel + frequency) % CLASSES).reshape(-1).astype(np.int32)
        self._channel = np.repeat(np.arange(first), grid.cells)
        self.base = _base(tables, grid).reshape(-1)
        reached = -(-(_START - self.base) // 32)  # the first plane of any class
        starts = np.maximum(reached, 0)
        self.starts = starts + (self._classes - starts) % CLASSES
        """``(K * cells,)``"""
        self.low = np.flatnonzero((row < _LOW) & (column < _LOW))
        weights = tables.values.astype(np.int64)
        self.values = _Taps(weights, grid, first, _value_weights(weights, grid))
        weights = tables.magnitudes.astype(np.int64)
        shape = len(weights), grid.rows, grid.columns
        self.magnitudes = _Taps(
            weights, grid, first, np.broadcast_to(weights[:, 4, None, None], shape)
        )

    def predict(
        self, q: Integers, plane: int, latents: NDArray[np.intp]
    ) -> tuple[Integers, Integers]:
        """Return scale and mean of ``latents``, ``(layers, n)`` each, in a step of ``plane``.

        ``q``: states of group 0 before the step, ``(layers, K * cells)``. ``latents``: flat indices
        of the step's coefficients.
        """
        tables, channel = self.tables, self._channel[latents]
        x = in_steps(q, plane - last_plane(plane - 1, self._classes))
        np.clip(x, -MAX_VALUE, MAX_VALUE, out=x)
        m = magnitudes(x)
        sums = m.reshape(len(m), -1, self._cells)[..., self.low].sum(-1)
        activity = (sums @ tables.activity.T.astype(np.int64)) >> 2
        scale = 4 * self.base[latents] + (128 + tables.slope[channel].astype(np.int64)) * plane
        scale = scale + activity[:, channel] + self.magnitudes.sums(m, latents)
        mean = self.values.sums(x, latents) >> 12
        return np.clip(scale >> 6, 0, SCALES - 1).astype(np.int32), mean.astype(np.int32)


class _Taps:
    """Sums of weighted coefficients at fixed differences of frequency, for one grid."""

    def __init__(
        self, taps: NDArray[np.int64], grid: Grid, channels: int, weights: NDArray[np.int64]
    ) -> None:
        """``taps``: rows of target, source, du, dv; ``weights`` ``(taps, rows, columns)``."""
        rows, columns = grid.rows, grid.columns
        row, column = np.arange(rows)[:, None], np.arange(columns)
        targets, sources, values = [], [], []
        for (target, source, down, right), weight in zip(taps[:, :4], weights, strict=True):
            u, v = row + down, column + right
            inside = (u >= 0) & (u < rows) & (v >= 0) & (v < columns)
            targets.append((target * grid.cells + row * columns + column)[inside])
            sources.append((source * grid.cells + u * columns + v)[inside])
            values.append(weight[inside])
        # Each target has one entry of weight 0, so that no segment of the sums is empty.
        every = np.arange(channels * grid.cells)
        target = np.concatenate([every, *targets])
        order = np.argsort(target, kind="stable")
        self.source = np.concatenate([every, *sources])[order]
        self.weight = np.concatenate([np.zeros_like(every), *values])[order]
        self.first = np.searchsorted(target[order], np.append(every, len(every)))

    def sums(self, x: Integers, latents: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the sums ``(n, len(latents))`` of ``x`` ``(n, channels * cells)``."""
        products = x[:, self.source] * self.weight
        sums: NDArray[np.int64] = np.add.reduceat(products, self.first[:-1], axis=1)
        return sums[:, latents]


def _base(tables: LookTables, grid: Grid) -> NDArray[np.int64]:
    """Scales in plane 0, in sixteenths: ``(K, rows, columns)``."""
    down, across = (_interpolation(count) for count in (grid.rows, grid.columns))
    scale = (down @ tables.scale.astype(np.int64) @ across.T) >> 4
    size = np.floor(64 * np.log2(grid.cells) + 0.5).astype(np.int64) - 256
    result: NDArray[np.int64] = scale + size
    return result


def _interpolation(count: int) -> NDArray[np.int64]:
    """``(count, NODES)``: weights of the nodes, in sixteenths."""
    place = np.floor(16 * np.log2(1 + np.arange(count)) + 0.5).astype(np.int64)
    weights: NDArray[np.int64] = np.maximum(0, 16 - np.abs(place[:, None] - 16 * np.arange(NODES)))
    return weights


def _value_weights(taps: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    """Weights in 1/4096: ``(taps, rows, columns)``."""
    total = np.arange(grid.rows)[:, None] + np.arange(grid.columns)
    inverse = (258 + total) // (2 * (2 + total))
    result: NDArray[np.int64] = 64 * taps[:, 4, None, None] + taps[:, 5, None, None] * inverse
    return result
