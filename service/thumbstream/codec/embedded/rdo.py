"""Optimizes rate and distortion of the digits in the encoder, plane by plane.

The nearest state of a latent is not always the best: a digit that costs many bits and changes the
picture little is better replaced by an adjacent digit. How to read this file:

1. A network of the model computes the distortion of all values and its gradient with respect to
   every value (`_measure`). The context model gives the bits of every digit (`_costs`).
2. A *flip* changes a digit by one, and so a value by ``delta``. The resulting change of the cost is
   estimated as follows; it is negative if the flip helps::

       slope (gradient delta + curvature delta^2 / 2) + change of bits

   where ``slope`` is the number of bits that a unit of distortion is worth (`_flipped`).
3. `_optimize_plane` runs several rounds. Each round makes a fraction of the helpful flips at once,
   a smaller fraction than the round before. The result is the states with the lowest actual cost.
4. `_states` goes from coarse to fine planes. Digits of earlier planes do not change any more. In a
   plane that is not optimized, the digits are those that bring the states nearest to the latents.

If the step in which a stream will be cut is known, `optimize_for_end` also optimizes that step's
plane. Otherwise `optimize_all_prefixes` optimizes only those planes where this helps longer
prefixes as well: a digit that is not the nearest leaves a larger error to later planes. The
optimization does not change the format, so every decoder can decode the result.
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
"""Files that a model folder contains if the model supports rate-distortion optimization."""
FLIP_FRACTIONS = (0.5, 0.3)
"""Fraction of the helpful flips that each round makes, except as in `FINAL_FLIP_FRACTIONS`."""
FINAL_FLIP_FRACTIONS = (0.5, 0.4, 0.3, 0.2)
"""Fractions for the plane in which the stream will be cut, if known; one fraction per round."""
_ONE = 1 << 16
_BITS = -np.log2(np.maximum(np.arange(_ONE + 1), 1) / _ONE).astype(np.float32)
"""Cost in bits of a decision of probability ``i / 2^16``, indexed by ``i``."""


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """Network input and latents of the picture that is encoded."""

    x: Float
    """``(layers, 3, H', W')`` in [-1, 1]; ``H'`` and ``W'`` cover complete cells."""
    latents: Float
    """``(layers, channels, cells)``: output of the analysis network."""
    grid: Grid


@dataclass(frozen=True, slots=True)
class _Plane:
    """The first steps of a plane, whose digits are optimized together; earlier planes are fixed."""

    steps: tuple[Step, ...]
    context: EmbeddedContext
    """State of the context model before the plane."""
    parents: Float
    """``(layers, channels, cells)``: states of the latents before the plane."""
    channels: NDArray[np.intp]
    """Channels with digits in `steps`, in the order of the steps: the free channels."""
    levels: Float
    """``(layers, channels, cells)``: levels of the latents after `steps`."""
    width: float
    """Magnitude of the change of a value by one flip."""
    slope: float
    """Number of bits that a unit of distortion is worth."""


class RateDistortionOptimizer:
    """Optimizer for one published model. Thread-safe: nothing changes after construction."""

    def __init__(self, artifact: Artifact, model: EmbeddedContextModel, device: str) -> None:
        """Open the files `NETWORK` and `TABLES`; raises `ArtifactError` or `DeviceError`.

        The network maps ``values``, ``levels`` and the original ``pixels`` to ``distortion`` (one
        number per picture of the batch) and ``gradient`` (of the shape of ``values``). The tables
        are ``curvature`` float32 (channels,): second derivative of the distortion by a value;
        ``slopes`` float32 (planes,): bits that a unit of distortion is worth at the end of each
        plane; ``everywhere`` bool (planes,): whether a plane is optimized for every stream.
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
        """Return optimized final states for a stream that may be cut at any byte."""
        return self._states(source, self._quantizer.steps[-1], self._common_planes, FLIP_FRACTIONS)

    def optimize_for_end(self, source: EncoderInput, end: Step) -> States:
        """Return optimized final states for a stream that will be cut in or near step ``end``."""
        return self._states(source, end, self._common_planes | {end.plane}, FINAL_FLIP_FRACTIONS)

    def distortion(self, source: EncoderInput, values: Float, levels: Float) -> float:
        """Return the distortion of a picture with these decoded latents, summed over layers.

        ``values`` and ``levels``: ``(layers, channels, rows, columns)``.
        """
        return self._measure(source, values, levels)[0]

    def _states(
        self,
        source: EncoderInput,
        end: Step,
        planes: frozenset[int],
        final_fractions: tuple[float, ...],
    ) -> States:
        """Return the states after all planes.

        Digits of ``planes`` up to and including the step ``end`` are optimized. Every other digit
        is the one that brings the state nearest to the latent. ``final_fractions``: fraction of
        the flips per round in the plane of ``end``.
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
        """Return the `_Plane` of ``steps``, the first steps of a plane.

        ``fraction``: number of these steps, divided by the number of all steps of the plane.
        """
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
        """Return the states with the lowest cost found after the steps of ``part``.

        The search starts at the states ``refined``. Channels that are not free keep the states of
        ``part.parents``. ``fractions``: fraction of the helpful flips to make in each round.
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
        """Return ``states`` changed by the most helpful flips.

        ``fraction``: number of flips to make, divided by the number of all helpful flips.
        ``costs`` and ``gradient``: as returned by `_costs` and `_measure`, for free channels.
        """
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
        """Return the bits of each possible digit, and the total bits of the digits of ``states``.

        The first result is ``(3, layers, free channels, cells)``, for the digits -1, 0 and +1.
        """
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
        """Return the distortion, summed over layers, and its gradient by ``values``."""
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
    """Reshape ``(layers, channels, cells)`` to ``(layers, channels, rows, columns)``."""
    return table.reshape(*table.shape[:2], source.grid.rows, source.grid.columns)


def _digit_costs(costs: Float, digits: NDArray[np.intp]) -> Float:
    """Return the bits of each of ``digits``; infinite for digits outside -1 .. 1.

    ``costs``: bits of the digits -1, 0 and +1 along the first axis.
    """
    bits: Float = np.take_along_axis(costs, (digits.clip(-1, 1) + 1)[None], 0)[0]
    return np.where(np.abs(digits) <= 1, bits, np.float32(np.inf))
