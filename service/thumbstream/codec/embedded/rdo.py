"""Rate-distortion optimization of the digits, plane by plane, in the encoder.

The nearest state of a latent is not always the best: a digit that costs many bits and changes
little is better replaced by a neighbour. How to read this file:

1. A network that comes with the model gives the distortion of a state and its gradient with respect
   to every value (`_measure`); the context model gives the bits of every digit (`_costs`).
2. A *flip* changes a digit by one. Its expected gain, negative if it helps, is estimated as::

       slope (gradient delta + curvature delta^2 / 2) + change of bits

   where ``slope`` is the number of bits that a unit of distortion is worth (`_flipped`).
3. `_optimize_plane` repeats: make a fraction of the best flips at once, smaller each time, and keep
   the best state by true cost.
4. `_states` goes from coarse planes to fine ones. A plane that is done stays; the digits of finer
   planes are the nearest to what is left.

The end of a stream is known for some streams only (`optimize_for_end`). For all others
(`optimize_all_prefixes`) only those planes are optimized where this also helps longer prefixes: a
digit that is moved early leaves a larger remainder to later planes. All of this is free for the
encoder: every decoder reads the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.quantizer import States, Step
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream.codec.tensors import Float, Grid
from thumbstream.errors import ArtifactError

NETWORK, TABLES = "search.onnx", "search.npz"
"""Files of a model that supports rate-distortion optimization."""
FLIP_FRACTIONS = (0.5, 0.3)
"""Fraction of the helpful flips that each round makes, in a plane that is one of many."""
FINAL_FLIP_FRACTIONS = (0.5, 0.4, 0.3, 0.2)
"""The same in the plane in which the stream will end."""
_ONE = 1 << 16
_BITS = -np.log2(np.maximum(np.arange(_ONE + 1), 1) / _ONE).astype(np.float32)
"""Cost in bits of a decision of probability ``i / 2^16``."""


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """The picture that is encoded."""

    x: Float
    """``(layers, 3, H', W')`` in [-1, 1], complete cells."""
    latents: Float
    """``(layers, channels, cells)``"""
    grid: Grid


@dataclass(frozen=True, slots=True)
class _Plane:
    """Steps of a plane whose digits are optimized together; earlier steps are fixed."""

    steps: tuple[Step, ...]
    context: EmbeddedContext
    """At the beginning of the plane."""
    parents: Float
    """``(layers, channels, cells)``: states at the beginning of the plane."""
    channels: NDArray[np.intp]
    """Channels with free digits, in the order of the steps."""
    levels: Float
    """``(layers, channels, cells)``: levels after the steps."""
    width: float
    """Change of a value by one flip."""
    slope: float
    """Bits that a unit of distortion is worth."""


class RateDistortionOptimizer:
    """Optimizer of one published model. Thread-safe: nothing changes after construction."""

    def __init__(self, artifact: Artifact, model: EmbeddedContextModel, device: str) -> None:
        """Open the network and tables; raises `ArtifactError` or `DeviceError`.

        The network maps ``values``, ``levels`` and the original ``pixels`` to ``distortion``, one
        number per row, and ``gradient``, of the shape of ``values``. The tables are ``curvature``
        float32 (channels,), ``slopes`` float32 (planes,), bits per unit of distortion after each
        plane, and ``everywhere`` bool (planes,), the planes to optimize for every stream.
        """
        params = model.quantizer.params
        self._model, self._quantizer = model, model.quantizer
        self._network = OnnxNetwork(artifact.file(NETWORK), device)
        tables = artifact.arrays(TABLES)
        shapes = {name: (table.dtype, *table.shape) for name, table in tables.items()}
        expected = {
            "curvature": (np.dtype(np.float32), params.channels),
            "slopes": (np.dtype(np.float32), params.planes),
            "everywhere": (np.dtype(np.bool_), params.planes),
        }
        inputs = {"values": params.channels, "levels": params.channels, "pixels": 3}
        if (
            shapes != expected
            or self._network.channels != inputs
            or self._network.outputs != ("distortion", "gradient")
        ):
            raise ArtifactError(
                f"{artifact.model_id}: {NETWORK} or {TABLES} does not match the manifest"
            )
        self._curvature = tables["curvature"].astype(np.float32)[:, None]
        self._slopes = tables["slopes"].astype(np.float32)
        self._common_planes = frozenset(np.flatnonzero(tables["everywhere"]).tolist())

    def optimize_all_prefixes(self, source: EncoderInput) -> States:
        """Final states for a stream that may be cut anywhere."""
        return self._states(source, self._quantizer.steps[-1], self._common_planes, FLIP_FRACTIONS)

    def optimize_for_end(self, source: EncoderInput, end: Step) -> States:
        """Final states for a stream that will be cut in or near the step ``end``."""
        return self._states(source, end, self._common_planes | {end.plane}, FINAL_FLIP_FRACTIONS)

    def distortion(self, source: EncoderInput, values: Float, levels: Float) -> float:
        """Distortion of decoded ``values`` and ``levels`` ``(layers, channels, rows, columns)``."""
        return self._measure(source, values, levels)[0]

    def _states(
        self,
        source: EncoderInput,
        end: Step,
        planes: frozenset[int],
        final_fractions: tuple[float, ...],
    ) -> States:
        """The states after all planes.

        The digits of ``planes`` up to the step ``end`` are optimized; every other digit is the one
        nearest to the latent.
        """
        layers, quantizer = len(source.latents), self._quantizer
        last = max(planes, default=-1)  # the context is not used after this plane
        context = EmbeddedContext(self._model, layers, source.grid)
        states: Float = np.zeros(source.latents.shape, np.float32)
        for plane in range(quantizer.params.planes):
            refined = quantizer.refinements(states, source.latents, plane)
            steps = tuple(step for step in quantizer.steps if step.plane == plane)
            free = tuple(step for step in steps if step.index <= end.index)
            if free and plane in planes:
                part = self._plane(context, states, free, len(free) / len(steps))
                fractions = final_fractions if end in free else FLIP_FRACTIONS
                best = self._optimize_plane(source, part, refined, fractions)
                refined[:, part.channels] = best[:, part.channels]
            if plane < last:
                for step in steps:
                    context.update(step, refined)
            states = refined
        return states.astype(np.int32)

    def _plane(
        self, context: EmbeddedContext, parents: Float, steps: tuple[Step, ...], fraction: float
    ) -> _Plane:
        """``fraction``: these steps as a part of all steps of the plane."""
        plane, channels = steps[0].plane, np.arange(self._quantizer.params.channels)
        free = np.concatenate([channels[step.channels] for step in steps])
        levels = np.maximum(np.asarray(self._quantizer.params.starts), plane)
        levels[free] += 1
        before, after = self._slopes[max(0, plane - 1)], self._slopes[plane]
        slope = after if before <= 0 else before ** (1 - fraction) * after**fraction
        return _Plane(
            steps,
            context,
            parents,
            free,
            np.broadcast_to(levels[:, None], parents.shape).astype(np.float32),
            float(self._quantizer.intervals[plane + 1]),
            float(slope),
        )

    def _optimize_plane(
        self, source: EncoderInput, part: _Plane, refined: Float, fractions: tuple[float, ...]
    ) -> Float:
        """States after the steps of ``part``: those of ``refined``, or better ones.

        Channels that are not free keep the states of ``part.parents``.
        """
        states = part.parents.copy()
        states[:, part.channels] = refined[:, part.channels]
        best, least = states, float("inf")
        for fraction in (*fractions, 0.0):
            costs, bits = self._costs(part, states)
            values = _to_grid(source, states * self._intervals(part))
            levels = _to_grid(source, part.levels)
            distortion, gradient = self._measure(source, values, levels)
            cost = bits + part.slope * distortion
            if cost < least:
                best, least = states, cost
            if fraction:
                gradient = gradient.reshape(states.shape)[:, part.channels]
                states = self._flipped(part, states, costs, gradient, fraction)
        return best

    def _flipped(
        self, part: _Plane, states: Float, costs: Float, gradient: Float, fraction: float
    ) -> Float:
        """``states`` after the given fraction of the helpful flips, the most helpful first."""
        digits = (states - 3 * part.parents)[:, part.channels].astype(np.intp)
        curvature = self._curvature[part.channels] * part.width / 2
        current = _digit_costs(costs, digits)
        gain = part.slope * part.width
        up = gain * (curvature + gradient) + _digit_costs(costs, digits + 1) - current
        down = gain * (curvature - gradient) + _digit_costs(costs, digits - 1) - current
        expected_gain = np.minimum(up, down)
        helpful = expected_gain[expected_gain < 0]
        if not helpful.size:
            return states
        count = max(1, round(fraction * helpful.size))
        limit = np.partition(helpful, count - 1)[count - 1]
        flips = np.where(expected_gain <= limit, np.where(up <= down, 1, -1), 0)
        flipped = states.copy()
        flipped[:, part.channels] += flips
        return flipped

    def _costs(self, part: _Plane, states: Float) -> tuple[Float, float]:
        """Bits of the digits -1, 0 and +1, ``(3, layers, free channels, cells)``, and in total."""
        context, by_step = part.context.copy(), []
        for step in part.steps:
            nonzero, positive = (p.astype(np.intp) for p in context.probabilities(step))
            nonzero_bits = _BITS[nonzero]
            bits = np.stack(
                [
                    nonzero_bits + _BITS[_ONE - positive],
                    _BITS[_ONE - nonzero],
                    nonzero_bits + _BITS[positive],
                ]
            )
            by_step.append(bits.reshape(3, len(states), step.width, -1))
            context.update(step, states)
        costs: Float = np.concatenate(by_step, 2)
        digits = (states - 3 * part.parents)[:, part.channels].astype(np.intp)
        return costs, float(_digit_costs(costs, digits).sum())

    def _measure(self, source: EncoderInput, values: Float, levels: Float) -> tuple[float, Float]:
        """Distortion, summed over layers, and its gradient with respect to ``values``."""
        runs = [
            self._network.run(
                {"values": values[i, None], "levels": levels[i, None], "pixels": source.x[i, None]}
            )
            for i in range(len(values))
        ]
        return float(sum(run[0][0] for run in runs)), np.concatenate([run[1] for run in runs])

    def _intervals(self, part: _Plane) -> Float:
        intervals: Float = self._quantizer.intervals[part.levels.astype(np.intp)]
        return intervals


def _to_grid(source: EncoderInput, table: Float) -> Float:
    """``(layers, channels, cells)`` to ``(layers, channels, rows, columns)``."""
    return table.reshape(*table.shape[:2], source.grid.rows, source.grid.columns)


def _digit_costs(costs: Float, digits: NDArray[np.intp]) -> Float:
    """Bits of each of ``digits``; infinite for values outside -1 .. 1."""
    bits: Float = np.take_along_axis(costs, (digits.clip(-1, 1) + 1)[None], 0)[0]
    return np.where(np.abs(digits) <= 1, bits, np.float32(np.inf))
