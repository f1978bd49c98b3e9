"""Chances of the symbols of states that are known beforehand: the encoder's way.

A decoder learns the states of a picture step by step, and `EmbeddedContext` asks and is told so. An
encoder knows them all, and works out a whole plane at once: the same sums of the same whole numbers
in another order, which float32 holds exactly (`embedded_context`), in a tenth of the calls.
"""

from __future__ import annotations

import numpy as np

from thumbstream.codec.codes import Grid
from thumbstream.codec.embedded_context import (
    CLIP,
    DECISIONS,
    FEATURES,
    OFF_MAX,
    SEEN,
    VALUES,
    Chances,
    EmbeddedContextModel,
    clip_units,
)
from thumbstream.codec.nested import Step
from thumbstream.codec.networks import Float


class PlanesAhead:
    """The chances of one picture's symbols, plane by plane, the first plane first."""

    def __init__(self, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """``layers`` are pictures in lockstep, each with contexts of its own."""
        channels, rows, columns = model.nesting.layout.channels, grid.rows, grid.columns
        groups = len(model.blocks)
        self._model, self._layers, self._grid = model, layers, grid
        # With a border of zeros: outside the grid is nothing.
        self._seen = np.zeros((layers, channels, 2, rows + 2, columns + 2), np.float32)
        self._placed = np.zeros((layers, channels, rows + 2, columns + 2), np.float32)
        self._features = np.zeros((layers, channels, SEEN, grid.cells), np.float32)
        self._values = np.zeros((layers, channels * VALUES, grid.cells), np.float32)
        # Of every group: what its features, seen before this plane, add to the first layer.
        self._before = np.zeros((layers, groups, model.hidden, grid.cells), np.float32)

    def chances(self, plane: int, states: Float) -> list[tuple[Step, Chances, Chances]]:
        """Every step of ``plane``, with what `EmbeddedContext.chances` gives of it.

        ``states`` ``(layers, channels, cells)`` are those behind the plane.
        """
        model, (layers, _, cells) = self._model, states.shape
        features, values = self._looked_at(states), self._in_finest_units(states, plane)
        units, before = self._units(plane, features)
        logits = np.empty((layers, DECISIONS, *states.shape[1:]), np.float32)
        for group, (block, heads) in enumerate(zip(model.blocks, model.heads, strict=True)):
            head = heads @ units[:, group]
            logits[:, :, block] = head.reshape(layers, DECISIONS, -1, cells)
        logits += (model.own @ self._features).swapaxes(1, 2)
        logits += model.b2[plane]
        off = model.predictor @ self._values
        off += model.coarser_predictor @ (values - self._values)
        off *= model.off_scales[plane]
        np.floor(off, out=off)
        np.maximum(off, -OFF_MAX, out=off)
        np.minimum(off, OFF_MAX, out=off)
        logits[:, 1] += off * model.gain[plane, 1]
        logits[:, 0] += np.abs(off, out=off) * model.gain[plane, 0]
        self._features, self._values, self._before = features, values, before
        chances = model.probability.take(logits.astype(np.intp), mode="clip")
        return [
            (
                step,
                chances[:, 0, step.channels].reshape(layers, -1),
                chances[:, 1, step.channels].reshape(layers, -1),
            )
            for step in model.nesting.steps
            if step.plane == plane
        ]

    def _units(self, plane: int, features: Float) -> tuple[Float, Float]:
        """Hidden units in front of every group of ``plane``, and the next ``_before``."""
        model, (layers, groups, hidden, cells) = self._model, self._before.shape
        told = np.empty((layers, groups, 2, hidden, cells), np.float32)
        flat = features.reshape(layers, -1, cells)
        for group, (inputs, table) in enumerate(zip(model.inputs, model.both, strict=True)):
            np.matmul(table, flat[:, inputs], out=told[:, group].reshape(layers, -1, cells))
        before, behind = told[:, :, 0], told[:, :, 1]
        units = np.empty((layers, groups, hidden + model.second, cells), np.float32)
        first, second = units[:, :, :hidden], units[:, :, hidden:]
        # Groups that this plane has refined already tell what they are now, the others what they
        # were. Each sum by itself stays within the bound that was checked.
        np.cumsum(self._before[:, ::-1], axis=1, out=first[:, ::-1])
        first[:, 1:] += np.cumsum(behind[:, :-1], axis=1)
        first += model.b1[plane]
        clip_units(first)
        np.matmul(model.m, first, out=second)
        second += model.bm
        clip_units(second)
        return units, before

    def _looked_at(self, states: Float) -> Float:
        """Features ``(layers, channels, 5, cells)``."""
        rows, columns = self._grid.rows, self._grid.columns
        seen, shape = self._seen, (*states.shape[:2], rows, columns)
        here = seen[..., 1:-1, 1:-1]
        magnitude, signed = here[:, :, 0], here[:, :, 1]
        np.maximum(states.reshape(shape), -CLIP, out=signed)
        np.minimum(signed, CLIP, out=signed)
        np.abs(signed, out=magnitude)
        features = np.empty((*shape[:2], SEEN, rows, columns), np.float32)
        features[:, :, :2] = here
        around = features[:, :, 2:FEATURES]
        np.add(seen[..., :-2, 1:-1], seen[..., 2:, 1:-1], out=around)
        around += seen[..., 1:-1, :-2]
        around += seen[..., 1:-1, 2:]
        np.minimum(magnitude, 1, out=features[:, :, FEATURES])
        return features.reshape(*features.shape[:3], -1)

    def _in_finest_units(self, states: Float, plane: int) -> Float:
        """Values and their neighbours' sums, ``(layers, 2 channels, cells)``."""
        rows, columns = self._grid.rows, self._grid.columns
        placed, shape = self._placed, (*states.shape[:2], rows, columns)
        finest = np.float32(3 ** (self._model.nesting.layout.planes - plane - 1))
        np.multiply(states.reshape(shape), finest, out=placed[..., 1:-1, 1:-1])
        values = np.empty((*shape[:2], VALUES, rows, columns), np.float32)
        values[:, :, 0] = placed[..., 1:-1, 1:-1]
        around = values[:, :, 1]
        np.add(placed[..., :-2, 1:-1], placed[..., 2:, 1:-1], out=around)
        around += placed[..., 1:-1, :-2]
        around += placed[..., 1:-1, 2:]
        return values.reshape(shape[0], -1, rows * columns)
