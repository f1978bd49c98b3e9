"""Integer context model of the embedded family: chances of a step's symbols, before it is read.

One small network with integer weights looks at all latents of a cell and of its four neighbours,
each at the level to which it is known. Its first layer is shared by all steps and kept up to date
as groups are refined, and so is a linear prediction of every latent from the values of all; a
channel also looks at its own state directly::

    v = state in units of the finest interval; of every channel: v, and the neighbours' sum
        --> x predictor --> >> prediction_shifts[plane] --> clip to -127..127 = o, how far off it is
    s = state clipped to -4 .. 4; of every channel: |s|, s, and the neighbours' sums of both
        --> x a, or b where this plane has refined the group; + b1[plane, group]
        --> >> shifts[0] --> clip to 0..255  = h
    h   --> x m + bm[group] --> >> shifts[1] --> clip to 0..255  = k
    logit = b2[plane] + w2 . h + w3 . k + own . (the channel's own five features)
            + gain[plane] (|o|, or o for the sign)
        --> >> shifts[2] --> clip to -1024..1023
        --> table of 16-bit chances: that a digit is not 0, and if so that it is +1

All sums stay below 2^24 (checked when the tables are opened), so float32 is exact; a shift is a
multiplication by a power of two, which is also exact in float32, followed by `floor`.
Normative text: docs/bitstream.md, "Context model of bitstream 7".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.quantizer import EmbeddedQuantizer, Step
from thumbstream.codec.model_folder import (
    HIDDEN_MAX,
    TABLE_SIZE,
    check_accumulator_range,
    shape_error,
    validate_tables,
)
from thumbstream.codec.runtime import matmul_single_threaded
from thumbstream.codec.tensors import Float, Grid
from thumbstream.errors import ArtifactError

CLIP = 4
"""Larger states look like this one."""
FEATURES = 4
"""Of every channel: ``|s|``, ``s``, and the sums of both over the four neighbours."""
VALUES = 2
"""Of every channel: its value in units of the finest interval, and the neighbours' sum."""
MAX_RESIDUAL = 127
"""How far off a prediction says that a value is, at most."""
MAX_SHIFT = 16
DECISIONS = 2
"""Of a symbol: whether it is not 0, and if so whether it is +1."""
_TYPES: dict[str, np.dtype[Any]] = {
    "a": np.dtype(np.int8),
    "b": np.dtype(np.int8),
    "b1": np.dtype(np.int32),
    "m": np.dtype(np.int8),
    "bm": np.dtype(np.int32),
    "w2": np.dtype(np.int8),
    "w3": np.dtype(np.int8),
    "own": np.dtype(np.int16),
    "b2": np.dtype(np.int32),
    "predictor": np.dtype(np.int8),
    "gain": np.dtype(np.int16),
    "probability": np.dtype(np.uint16),
    "shifts": np.dtype(np.uint8),
    "prediction_shifts": np.dtype(np.uint8),
}
_REACH = np.array([CLIP, CLIP, 4 * CLIP, 4 * CLIP])
"""Largest magnitude of each feature."""
_OWN = ((0, 4), (0, 0), (0, 2), (1, 1), (1, 3))
"""Decision and feature of each row of ``own``; a fifth feature is whether ``|s| > 0``."""
_OWN_REACH = np.array([1, CLIP, 4 * CLIP, CLIP, 4 * CLIP])
OWN_FEATURES = FEATURES + 1
"""Of every channel, with the one that only the channel itself looks at."""
_AROUND = np.array([1, 4])
"""Cells that tell each of `VALUES`."""
_MIDDLE = TABLE_SIZE // 2

Probabilities: TypeAlias = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Weights:
    """Of one step, ready to be multiplied from the left; all are scaled by their shift."""

    b1: Float
    """``(hidden, 1)``"""
    bm: Float
    """``(second, 1)``"""
    w: Float
    """``(2 width, hidden + second)``: first all chances of not 0, then all of +1."""
    own: Float
    """``(2 width, 5 channels of the group)``, almost empty."""
    b2: Float
    """``(2 width, 1)``, with the middle of the probability table added."""
    gain: Float
    """``(2, width, 1)``"""
    off_scale: np.float32
    """Of the sums that predict."""


class EmbeddedContextModel:
    """The integer tables of one published model, validate_tables and ready to use."""

    def __init__(
        self, tables: Mapping[str, NDArray[np.generic]], quantizer: EmbeddedQuantizer
    ) -> None:
        """Check and take ``tables``; raises `ArtifactError` when they do not fit.

        ``a``, ``b`` int8 (4 channels, hidden): row ``4 c + f`` is feature ``f`` of channel ``c``;
        ``b1`` int32 (planes, groups, hidden), ``m`` int8 (hidden, second), ``bm`` int32 (groups,
        second), ``w2`` int8 (2, channels, hidden), ``w3`` int8 (2, channels, second), ``own`` int16
        (5, channels), ``b2`` int32 (planes, 2, channels), ``predictor`` int8 (2 channels,
        channels): rows ``2 c`` and ``2 c + 1`` are what channel ``c`` and its neighbours tell,
        ``gain`` int16 (planes, 2, channels), ``probability`` uint16 (2048,), ``shifts`` uint8 (3,),
        ``prediction_shifts`` uint8 (planes,).
        """
        a, b, b1, m, bm, w2, w3, own, b2, predictor, gain, probability, shifts, off_shifts = (
            validate_tables(tables, _TYPES)
        )
        params = quantizer.params
        channels, groups = params.channels, len(params.groups)
        hidden, second = m.shape if m.ndim == 2 else (0, 0)
        if (
            not m.size
            or not a.shape == b.shape == (FEATURES * channels, hidden)
            or b1.shape != (params.planes, groups, hidden)
            or bm.shape != (groups, second)
            or w2.shape != (DECISIONS, channels, hidden)
            or w3.shape != (DECISIONS, channels, second)
            or own.shape != (len(_OWN), channels)
            or b2.shape != (params.planes, DECISIONS, channels)
            or predictor.shape != (VALUES * channels, channels)
            or gain.shape != (params.planes, DECISIONS, channels)
            or shifts.shape != (3,)
            or off_shifts.shape != (params.planes,)
        ):
            raise shape_error()
        if max(shifts.max(), off_shifts.max()) > MAX_SHIFT:
            raise ArtifactError(f"a shift of the entropy tables is over {MAX_SHIFT}")
        reach = np.tile(_REACH, channels)[:, None]
        of_heads = np.abs(w2).sum(-1) + np.abs(w3).sum(-1)  # (2, channels)
        of_own = np.zeros_like(of_heads)
        for (decision, _), weights, largest in zip(_OWN, own, _OWN_REACH, strict=True):
            of_own[decision] += np.abs(weights) * largest
        of_gain = MAX_RESIDUAL * np.abs(gain).max(0)
        farthest = quantizer.max_states.astype(np.int64) * _AROUND
        check_accumulator_range(
            (np.maximum(np.abs(a), np.abs(b)) * reach).sum(0).max() + np.abs(b1).max(),
            HIDDEN_MAX * np.abs(m).sum(0).max() + np.abs(bm).max(),
            (HIDDEN_MAX * of_heads + of_own + of_gain).max()
            + np.abs(b2).max()
            + (_MIDDLE << shifts[2]),
            (np.abs(predictor) * farthest.reshape(-1, 1)).sum(0).max(),
        )
        self.quantizer = quantizer
        self.hidden, self.second = int(hidden), int(second)
        self.probability: Probabilities = probability.astype(np.uint16)
        scales = np.exp2(-shifts).astype(np.float32)
        self.a, self.b = (_first_layer(table, channels) * scales[0] for table in (a, b))
        """``(hidden, 5 channels)``, scaled; nothing comes of the fifth feature here."""
        self.m = np.ascontiguousarray(m.T, np.float32) * scales[1]
        self.predictor = np.ascontiguousarray(predictor.T, np.float32)
        """``(channels, 2 channels)``, not scaled."""
        heads = np.concatenate([w2, w3], -1)
        diagonal = _own_layer(own)
        self.steps = [
            _Weights(
                _column(b1[step.plane, step.group]) * scales[0],
                _column(bm[step.group]) * scales[1],
                _by_decision(heads[:, step.channels]) * scales[2],
                _by_decision(diagonal[:, step.channels, step.block]) * scales[2],
                _column(b2[step.plane][:, step.channels]) * scales[2] + np.float32(_MIDDLE),
                gain[step.plane][:, step.channels, None].astype(np.float32) * scales[2],
                np.exp2(-off_shifts[step.plane]).astype(np.float32),
            )
            for step in quantizer.steps
        ]
        self._by_plane(b1, bm, heads, own, b2, gain, off_shifts, scales)

    def _by_plane(
        self,
        b1: NDArray[np.int64],
        bm: NDArray[np.int64],
        heads: NDArray[np.int64],
        own: NDArray[np.int64],
        b2: NDArray[np.int64],
        gain: NDArray[np.int64],
        off_shifts: NDArray[np.int64],
        scales: Float,
    ) -> None:
        """The same tables for all groups of a plane at once (`embedded_planes`)."""
        bounds = list(pairwise(accumulate(self.quantizer.params.groups, initial=0)))
        self.blocks = [slice(first, end) for first, end in bounds]
        """Channels of every group."""
        self.inputs = [slice(OWN_FEATURES * first, OWN_FEATURES * end) for first, end in bounds]
        self.b1 = b1[..., None].astype(np.float32) * scales[0]
        """``(planes, groups, hidden, 1)``"""
        self.bm = bm[..., None].astype(np.float32) * scales[1]
        """``(groups, second, 1)``"""
        self.heads = [_by_decision(heads[:, block]) * scales[2] for block in self.blocks]
        """Of every group: ``(2 channels, hidden + second)``, first all chances of not 0."""
        diagonal = np.zeros((own.shape[1], DECISIONS, OWN_FEATURES), np.float32)
        for (decision, feature), weights in zip(_OWN, own, strict=True):
            diagonal[:, decision, feature] = weights
        self.own = diagonal * scales[2]
        """``(channels, 2, 5)``"""
        self.b2 = b2[..., None].astype(np.float32) * scales[2] + np.float32(_MIDDLE)
        """``(planes, 2, channels, 1)``"""
        self.gain = gain[..., None].astype(np.float32) * scales[2]
        """``(planes, 2, channels, 1)``"""
        self.off_scales = np.exp2(-off_shifts).astype(np.float32)
        group_of = np.repeat(np.arange(len(bounds)), self.quantizer.params.groups)
        coarser = np.repeat(group_of, VALUES) < group_of[:, None]
        self.coarser_predictor = np.where(coarser, self.predictor, np.float32(0))
        """`predictor`, but of groups before the predicted one only."""


def _first_layer(table: NDArray[np.int64], channels: int) -> Float:
    """``(4 channels, hidden)`` to ``(hidden, 5 channels)``, with 0 for every fifth feature."""
    wide = np.zeros((channels, OWN_FEATURES, table.shape[1]), np.float32)
    wide[:, :FEATURES] = table.reshape(channels, FEATURES, -1)
    return np.ascontiguousarray(wide.reshape(channels * OWN_FEATURES, -1).T)


def _own_layer(own: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(5, channels)`` to ``(2, channels, channels, 5)``: a channel's features are its own."""
    channels = own.shape[1]
    diagonal = np.zeros((DECISIONS, channels, channels, OWN_FEATURES), np.int64)
    every = np.arange(channels)
    for (decision, feature), weights in zip(_OWN, own, strict=True):
        diagonal[decision, every, every, feature] = weights
    return diagonal


def _by_decision(table: NDArray[np.int64]) -> Float:
    """``(2, width, ...)`` to ``(2 width, n)``."""
    rows = DECISIONS * table.shape[1]
    return np.ascontiguousarray(table.reshape(rows, -1), np.float32)


def _column(table: NDArray[np.int64]) -> Float:
    return table.reshape(-1, 1).astype(np.float32)


class EmbeddedContext:
    """What the chances of a picture's symbols follow from, so far."""

    def __init__(self, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """``layers`` are pictures in lockstep, each with contexts of its own."""
        channels, rows, columns = model.quantizer.params.channels, grid.rows, grid.columns
        self._model, self._layers, self._grid = model, layers, grid
        self._plane = 0
        # Magnitudes and clipped states with a border of zeros: outside the grid is nothing.
        self._seen = seen = np.zeros((layers, channels, 2, rows + 2, columns + 2), np.float32)
        self._here = seen[..., 1:-1, 1:-1]
        self._above, self._below = seen[..., :-2, 1:-1], seen[..., 2:, 1:-1]
        self._left, self._right = seen[..., 1:-1, :-2], seen[..., 1:-1, 2:]
        self._features = np.zeros((layers, channels, OWN_FEATURES, rows, columns), np.float32)
        self._inputs = self._features.reshape(layers, channels * OWN_FEATURES, grid.cells)
        self._sums = np.zeros((layers, model.hidden, grid.cells), np.float32)
        # Values in units of the finest interval, with such a border, too; each and its neighbours'
        # sum; and what all of them predict.
        self._placed = placed = np.zeros((layers, channels, rows + 2, columns + 2), np.float32)
        self._value = placed[..., 1:-1, 1:-1]
        self._value_above, self._value_below = placed[..., :-2, 1:-1], placed[..., 2:, 1:-1]
        self._value_left, self._value_right = placed[..., 1:-1, :-2], placed[..., 1:-1, 2:]
        self._values = np.zeros((layers, channels, VALUES, rows, columns), np.float32)
        self._predicted = np.zeros((layers, channels, grid.cells), np.float32)
        self._units = np.empty((layers, model.hidden + model.second, grid.cells), np.float32)

    def copy(self) -> EmbeddedContext:
        """Another one that knows the same."""
        other = EmbeddedContext(self._model, self._layers, self._grid)
        other._plane = self._plane
        other._seen[:] = self._seen
        other._features[:] = self._features
        other._sums[:] = self._sums
        other._placed[:] = self._placed
        other._values[:] = self._values
        other._predicted[:] = self._predicted
        return other

    def probabilities(self, step: Step) -> tuple[Probabilities, Probabilities]:
        """Of 2^16, that each digit is not 0, and that it is +1 if it is not 0.

        Both ``(layers, step.width * cells)``, in the order of channels and then of cells.
        """
        self._enter(step.plane)
        model, weights = self._model, self._model.steps[step.index]
        first, second = self._units[:, : model.hidden], self._units[:, model.hidden :]
        np.add(self._sums, weights.b1, out=first)
        clip_units(first)
        matmul_single_threaded(model.m, first, second)
        second += weights.bm
        clip_units(second)
        logits = matmul_single_threaded(weights.w, self._units)
        logits += matmul_single_threaded(weights.own, self._inputs[:, _inputs_of(step)])
        logits += weights.b2
        off = self._predicted[:, step.channels] * weights.off_scale
        np.floor(off, out=off)
        np.maximum(off, -MAX_RESIDUAL, out=off)
        np.minimum(off, MAX_RESIDUAL, out=off)
        logits[:, step.width :] += off * weights.gain[1]
        logits[:, : step.width] += np.abs(off, out=off) * weights.gain[0]
        entries = logits.astype(np.intp)  # cuts towards zero: what is negative is clipped anyway
        chances = model.probability.take(entries, mode="clip")
        chances = chances.reshape(len(entries), DECISIONS, -1)
        return chances[:, 0], chances[:, 1]

    def update(self, step: Step, states: Float) -> None:
        """Take in the states ``(layers, channels, cells)`` behind ``step``.

        Steps come in their order; those in which nothing changes may be left out.
        """
        self._enter(step.plane)
        model, block, inputs = self._model, step.block, _inputs_of(step)
        self._sums -= matmul_single_threaded(model.a[:, inputs], self._inputs[:, inputs])
        here, features = self._here[:, block], self._features[:, block]
        magnitude, signed = here[:, :, 0], here[:, :, 1]
        np.maximum(states[:, block].reshape(signed.shape), -CLIP, out=signed)
        np.minimum(signed, CLIP, out=signed)
        np.abs(signed, out=magnitude)
        features[:, :, :2] = here
        around = features[:, :, 2:FEATURES]
        np.add(self._above[:, block], self._below[:, block], out=around)
        around += self._left[:, block]
        around += self._right[:, block]
        np.minimum(magnitude, 1, out=features[:, :, FEATURES])
        self._sums += matmul_single_threaded(model.b[:, inputs], self._inputs[:, inputs])
        self._predict(step, states)

    def _predict(self, step: Step, states: Float) -> None:
        """Take in the values behind ``step``; what has not begun is 0 in any unit."""
        model, block = self._model, step.block
        value = self._value[:, block]
        finest = np.float32(3 ** (model.quantizer.params.planes - step.plane - 1))
        np.multiply(states[:, block].reshape(value.shape), finest, out=value)
        news = np.empty_like(self._values[:, block])
        news[:, :, 0] = value
        np.add(self._value_above[:, block], self._value_below[:, block], out=news[:, :, 1])
        news[:, :, 1] += self._value_left[:, block]
        news[:, :, 1] += self._value_right[:, block]
        change = (news - self._values[:, block]).reshape(len(news), -1, self._grid.cells)
        told = slice(VALUES * block.start, VALUES * block.stop)
        self._predicted += matmul_single_threaded(model.predictor[:, told], change)
        self._values[:, block] = news

    def _enter(self, plane: int) -> None:
        if plane != self._plane:  # no group is refined yet in the new one
            self._plane = plane
            matmul_single_threaded(self._model.a, self._inputs, self._sums)


def _inputs_of(step: Step) -> slice:
    """Where the features of the step's group are."""
    return slice(OWN_FEATURES * step.block.start, OWN_FEATURES * step.block.stop)


def clip_units(units: Float) -> None:
    """Scaled sums to whole hidden units, in place."""
    np.maximum(units, 0, out=units)
    np.minimum(units, HIDDEN_MAX, out=units)
    np.floor(units, out=units)
