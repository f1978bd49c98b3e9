"""Nested ternary quantisation: a latent is an integer that every plane refines by one digit.

A latent known to level ``p`` lies in an interval that plane ``p`` cuts in three; its digit -1, 0 or
+1 says in which part, and the latent is then known to level ``p + 1``::

    q[p + 1] = 3 q[p] + digit        value = q[level] * base_step / 3^level

Every channel has a first plane; before it the latent is 0. Channels are split into groups, and a
*step* of the stream holds one plane of one group. Normative text: docs/bitstream.md, "Latents".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.tensors import Float

States: TypeAlias = NDArray[np.int32]
Digits: TypeAlias = NDArray[np.int8]
_NEVER = np.iinfo(np.int32).max
"""Place of symbols that do not become known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One plane of one group: symbols whose chances are known before the first of them is read."""

    index: int
    """Place among the steps of a stream."""
    plane: int
    group: int
    block: slice
    """All channels of the group."""
    channels: slice | NDArray[np.intp]
    """Those that have symbols, because they have begun: a slice where they lie together."""
    width: int
    """How many have."""


class EmbeddedQuantizer:
    """Planes, groups and interval widths of one published model."""

    def __init__(self, params: EmbeddedParams) -> None:
        powers = 3 ** np.arange(params.planes + 1)
        begun = params.planes - np.asarray(params.starts)
        self.params = params
        self.steps: tuple[Step, ...] = tuple(_steps(params))
        """In the order of the stream; without those in which no channel has begun."""
        self.max_states: States = ((powers[begun] - 1) // 2).astype(np.int32)[:, None]
        """``(channels, 1)``: largest magnitude of each channel's states behind the last plane."""
        self.intervals: Float = (params.base_step / powers).astype(np.float32)
        """``(planes + 1,)``: width of a latent's interval at every level."""

    def quantize(self, latents: Float) -> States:
        """Finest states of latents ``(..., channels, cells)``, each the nearest there is."""
        states = np.rint(latents / self.intervals[-1]).clip(-self.max_states, self.max_states)
        nearest: States = states.astype(np.int32)
        return nearest

    def refinements(self, states: Float, latents: Float, plane: int) -> Float:
        """States behind ``plane``, of those before it, each the nearest to its latent there is."""
        wanted = np.rint(latents / self.intervals[plane + 1])
        children: Float = 3 * states + np.clip(wanted - 3 * states, -1, 1)
        begun = np.asarray(self.params.starts)[:, None] <= plane
        return np.where(begun, children, states)

    def states_by_level(self, states: States) -> States:
        """Of finest states those behind no plane, the first, ..., the last; 0 before a channel's.

        ``(planes + 1, ..., channels, cells)``. Raises `ValueError` for states that are too large
        for the digits of their channel.
        """
        if (np.abs(states) > self.max_states).any():
            raise ValueError("a latent has no such state: it is over the largest of its channel")
        behind = np.empty((self.params.planes + 1, *states.shape), np.int32)
        behind[-1] = states
        for plane in range(self.params.planes - 1, -1, -1):
            np.floor_divide(behind[plane + 1] + 1, 3, out=behind[plane])
        return behind

    def digits(self, states: States) -> Digits:
        """``(planes, ..., channels, cells)``: digits of finest states; 0 before the first plane.

        Raises `ValueError` as `behind` does.
        """
        behind = self.states_by_level(states)
        digits: Digits = (behind[1:] - 3 * behind[:-1]).astype(np.int8)
        return digits


class DecodedLatents:
    """How far the latents of a picture are known."""

    def __init__(self, quantizer: EmbeddedQuantizer, shape: tuple[int, int, int]) -> None:
        """Nothing is known yet. ``shape``: layers, rows and columns of cells."""
        layers, rows, columns = shape
        params = quantizer.params
        self._intervals = quantizer.intervals
        self._grid = rows, columns
        self.states: Float = np.zeros((layers, params.channels, rows * columns), np.float32)
        """``(layers, channels, cells)``, each at its own level."""
        self._levels = np.asarray(params.starts, np.intp)

    def refine(self, step: Step, digits: Float) -> None:
        """Take in the digits of all symbols of a step: ``(layers, step.width, cells)``."""
        self.states[:, step.channels] = self.states[:, step.channels] * 3 + digits
        self._levels[step.channels] += 1

    def reconstruct(self) -> tuple[Float, Float]:
        """Values and levels, ``(layers, channels, rows, columns)``, as they are now."""
        levels = np.broadcast_to(self._levels[:, None], self.states.shape)
        return self._to_values(self.states, levels)

    def reconstruct_partial(
        self, step: Step, places: NDArray[np.intp], digits: Float
    ) -> tuple[Float, Float]:
        """The same when of ``step`` only the symbols at ``places`` are known beside.

        ``places``: flat, of ``(layers, step.width, cells)``; ``digits``: theirs.
        """
        states, levels = self.states.copy(), np.empty(self.states.shape, np.intp)
        levels[:] = self._levels[:, None]
        part = states[:, step.channels]
        known = np.zeros(part.shape, np.intp)
        known.reshape(-1)[places] = 1
        refined = part * (2 * known + 1)
        refined.reshape(-1)[places] += digits
        states[:, step.channels] = refined
        levels[:, step.channels] += known
        return self._to_values(states, levels)

    def _to_values(self, states: Float, levels: NDArray[np.intp]) -> tuple[Float, Float]:
        shape = (*states.shape[:2], *self._grid)
        values = states * self._intervals[levels]
        return values.reshape(shape), levels.astype(np.float32).reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSymbols:
    """What a prefix determines."""

    values: Float
    """``(layers, channels, rows, columns)``: latents, each as far as it is known."""
    levels: Float
    """Of the same shape: to which level that is."""
    decoded_count: int
    """Symbols that the prefix determines."""
    step: Step | None
    """Where it ends; None when it determines every symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderedStep:
    """A step's symbols as they travel."""

    step: Step
    order: NDArray[np.intp]
    """Flat places of its symbols, ``(layers, step.width, cells)``, as they travel."""
    digits: Float
    """Of the symbols that are known, in this order."""


class PrefixReconstruction:
    """DecodedLatents behind any number of symbols."""

    def __init__(
        self,
        quantizer: EmbeddedQuantizer,
        shape: tuple[int, int, int],
        steps: Sequence[OrderedStep],
    ) -> None:
        """``shape``: layers, rows and columns of cells. ``steps``: the first, in their order."""
        layers, rows, columns = shape
        params = quantizer.params
        every = params.planes, layers, params.channels, rows * columns
        places = np.arange(np.prod(every)).reshape(every)
        found = np.concatenate(
            [
                places[one.step.plane][:, one.step.channels]
                .reshape(-1)
                .take(one.order[: len(one.digits)])
                for one in steps
            ]
        )
        self._places = np.full(every, _NEVER, np.int32).reshape(params.planes, -1)
        self._places.reshape(-1)[found] = np.arange(len(found))
        digits = np.zeros(every, np.float32)
        digits.reshape(-1)[found] = np.concatenate([one.digits for one in steps])
        self._values = np.zeros((params.planes + 1, *every[1:]), np.float32)
        for plane in range(params.planes):
            np.multiply(self._values[plane], 3, out=self._values[plane + 1])
            self._values[plane + 1] += digits[plane]
        self._values *= quantizer.intervals[:, None, None, None]
        starts = np.asarray(params.starts, np.intp)[:, None]
        self._starts = np.broadcast_to(starts, every[1:]).reshape(-1)
        self._latents = np.arange(self._starts.size)
        self._shape = layers, params.channels, rows, columns
        self._ends = np.cumsum([len(one.order) for one in steps])
        self._steps: list[Step | None] = [one.step for one in steps]
        if len(steps) == len(quantizer.steps):
            self._steps.append(None)

    def at(self, known: int) -> DecodedSymbols:
        """What the first ``known`` symbols determine, of those that are known here."""
        levels = self._starts + np.add.reduce(self._places < known, axis=0, dtype=np.intp)
        values = self._values.reshape(-1).take(levels * self._latents.size + self._latents)
        return DecodedSymbols(
            values.reshape(self._shape),
            levels.astype(np.float32).reshape(self._shape),
            known,
            self._steps[int(np.searchsorted(self._ends, known, "right"))],
        )


def _steps(params: EmbeddedParams) -> Iterator[Step]:
    bounds = list(pairwise(accumulate(params.groups, initial=0)))
    index = 0
    for plane in range(params.planes):
        for group, (first, end) in enumerate(bounds):
            begun = [c for c in range(first, end) if params.starts[c] <= plane]
            if not begun:
                continue
            channels: slice | NDArray[np.intp] = np.array(begun)
            if begun[-1] - begun[0] + 1 == len(begun):
                channels = slice(begun[0], begun[-1] + 1)
            yield Step(index, plane, group, slice(first, end), channels, len(begun))
            index += 1
