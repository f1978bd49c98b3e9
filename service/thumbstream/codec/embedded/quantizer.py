"""Embedded ternary quantizer: a latent is an integer that every plane refines by one digit.

A latent known to level ``p`` lies in an interval that plane ``p`` divides into three; its digit -1,
0 or +1 selects one of them, and the latent is then known to level ``p + 1``::

    q[p + 1] = 3 q[p] + digit        value = q[level] * base_step / 3^level

The integer ``q`` is the latent's *state*. A channel has a first plane, before which its states are
0. Channels are split into groups; a *step* of the stream is one plane of one group, and within a
step every cell has one symbol, a digit, per channel. Normative text: docs/bitstream.md, "Latents".

`EmbeddedQuantizer` converts latents, states and digits. A decoder collects digits step by step in
`DecodedLatents`; `PrefixReconstruction` has the values after any number of symbols at once.
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
"""Position of symbols that are not decoded."""


@dataclass(frozen=True, slots=True)
class Step:
    """One plane of one group: symbols whose probabilities are known before the first is read."""

    index: int
    """Position among the steps of a stream."""
    plane: int
    group: int
    group_channels: slice
    """All channels of the group."""
    channels: slice | NDArray[np.intp]
    """Channels of the group that have started, and so have symbols; a slice if contiguous."""
    width: int
    """Number of these channels."""


class EmbeddedQuantizer:
    """Planes, groups and interval widths of one published model."""

    def __init__(self, params: EmbeddedParams) -> None:
        powers = 3 ** np.arange(params.planes + 1)
        planes = params.planes - np.asarray(params.starts)
        self.params = params
        self.steps: tuple[Step, ...] = tuple(_steps(params))
        """In stream order, without steps that have no symbols."""
        self.max_states: States = ((powers[planes] - 1) // 2).astype(np.int32)[:, None]
        """``(channels, 1)``: largest magnitude of each channel's states after the last plane."""
        self.intervals: Float = (params.base_step / powers).astype(np.float32)
        """``(planes + 1,)``: width of a latent's interval at every level."""

    def quantize(self, latents: Float) -> States:
        """Nearest final states (after the last plane) of latents ``(..., channels, cells)``."""
        states = np.rint(latents / self.intervals[-1]).clip(-self.max_states, self.max_states)
        nearest: States = states.astype(np.int32)
        return nearest

    def refinements(self, states: Float, latents: Float, plane: int) -> Float:
        """Refine ``states`` by the digits of ``plane`` that come nearest to ``latents``."""
        nearest = np.rint(latents / self.intervals[plane + 1])
        refined: Float = 3 * states + np.clip(nearest - 3 * states, -1, 1)
        started = np.asarray(self.params.starts)[:, None] <= plane
        return np.where(started, refined, states)

    def states_by_level(self, states: States) -> States:
        """States at level 0, 1, ..., planes that lead to the final ``states``.

        ``(planes + 1, ..., channels, cells)``, 0 before a channel's first plane. Raises
        `ValueError` for states out of the range of their channel.
        """
        if (np.abs(states) > self.max_states).any():
            raise ValueError("latent out of range for its channel")
        by_level = np.empty((self.params.planes + 1, *states.shape), np.int32)
        by_level[-1] = states
        for plane in range(self.params.planes - 1, -1, -1):
            np.floor_divide(by_level[plane + 1] + 1, 3, out=by_level[plane])
        return by_level

    def digits(self, states: States) -> Digits:
        """``(planes, ..., channels, cells)``: digits of final states; 0 before the first plane.

        Raises `ValueError` as `states_by_level` does.
        """
        by_level = self.states_by_level(states)
        digits: Digits = (by_level[1:] - 3 * by_level[:-1]).astype(np.int8)
        return digits


class DecodedLatents:
    """Latents of a picture, each known to some level, refined step by step."""

    def __init__(self, quantizer: EmbeddedQuantizer, shape: tuple[int, int, int]) -> None:
        """Start without any symbol. ``shape``: layers, rows and columns of cells."""
        layers, rows, columns = shape
        params = quantizer.params
        self._intervals = quantizer.intervals
        self._grid = rows, columns
        self.states: Float = np.zeros((layers, params.channels, rows * columns), np.float32)
        """``(layers, channels, cells)``, each at its own level."""
        self._levels = np.asarray(params.starts, np.intp)

    def refine(self, step: Step, digits: Float) -> None:
        """Add the digits of all symbols of a step: ``(layers, step.width, cells)``."""
        self.states[:, step.channels] = self.states[:, step.channels] * 3 + digits
        self._levels[step.channels] += 1

    def reconstruct(self) -> tuple[Float, Float]:
        """Values and levels, both ``(layers, channels, rows, columns)``."""
        levels = np.broadcast_to(self._levels[:, None], self.states.shape)
        return self._values(self.states, levels)

    def reconstruct_partial(
        self, step: Step, positions: NDArray[np.intp], digits: Float
    ) -> tuple[Float, Float]:
        """Values and levels if of ``step`` only the symbols at ``positions`` are known.

        ``positions`` are flat indices into ``(layers, step.width, cells)``; ``digits`` are the
        values of these symbols.
        """
        states, levels = self.states.copy(), np.empty(self.states.shape, np.intp)
        levels[:] = self._levels[:, None]
        part = states[:, step.channels]
        known = np.zeros(part.shape, np.intp)
        known.reshape(-1)[positions] = 1
        refined = part * (2 * known + 1)
        refined.reshape(-1)[positions] += digits
        states[:, step.channels] = refined
        levels[:, step.channels] += known
        return self._values(states, levels)

    def _values(self, states: Float, levels: NDArray[np.intp]) -> tuple[Float, Float]:
        shape = (*states.shape[:2], *self._grid)
        values = states * self._intervals[levels]
        return values.reshape(shape), levels.astype(np.float32).reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSymbols:
    """What a prefix of a stream determines."""

    values: Float
    """``(layers, channels, rows, columns)``: each latent as far as it is known."""
    levels: Float
    """The level to which each latent is known; same shape."""
    decoded_count: int
    """Symbols that the prefix determines."""
    step: Step | None
    """The step in which the prefix ends; None if it determines every symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderedStep:
    """The symbols of a step in coding order."""

    step: Step
    order: NDArray[np.intp]
    """Flat indices of its symbols into ``(layers, step.width, cells)``, in coding order."""
    digits: Float
    """Values of the symbols that are known, in coding order."""


class PrefixReconstruction:
    """Values of all latents after any number of symbols.

    A symbol has a position in coding order, and the positions of one latent increase from plane to
    plane. So the number of its positions below ``n`` gives the level of a latent after ``n``
    symbols, and the level gives its value.
    """

    def __init__(
        self,
        quantizer: EmbeddedQuantizer,
        shape: tuple[int, int, int],
        steps: Sequence[OrderedStep],
    ) -> None:
        """``shape``: layers, rows and columns of cells. ``steps``: the first steps of a stream."""
        layers, rows, columns = shape
        params = quantizer.params
        symbols = params.planes, layers, params.channels, rows * columns
        indices = np.arange(np.prod(symbols)).reshape(symbols)
        known = np.concatenate(
            [
                indices[one.step.plane][:, one.step.channels]
                .reshape(-1)
                .take(one.order[: len(one.digits)])
                for one in steps
            ]
        )
        self._positions = np.full(symbols, _NEVER, np.int32).reshape(params.planes, -1)
        self._positions.reshape(-1)[known] = np.arange(len(known))
        digits = np.zeros(symbols, np.float32)
        digits.reshape(-1)[known] = np.concatenate([one.digits for one in steps])
        self._values = np.zeros((params.planes + 1, *symbols[1:]), np.float32)
        for plane in range(params.planes):
            np.multiply(self._values[plane], 3, out=self._values[plane + 1])
            self._values[plane + 1] += digits[plane]
        self._values *= quantizer.intervals[:, None, None, None]
        starts = np.asarray(params.starts, np.intp)[:, None]
        self._starts = np.broadcast_to(starts, symbols[1:]).reshape(-1)
        self._latents = np.arange(self._starts.size)
        self._shape = layers, params.channels, rows, columns
        self._ends = np.cumsum([len(one.order) for one in steps])
        self._steps: list[Step | None] = [one.step for one in steps]
        if len(steps) == len(quantizer.steps):
            self._steps.append(None)

    def at(self, count: int) -> DecodedSymbols:
        """The result of decoding the first ``count`` symbols."""
        levels = self._starts + np.add.reduce(self._positions < count, axis=0, dtype=np.intp)
        values = self._values.reshape(-1).take(levels * self._latents.size + self._latents)
        return DecodedSymbols(
            values.reshape(self._shape),
            levels.astype(np.float32).reshape(self._shape),
            count,
            self._steps[int(np.searchsorted(self._ends, count, "right"))],
        )


def _steps(params: EmbeddedParams) -> Iterator[Step]:
    bounds = list(pairwise(accumulate(params.groups, initial=0)))
    index = 0
    for plane in range(params.planes):
        for group, (first, end) in enumerate(bounds):
            started = [c for c in range(first, end) if params.starts[c] <= plane]
            if not started:
                continue
            channels: slice | NDArray[np.intp] = np.array(started)
            if started[-1] - started[0] + 1 == len(started):
                channels = slice(started[0], started[-1] + 1)
            yield Step(index, plane, group, slice(first, end), channels, len(started))
            index += 1
