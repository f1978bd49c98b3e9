"""Which digits are worth their bits: a search by rate and distortion, plane by plane.

The nearest state of a latent is not always the best one: a digit that costs many bits and changes
little had better be another. A network that comes with the model gives the distortion of a state
and its gradient with respect to every value; the context model gives what each digit costs. In a
plane, again and again, the flips of a digit by one that promise most are made together, a smaller
share of them each time, and the best state that was seen is kept::

    promise = slope (gradient delta + curvature delta^2 / 2) + change of bits

Coarse planes are searched first and stay; the digits of finer ones are the nearest to what is left.
Where a stream will be cut is known for some streams only. The others are searched in planes where
that helps longer streams, too: a digit that is moved early leaves more to do later.
The encoder is free in all of this, and every decoder reads the result.
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
"""Files of a model that has a search."""
FLIP_FRACTIONS = (0.5, 0.3)
"""Of the flips that promise something, those that are made: in a plane that is one of many."""
FINAL_FLIP_FRACTIONS = (0.5, 0.4, 0.3, 0.2)
"""In the plane in which a stream of so many bytes ends."""
_WHOLE = 1 << 16
_BITS = -np.log2(np.maximum(np.arange(_WHOLE + 1), 1) / _WHOLE).astype(np.float32)
"""What a decision of chance ``i / 2^16`` costs."""


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """What is being coded."""

    x: Float
    """``(layers, 3, H', W')`` in [-1, 1], of whole cells."""
    latents: Float
    """``(layers, channels, cells)``"""
    grid: Grid


@dataclass(frozen=True, slots=True)
class _Plane:
    """Steps of a plane whose digits are searched together, those before it being settled."""

    steps: tuple[Step, ...]
    context: EmbeddedContext
    """At the beginning of the plane."""
    parents: Float
    """``(layers, channels, cells)``: states at the beginning of the plane."""
    channels: NDArray[np.intp]
    """Those whose digits are free, in the order of the steps."""
    levels: Float
    """``(layers, channels, cells)``: of the state behind the steps."""
    width: float
    """By how much a flip changes a value."""
    slope: float
    """Bits that a unit of distortion is worth."""


class RateDistortionOptimizer:
    """The search of one published model. Thread-safe: nothing changes after construction."""

    def __init__(
        self,
        artifact: Artifact,
        model: EmbeddedContextModel,
        device: str,
    ) -> None:
        """Open its network and tables; raises `ArtifactError` or `DeviceError`.

        The network: ``values``, ``levels`` and the true ``pixels`` to ``distortion``, a number for
        each row, and ``gradient``, of the shape of ``values``. The tables: ``curvature`` float32
        (channels,), ``slopes`` float32 (planes,), bits that a unit of distortion is worth behind
        each plane, and ``everywhere`` bool (planes,), which planes are searched whatever the stream
        is for.
        """
        params = model.quantizer.params
        self._model, self._quantizer = model, model.quantizer
        self._network = OnnxNetwork(artifact.file(NETWORK), device)
        tables = artifact.arrays(TABLES)
        found = {name: (table.dtype, *table.shape) for name, table in tables.items()}
        expected = {
            "curvature": (np.dtype(np.float32), params.channels),
            "slopes": (np.dtype(np.float32), params.planes),
            "everywhere": (np.dtype(np.bool_), params.planes),
        }
        taken = {"values": params.channels, "levels": params.channels, "pixels": 3}
        if (
            found != expected
            or self._network.channels != taken
            or self._network.outputs != ("distortion", "gradient")
        ):
            raise ArtifactError(f"{artifact.model_id}: the search does not fit the model")
        self._curvature = tables["curvature"].astype(np.float32)[:, None]
        self._slopes = tables["slopes"].astype(np.float32)
        self._everywhere = frozenset(np.flatnonzero(tables["everywhere"]).tolist())

    def optimize_all_prefixes(self, subject: EncoderInput) -> States:
        """Finest states of a stream that may be cut anywhere."""
        return self._states(subject, self._quantizer.steps[-1], self._everywhere, FLIP_FRACTIONS)

    def optimize_for_end(self, subject: EncoderInput, end: Step) -> States:
        """Finest states of a stream that will be cut in ``end`` or near it."""
        return self._states(subject, end, self._everywhere | {end.plane}, FINAL_FLIP_FRACTIONS)

    def distortion(self, subject: EncoderInput, values: Float, levels: Float) -> float:
        """Of what ``values`` and ``levels`` ``(layers, channels, rows, columns)`` draw."""
        return self._measure(subject, values, levels)[0]

    def _states(
        self, subject: EncoderInput, end: Step, planes: frozenset[int], shares: tuple[float, ...]
    ) -> States:
        """Search ``planes`` up to ``end``, with ``shares`` in the last one; then the nearest."""
        layers, quantizer = len(subject.latents), self._quantizer
        last = max(planes, default=-1)  # behind it nobody asks the context any more
        context = EmbeddedContext(self._model, layers, subject.grid)
        states: Float = np.zeros(subject.latents.shape, np.float32)
        for plane in range(quantizer.params.planes):
            children = quantizer.refinements(states, subject.latents, plane)
            steps = tuple(step for step in quantizer.steps if step.plane == plane)
            free = tuple(step for step in steps if step.index <= end.index)
            if free and plane in planes:
                part = self._plane(context, states, free, len(free) / len(steps))
                found = self._search(
                    subject, part, children, shares if end in free else FLIP_FRACTIONS
                )
                children[:, part.channels] = found[:, part.channels]
            if plane < last:
                for step in steps:
                    context.update(step, children)
            states = children
        return states.astype(np.int32)

    def _plane(
        self, context: EmbeddedContext, parents: Float, steps: tuple[Step, ...], whole: float
    ) -> _Plane:
        """``whole``: the part of the plane's steps that these are."""
        plane, every = steps[0].plane, np.arange(self._quantizer.params.channels)
        channels = np.concatenate([every[step.channels] for step in steps])
        levels = np.maximum(np.asarray(self._quantizer.params.starts), plane)
        levels[channels] += 1
        before, behind = self._slopes[max(0, plane - 1)], self._slopes[plane]
        slope = behind if before <= 0 else before ** (1 - whole) * behind**whole
        return _Plane(
            steps,
            context,
            parents,
            channels,
            np.broadcast_to(levels[:, None], parents.shape).astype(np.float32),
            float(self._quantizer.intervals[plane + 1]),
            float(slope),
        )

    def _search(
        self, subject: EncoderInput, part: _Plane, children: Float, shares: tuple[float, ...]
    ) -> Float:
        """States behind the steps of ``part``: ``children``, or better ones.

        Channels that are not free are those of its parents.
        """
        states = part.parents.copy()
        states[:, part.channels] = children[:, part.channels]
        best, least = states, float("inf")
        for share in (*shares, 0.0):
            costs, bits = self._costs(part, states)
            values = self._spread(subject, states * self._intervals(part))
            levels = self._spread(subject, part.levels)
            distortion, gradient = self._measure(subject, values, levels)
            total = bits + part.slope * distortion
            if total < least:
                best, least = states, total
            if share:
                gradient = gradient.reshape(states.shape)[:, part.channels]
                states = self._flipped(part, states, costs, gradient, share)
        return best

    def _flipped(
        self, part: _Plane, states: Float, costs: Float, gradient: Float, share: float
    ) -> Float:
        """``states`` with that share of the flips made that promise most."""
        digits = (states - 3 * part.parents)[:, part.channels].astype(np.intp)
        bend = self._curvature[part.channels] * part.width / 2
        now = _at(costs, digits)
        up = part.slope * part.width * (bend + gradient) + _at(costs, digits + 1) - now
        down = part.slope * part.width * (bend - gradient) + _at(costs, digits - 1) - now
        promise = np.minimum(up, down)
        worth = promise[promise < 0]
        if not worth.size:
            return states
        count = max(1, round(share * worth.size))
        limit = np.partition(worth, count - 1)[count - 1]
        flips = np.where(promise <= limit, np.where(up <= down, 1, -1), 0)
        flipped = states.copy()
        flipped[:, part.channels] += flips
        return flipped

    def _costs(self, part: _Plane, states: Float) -> tuple[Float, float]:
        """Bits of the digits -1, 0 and +1, ``(3, layers, free channels, cells)``; and of all."""
        context, of_steps = part.context.copy(), []
        for step in part.steps:
            nonzero, positive = (chance.astype(np.intp) for chance in context.probabilities(step))
            some = _BITS[nonzero]
            bits = np.stack(
                [some + _BITS[_WHOLE - positive], _BITS[_WHOLE - nonzero], some + _BITS[positive]]
            )
            of_steps.append(bits.reshape(3, len(states), step.width, -1))
            context.update(step, states)
        costs: Float = np.concatenate(of_steps, 2)
        digits = (states - 3 * part.parents)[:, part.channels].astype(np.intp)
        return costs, float(_at(costs, digits).sum())

    def _measure(self, subject: EncoderInput, values: Float, levels: Float) -> tuple[float, Float]:
        """Distortion of all layers, and its gradient with respect to ``values``."""
        runs = [
            self._network.run(
                {"values": values[i, None], "levels": levels[i, None], "pixels": subject.x[i, None]}
            )
            for i in range(len(values))
        ]
        return float(sum(run[0][0] for run in runs)), np.concatenate([run[1] for run in runs])

    def _intervals(self, part: _Plane) -> Float:
        intervals: Float = self._quantizer.intervals[part.levels.astype(np.intp)]
        return intervals

    @staticmethod
    def _spread(subject: EncoderInput, table: Float) -> Float:
        return table.reshape(*table.shape[:2], subject.grid.rows, subject.grid.columns)


def _at(costs: Float, digits: NDArray[np.intp]) -> Float:
    """Bits of each of ``digits``; endless for those that there are not."""
    bits: Float = np.take_along_axis(costs, (digits.clip(-1, 1) + 1)[None], 0)[0]
    return np.where(np.abs(digits) <= 1, bits, np.float32(np.inf))
