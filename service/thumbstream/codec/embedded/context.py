"""Integer context model of the embedded family: computes the probabilities of a step's symbols.

A small network with integer weights reads the latents of a cell and of the four neighbouring cells,
each at the level to which it is known. The sums of the first layer, which all steps share, and a
linear prediction of every latent are updated after every step. The logit of a channel's digit also
depends directly on the channel's own features::

    v = state in units of the finest interval
        --> per channel two inputs: v, and the sum of v over the four neighbouring cells
        --> x predictor --> >> prediction_shifts[plane] --> clip to -127..127 = o, the residual
    s = state clipped to -4 .. 4
        --> per channel four features: |s|, s, and the sum of each over the four neighbouring cells
        --> x a, or x b if this plane has refined the group; + b1[plane, group]
        --> >> shifts[0] --> clip to 0..255  = h
    h   --> x m + bm[group] --> >> shifts[1] --> clip to 0..255  = k
    logit = b2[plane] + w2 . h + w3 . k + own . (five features of the predicted channel)
            + gain[plane] * |o| for the first decision, + gain[plane] * o for the second
        --> >> shifts[2] --> clip to -1024..1023
        --> table of 16-bit probabilities: that a digit is nonzero, and if so that it is +1

The fifth feature is whether |s| > 0 (1 or 0); only ``own`` uses it. The integer weights predictor,
a, b, b1, m, bm, w2, w3, own, b2 and gain, the shifts and the probability table are arrays of the
model file ``entropy.npz``. b2, w2, w3, own and gain have separate weights for the two decisions.

How to read this file: `EmbeddedContextModel` checks the tables and converts them to float32;
`EmbeddedContext` is the state while one picture is coded. Per step, call `probabilities`, code the
symbols, then call `update` with the new states. `context_batch` computes the same probabilities for
all groups of several planes at once, for an encoder that knows all states in advance.

All sums stay below 2^24 (checked when the tables are opened), so float32 is exact. A shift is a
multiplication by a power of two, which is also exact in float32, followed by `floor`.
Normative text: docs/bitstream.md, "Context model of format 7".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.quantizer import EmbeddedQuantizer, Step
from thumbstream.codec.matmul import matmul_single_threaded
from thumbstream.codec.model_folder import (
    HIDDEN_MAX,
    TABLE_SIZE,
    check_accumulator_range,
    shape_error,
    validate_tables,
)
from thumbstream.codec.tensors import Float, Grid
from thumbstream.errors import ArtifactError

CLIP = 4
"""Largest magnitude of ``s``, a state clipped for the network."""
FEATURES = 4
"""First-layer inputs per channel: ``|s|``, ``s``, and the sum of each over the four neighbours."""
VALUES = 2
"""Predictor inputs per channel: the value in units of the finest interval, and the sum of the
values of the four neighbours."""
MAX_RESIDUAL = 127
"""Prediction residuals are clipped to this magnitude."""
MAX_SHIFT = 16
"""Largest valid shift."""
DECISIONS = 2
"""Decisions per symbol: whether it is nonzero, and if so whether it is +1."""
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
_FEATURE_MAX = np.array([CLIP, CLIP, 4 * CLIP, 4 * CLIP])
"""Largest magnitude of each feature."""
_OWN_INPUTS = ((0, 4), (0, 0), (0, 2), (1, 1), (1, 3))
"""Index of the decision and of the feature for each row of ``own``; feature 4 is ``|s| > 0``."""
_OWN_MAX = np.array([1, CLIP, 4 * CLIP, CLIP, 4 * CLIP])
"""Largest magnitude of the feature for each row of ``own``."""
OWN_FEATURES = FEATURES + 1
"""Features per channel: `FEATURES`, and ``|s| > 0``, which only ``own`` uses."""
_VALUE_CELLS = np.array([1, 4])
"""Number of cells that each of the two predictor inputs adds up."""
_TABLE_CENTRE = TABLE_SIZE // 2

Probabilities: TypeAlias = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _StepWeights:
    """Weights of one step, scaled by their shifts and transposed for left multiplication."""

    b1: Float
    """``(hidden, 1)``"""
    bm: Float
    """``(second, 1)``"""
    w: Float
    """``(2 * width, hidden + second)``: w2 and w3; rows for P(nonzero), then rows for P(+1)."""
    own: Float
    """``(2 * width, 5 * channels of the group)``; most entries are 0."""
    b2: Float
    """``(2 * width, 1)``, with the middle of the probability table added."""
    gain: Float
    """``(2, width, 1)``"""
    prediction_scale: np.float32
    """``2^-prediction_shifts[plane]``"""


class EmbeddedContextModel:
    """Integer tables of one published model, checked and converted to float32."""

    def __init__(
        self, tables: Mapping[str, NDArray[np.generic]], quantizer: EmbeddedQuantizer
    ) -> None:
        """Check and convert ``tables``; raises `ArtifactError` if they do not fit ``quantizer``.

        ``hidden`` and ``second`` are the widths of the two hidden layers. The tables are:

        ``a``, ``b`` int8 (4 * channels, hidden): row ``4 c + f`` is feature ``f`` of channel ``c``;
        ``b1`` int32 (planes, groups, hidden); ``m`` int8 (hidden, second); ``bm`` int32 (groups,
        second); ``w2`` int8 (2, channels, hidden); ``w3`` int8 (2, channels, second); ``own`` int16
        (5, channels); ``b2`` int32 (planes, 2, channels); ``predictor`` int8 (2 * channels,
        channels): row ``2 c`` is for channel ``c``, row ``2 c + 1`` for the neighbours' values of
        channel ``c``; ``gain`` int16 (planes, 2, channels); ``probability`` uint16 (2048,);
        ``shifts`` uint8 (3,); ``prediction_shifts`` uint8 (planes,). Axes of length 2 are the two
        decisions; `_OWN_INPUTS` explains the rows of ``own``.
        """
        (
            a,
            b,
            b1,
            m,
            bm,
            w2,
            w3,
            own,
            b2,
            predictor,
            gain,
            probability,
            shifts,
            prediction_shifts,
        ) = validate_tables(tables, _TYPES)
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
            or own.shape != (len(_OWN_INPUTS), channels)
            or b2.shape != (params.planes, DECISIONS, channels)
            or predictor.shape != (VALUES * channels, channels)
            or gain.shape != (params.planes, DECISIONS, channels)
            or shifts.shape != (3,)
            or prediction_shifts.shape != (params.planes,)
        ):
            raise shape_error()
        if max(shifts.max(), prediction_shifts.max()) > MAX_SHIFT:
            raise ArtifactError(f"a shift of the entropy tables is over {MAX_SHIFT}")
        feature_max = np.tile(_FEATURE_MAX, channels)[:, None]
        head_sums = np.abs(w2).sum(-1) + np.abs(w3).sum(-1)  # (2, channels)
        own_sums = np.zeros_like(head_sums)
        for (decision, _), weights, largest in zip(_OWN_INPUTS, own, _OWN_MAX, strict=True):
            own_sums[decision] += np.abs(weights) * largest
        gain_sums = MAX_RESIDUAL * np.abs(gain).max(0)
        max_values = quantizer.max_states.astype(np.int64) * _VALUE_CELLS
        check_accumulator_range(
            (np.maximum(np.abs(a), np.abs(b)) * feature_max).sum(0).max() + np.abs(b1).max(),
            HIDDEN_MAX * np.abs(m).sum(0).max() + np.abs(bm).max(),
            (HIDDEN_MAX * head_sums + own_sums + gain_sums).max()
            + np.abs(b2).max()
            + (_TABLE_CENTRE << shifts[2]),
            (np.abs(predictor) * max_values.reshape(-1, 1)).sum(0).max(),
        )
        self.quantizer = quantizer
        self.hidden, self.second = int(hidden), int(second)
        self.probability: Probabilities = probability.astype(np.uint16)
        scales = np.exp2(-shifts).astype(np.float32)
        self.a, self.b = (_first_layer(table, channels) * scales[0] for table in (a, b))
        """``(hidden, 5 * channels)``, scaled; every fifth column (feature ``|s| > 0``) is 0."""
        self.m = np.ascontiguousarray(m.T, np.float32) * scales[1]
        self.predictor = np.ascontiguousarray(predictor.T, np.float32)
        """``(channels, 2 * channels)``, not scaled."""
        heads = np.concatenate([w2, w3], -1)
        diagonal = _own_layer(own)
        self.steps = [
            _StepWeights(
                _column(b1[step.plane, step.group]) * scales[0],
                _column(bm[step.group]) * scales[1],
                _by_decision(heads[:, step.channels]) * scales[2],
                _by_decision(diagonal[:, step.channels, step.group_channels]) * scales[2],
                _column(b2[step.plane][:, step.channels]) * scales[2] + np.float32(_TABLE_CENTRE),
                gain[step.plane][:, step.channels, None].astype(np.float32) * scales[2],
                np.exp2(-prediction_shifts[step.plane]).astype(np.float32),
            )
            for step in quantizer.steps
        ]
        self._prepare_planes(b1, bm, heads, own, b2, gain, prediction_shifts, scales)

    def _prepare_planes(
        self,
        b1: NDArray[np.int64],
        bm: NDArray[np.int64],
        heads: NDArray[np.int64],
        own: NDArray[np.int64],
        b2: NDArray[np.int64],
        gain: NDArray[np.int64],
        prediction_shifts: NDArray[np.int64],
        scales: Float,
    ) -> None:
        """Prepare the tables of all groups of a plane together, for `context_batch`."""
        bounds = list(pairwise(accumulate(self.quantizer.params.groups, initial=0)))
        self.group_channels = [slice(first, end) for first, end in bounds]
        """Channels of each group; `inputs` has the rows of their features."""
        self.inputs = [slice(OWN_FEATURES * first, OWN_FEATURES * end) for first, end in bounds]
        self.b1 = b1[..., None].astype(np.float32) * scales[0]
        """``(planes, groups, hidden, 1)``"""
        self.bm = bm[..., None].astype(np.float32) * scales[1]
        """``(groups, second, 1)``"""
        self.heads = [_by_decision(heads[:, group]) * scales[2] for group in self.group_channels]
        """Per group ``(2 * channels, hidden + second)``: w2 and w3, rows for P(nonzero) first."""
        diagonal = np.zeros((own.shape[1], DECISIONS, OWN_FEATURES), np.float32)
        for (decision, feature), weights in zip(_OWN_INPUTS, own, strict=True):
            diagonal[:, decision, feature] = weights
        self.own = diagonal * scales[2]
        """``(channels, 2, 5)``"""
        self.b2 = b2[..., None].astype(np.float32) * scales[2] + np.float32(_TABLE_CENTRE)
        """``(planes, 2, channels, 1)``"""
        self.gain = gain[..., None].astype(np.float32) * scales[2]
        """``(planes, 2, channels, 1)``"""
        self.prediction_scales = np.exp2(-prediction_shifts).astype(np.float32)
        group_of = np.repeat(np.arange(len(bounds)), self.quantizer.params.groups)
        earlier = np.repeat(group_of, VALUES) < group_of[:, None]
        self.earlier_predictor = np.where(earlier, self.predictor, np.float32(0))
        """`predictor`, with 0 for inputs that are not in a group before the predicted channel's."""


def _first_layer(table: NDArray[np.int64], channels: int) -> Float:
    """Transpose ``(4 * channels, hidden)`` to ``(hidden, 5 * channels)``; fifth features get 0."""
    wide = np.zeros((channels, OWN_FEATURES, table.shape[1]), np.float32)
    wide[:, :FEATURES] = table.reshape(channels, FEATURES, -1)
    return np.ascontiguousarray(wide.reshape(channels * OWN_FEATURES, -1).T)


def _own_layer(own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Expand ``(5, channels)`` to ``(2, channels, channels, 5)``.

    The axes are decision, predicted channel, input channel and feature. Entries whose channels
    differ are 0.
    """
    channels = own.shape[1]
    diagonal = np.zeros((DECISIONS, channels, channels, OWN_FEATURES), np.int64)
    every = np.arange(channels)
    for (decision, feature), weights in zip(_OWN_INPUTS, own, strict=True):
        diagonal[decision, every, every, feature] = weights
    return diagonal


def _by_decision(table: NDArray[np.int64]) -> Float:
    """Flatten ``(2, width, ...)`` to float32 ``(2 * width, n)``; rows of P(nonzero) first."""
    rows = DECISIONS * table.shape[1]
    return np.ascontiguousarray(table.reshape(rows, -1), np.float32)


def _column(table: NDArray[np.int64]) -> Float:
    return table.reshape(-1, 1).astype(np.float32)


class EmbeddedContext:
    """State of the context model while one picture is coded, step by step."""

    def __init__(self, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """Create the state before the first step.

        ``layers``: number of layers, which are coded in lockstep. No layer's probabilities depend
        on another layer.
        """
        channels, rows, columns = model.quantizer.params.channels, grid.rows, grid.columns
        self._model, self._layers, self._grid = model, layers, grid
        self._plane = 0
        # Magnitudes and clipped states, padded by a border of zeros.
        self._padded_features = seen = np.zeros(
            (layers, channels, 2, rows + 2, columns + 2), np.float32
        )
        self._here = seen[..., 1:-1, 1:-1]
        self._above, self._below = seen[..., :-2, 1:-1], seen[..., 2:, 1:-1]
        self._left, self._right = seen[..., 1:-1, :-2], seen[..., 1:-1, 2:]
        self._features = np.zeros((layers, channels, OWN_FEATURES, rows, columns), np.float32)
        self._inputs = self._features.reshape(layers, channels * OWN_FEATURES, grid.cells)
        self._sums = np.zeros((layers, model.hidden, grid.cells), np.float32)
        # Values in units of the finest interval, padded in the same way; each value and the sum of
        # its neighbours; and the prediction from all of them.
        self._padded_values = padded = np.zeros(
            (layers, channels, rows + 2, columns + 2), np.float32
        )
        self._value = padded[..., 1:-1, 1:-1]
        self._value_above, self._value_below = padded[..., :-2, 1:-1], padded[..., 2:, 1:-1]
        self._value_left, self._value_right = padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]
        self._values = np.zeros((layers, channels, VALUES, rows, columns), np.float32)
        self._prediction = np.zeros((layers, channels, grid.cells), np.float32)
        self._hidden = np.empty((layers, model.hidden + model.second, grid.cells), np.float32)

    def copy(self) -> EmbeddedContext:
        """Return an independent copy of this state."""
        other = EmbeddedContext(self._model, self._layers, self._grid)
        other._plane = self._plane
        other._padded_features[:] = self._padded_features
        other._features[:] = self._features
        other._sums[:] = self._sums
        other._padded_values[:] = self._padded_values
        other._values[:] = self._values
        other._prediction[:] = self._prediction
        return other

    def probabilities(self, step: Step) -> tuple[Probabilities, Probabilities]:
        """Return the probabilities of all digits of ``step``, times 2^16.

        The first array is the probability that a digit is nonzero, the second the probability that
        a nonzero digit is +1. Both are ``(layers, step.width * cells)``, ordered by channel and
        then by cell.
        """
        self._start_plane(step.plane)
        model, weights = self._model, self._model.steps[step.index]
        first, second = self._hidden[:, : model.hidden], self._hidden[:, model.hidden :]
        np.add(self._sums, weights.b1, out=first)
        clip_units(first)
        matmul_single_threaded(model.m, first, second)
        second += weights.bm
        clip_units(second)
        logits = matmul_single_threaded(weights.w, self._hidden)
        logits += matmul_single_threaded(weights.own, self._inputs[:, _inputs_of(step)])
        logits += weights.b2
        residual = self._prediction[:, step.channels] * weights.prediction_scale
        np.floor(residual, out=residual)
        np.maximum(residual, -MAX_RESIDUAL, out=residual)
        np.minimum(residual, MAX_RESIDUAL, out=residual)
        logits[:, step.width :] += residual * weights.gain[1]
        logits[:, : step.width] += np.abs(residual, out=residual) * weights.gain[0]
        entries = logits.astype(np.intp)  # rounds towards zero; negative entries are clipped
        probabilities = model.probability.take(entries, mode="clip")
        probabilities = probabilities.reshape(len(entries), DECISIONS, -1)
        return probabilities[:, 0], probabilities[:, 1]

    def update(self, step: Step, states: Float) -> None:
        """Update the context with ``states`` ``(layers, channels, cells)`` after ``step``.

        Call this method for every step, in stream order.
        """
        self._start_plane(step.plane)
        model, group, inputs = self._model, step.group_channels, _inputs_of(step)
        self._sums -= matmul_single_threaded(model.a[:, inputs], self._inputs[:, inputs])
        here, features = self._here[:, group], self._features[:, group]
        magnitude, signed = here[:, :, 0], here[:, :, 1]
        np.maximum(states[:, group].reshape(signed.shape), -CLIP, out=signed)
        np.minimum(signed, CLIP, out=signed)
        np.abs(signed, out=magnitude)
        features[:, :, :2] = here
        neighbours = features[:, :, 2:FEATURES]
        np.add(self._above[:, group], self._below[:, group], out=neighbours)
        neighbours += self._left[:, group]
        neighbours += self._right[:, group]
        np.minimum(magnitude, 1, out=features[:, :, FEATURES])
        self._sums += matmul_single_threaded(model.b[:, inputs], self._inputs[:, inputs])
        self._update_prediction(step, states)

    def _update_prediction(self, step: Step, states: Float) -> None:
        """Set the values of the step's group and add the change to the prediction.

        ``states`` are those after ``step``. Channels that have not started have value 0.
        """
        model, group = self._model, step.group_channels
        value = self._value[:, group]
        finest = np.float32(3 ** (model.quantizer.params.planes - step.plane - 1))
        np.multiply(states[:, group].reshape(value.shape), finest, out=value)
        updated = np.empty_like(self._values[:, group])
        updated[:, :, 0] = value
        np.add(self._value_above[:, group], self._value_below[:, group], out=updated[:, :, 1])
        updated[:, :, 1] += self._value_left[:, group]
        updated[:, :, 1] += self._value_right[:, group]
        change = (updated - self._values[:, group]).reshape(len(updated), -1, self._grid.cells)
        inputs = slice(VALUES * group.start, VALUES * group.stop)
        self._prediction += matmul_single_threaded(model.predictor[:, inputs], change)
        self._values[:, group] = updated

    def _start_plane(self, plane: int) -> None:
        if plane != self._plane:  # in the new plane no group is refined yet
            self._plane = plane
            matmul_single_threaded(self._model.a, self._inputs, self._sums)


def _inputs_of(step: Step) -> slice:
    """Return the rows of `EmbeddedContext._inputs` with the features of the step's group."""
    return slice(OWN_FEATURES * step.group_channels.start, OWN_FEATURES * step.group_channels.stop)


def clip_units(units: Float) -> None:
    """Convert scaled sums to hidden units in place: integers from 0 to `HIDDEN_MAX`."""
    np.maximum(units, 0, out=units)
    np.minimum(units, HIDDEN_MAX, out=units)
    np.floor(units, out=units)
