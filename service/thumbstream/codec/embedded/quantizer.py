"""Nested ternary quantisation: a latent is an integer that every plane refines by one digit.

A latent known to level ``p`` lies in an interval that plane ``p`` cuts in three; its digit -1, 0 or
+1 says in which part, and the latent is then known to level ``p + 1``::

    q[p + 1] = 3 q[p] + digit        value = q[level] * base_step / 3^level

Every channel has a first plane; before it the latent is 0. Channels are split into groups, and a
*step* of the stream holds one plane of one group. Normative text: docs/bitstream.md, "Latents".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.layouts import EmbeddedLayout
from thumbstream.codec.runtime import Float

Integers: TypeAlias = NDArray[np.int32]
Digits: TypeAlias = NDArray[np.int8]


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


class Nesting:
    """Planes, groups and interval widths of one published model."""

    def __init__(self, layout: EmbeddedLayout) -> None:
        powers = 3 ** np.arange(layout.planes + 1)
        begun = layout.planes - np.asarray(layout.starts)
        self.layout = layout
        self.steps: tuple[Step, ...] = tuple(_steps(layout))
        """In the order of the stream; without those in which no channel has begun."""
        self.finest: Integers = ((powers[begun] - 1) // 2).astype(np.int32)[:, None]
        """``(channels, 1)``: largest magnitude of each channel's states behind the last plane."""
        self.intervals: Float = (layout.base_step / powers).astype(np.float32)
        """``(planes + 1,)``: width of a latent's interval at every level."""

    def nearest(self, latents: Float) -> Integers:
        """Finest states of latents ``(..., channels, cells)``, each the nearest there is."""
        states = np.rint(latents / self.intervals[-1]).clip(-self.finest, self.finest)
        nearest: Integers = states.astype(np.int32)
        return nearest

    def children(self, states: Float, latents: Float, plane: int) -> Float:
        """States behind ``plane``, of those before it, each the nearest to its latent there is."""
        wanted = np.rint(latents / self.intervals[plane + 1])
        children: Float = 3 * states + np.clip(wanted - 3 * states, -1, 1)
        begun = np.asarray(self.layout.starts)[:, None] <= plane
        return np.where(begun, children, states)

    def behind(self, states: Integers) -> Integers:
        """Of finest states those behind no plane, the first, ..., the last; 0 before a channel's.

        ``(planes + 1, ..., channels, cells)``. Raises `ValueError` for states that are too large
        for the digits of their channel.
        """
        if (np.abs(states) > self.finest).any():
            raise ValueError("a latent has no such state: it is over the largest of its channel")
        behind = np.empty((self.layout.planes + 1, *states.shape), np.int32)
        behind[-1] = states
        for plane in range(self.layout.planes - 1, -1, -1):
            np.floor_divide(behind[plane + 1] + 1, 3, out=behind[plane])
        return behind

    def digits(self, states: Integers) -> Digits:
        """``(planes, ..., channels, cells)``: digits of finest states; 0 before the first plane.

        Raises `ValueError` as `behind` does.
        """
        behind = self.behind(states)
        digits: Digits = (behind[1:] - 3 * behind[:-1]).astype(np.int8)
        return digits


class Latents:
    """How far the latents of a picture are known."""

    def __init__(self, nesting: Nesting, shape: tuple[int, int, int]) -> None:
        """Nothing is known yet. ``shape``: layers, rows and columns of cells."""
        layers, rows, columns = shape
        layout = nesting.layout
        self._intervals = nesting.intervals
        self._grid = rows, columns
        self.states: Float = np.zeros((layers, layout.channels, rows * columns), np.float32)
        """``(layers, channels, cells)``, each at its own level."""
        self._levels = np.asarray(layout.starts, np.intp)

    def refine(self, step: Step, digits: Float) -> None:
        """Take in the digits of all symbols of a step: ``(layers, step.width, cells)``."""
        self.states[:, step.channels] = self.states[:, step.channels] * 3 + digits
        self._levels[step.channels] += 1

    def drawn(self) -> tuple[Float, Float]:
        """Values and levels, ``(layers, channels, rows, columns)``, as they are now."""
        levels = np.broadcast_to(self._levels[:, None], self.states.shape)
        return self._drawn(self.states, levels)

    def drawn_with(
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
        return self._drawn(states, levels)

    def _drawn(self, states: Float, levels: NDArray[np.intp]) -> tuple[Float, Float]:
        shape = (*states.shape[:2], *self._grid)
        values = states * self._intervals[levels]
        return values.reshape(shape), levels.astype(np.float32).reshape(shape)


def _steps(layout: EmbeddedLayout) -> Iterator[Step]:
    bounds = list(pairwise(accumulate(layout.groups, initial=0)))
    index = 0
    for plane in range(layout.planes):
        for group, (first, end) in enumerate(bounds):
            begun = [c for c in range(first, end) if layout.starts[c] <= plane]
            if not begun:
                continue
            channels: slice | NDArray[np.intp] = np.array(begun)
            if begun[-1] - begun[0] + 1 == len(begun):
                channels = slice(begun[0], begun[-1] + 1)
            yield Step(index, plane, group, slice(first, end), channels, len(begun))
            index += 1
