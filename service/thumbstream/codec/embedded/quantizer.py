"""Embedded ternary quantizer: every plane refines a latent by one ternary digit.

A latent known to level ``p`` lies in an interval. Plane ``p`` divides this interval into three, and
the latent's digit -1, 0 or +1 selects one of the three. The latent is then known to level
``p + 1``::

    q[p + 1] = 3 q[p] + digit        value = q[level] * base_step / 3^level

The integer ``q`` is the latent's *state*. A channel has a first plane, before which its states are
0. Channels are split into groups. A *step* of the stream is one plane of one group; it contains one
symbol (a digit) per cell and started channel. Normative text: docs/bitstream.md, "Latents".

`EmbeddedQuantizer` converts between latents, states and digits. `DecodedLatents` collects digits
step by step. `PrefixReconstruction` computes all values after any number of symbols directly.
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
"""Position in coding order of a symbol that is not decoded."""


@dataclass(frozen=True, slots=True)
class Step:
    """One plane of one group. No symbol's probability depends on another symbol of the step."""

    index: int
    """Position among the steps of a stream."""
    plane: int
    group: int
    group_channels: slice
    """All channels of the group."""
    channels: slice | NDArray[np.intp]
    """Channels of the group that have symbols: those that have started. A slice if contiguous."""
    width: int
    """Number of `channels`: the step's symbols per cell and layer."""


class EmbeddedQuantizer:
    """Quantizer of one published model: its steps, interval widths and ranges of states."""

    def __init__(self, params: EmbeddedParams) -> None:
        powers = 3 ** np.arange(params.planes + 1)
        planes = params.planes - np.asarray(params.starts)
        self.params = params
        self.steps: tuple[Step, ...] = tuple(_steps(params))
        """Steps that have symbols, in stream order."""
        self.max_states: States = ((powers[planes] - 1) // 2).astype(np.int32)[:, None]
        """``(channels, 1)``: largest magnitude of each channel's states after the last plane."""
        self.intervals: Float = (params.base_step / powers).astype(np.float32)
        """``(planes + 1,)``: width of a latent's interval at every level."""

    def quantize(self, latents: Float) -> States:
        """Quantize ``latents`` ``(..., channels, cells)`` to the nearest final states.

        Final states are the states after the last plane.
        """
        states = np.rint(latents / self.intervals[-1]).clip(-self.max_states, self.max_states)
        nearest: States = states.astype(np.int32)
        return nearest

    def refinements(self, states: Float, latents: Float, plane: int) -> Float:
        """Return the states after ``plane``, given ``states`` before it.

        The digits are those that bring the states nearest to ``latents``. States of channels that
        start after ``plane`` do not change.
        """
        nearest = np.rint(latents / self.intervals[plane + 1])
        refined: Float = 3 * states + np.clip(nearest - 3 * states, -1, 1)
        started = np.asarray(self.params.starts)[:, None] <= plane
        return np.where(started, refined, states)

    def states_by_level(self, states: States) -> States:
        """Return the states at level 0, 1, ..., planes of latents with the given final ``states``.

        Shape ``(planes + 1, ..., channels, cells)``; 0 before a channel's first plane. Raises
        `ValueError` for states outside the range of their channel (`max_states`).
        """
        if (np.abs(states) > self.max_states).any():
            raise ValueError("latent out of range for its channel")
        by_level = np.empty((self.params.planes + 1, *states.shape), np.int32)
        by_level[-1] = states
        for plane in range(self.params.planes - 1, -1, -1):
            np.floor_divide(by_level[plane + 1] + 1, 3, out=by_level[plane])
        return by_level

    def digits(self, states: States) -> Digits:
        """Return the digits of all planes for final ``states``: ``(planes, ..., channels, cells)``.

        Digits before a channel's first plane are 0. Raises `ValueError` as `states_by_level` does.
        """
        by_level = self.states_by_level(states)
        digits: Digits = (by_level[1:] - 3 * by_level[:-1]).astype(np.int8)
        return digits


class DecodedLatents:
    """Decoded latents of a picture, each known to its own level; refined step by step."""

    def __init__(self, quantizer: EmbeddedQuantizer, shape: tuple[int, int, int]) -> None:
        """Create latents for which no symbol is decoded.

        ``shape``: number of layers, and of rows and columns of cells.
        """
        layers, rows, columns = shape
        params = quantizer.params
        self._intervals = quantizer.intervals
        self._grid = rows, columns
        self.states: Float = np.zeros((layers, params.channels, rows * columns), np.float32)
        """``(layers, channels, cells)``: state of each latent at the level to which it is known."""
        self._levels = np.asarray(params.starts, np.intp)

    def refine(self, step: Step, digits: Float) -> None:
        """Refine the latents by all ``digits`` ``(layers, step.width, cells)`` of ``step``."""
        self.states[:, step.channels] = self.states[:, step.channels] * 3 + digits
        self._levels[step.channels] += 1

    def reconstruct(self) -> tuple[Float, Float]:
        """Return values and levels of all latents, both ``(layers, channels, rows, columns)``."""
        levels = np.broadcast_to(self._levels[:, None], self.states.shape)
        return self._values(self.states, levels)

    def reconstruct_partial(
        self, step: Step, positions: NDArray[np.intp], digits: Float
    ) -> tuple[Float, Float]:
        """Return the result of `reconstruct` after some symbols of ``step``, the next step.

        ``positions``: flat indices of these symbols in ``(layers, step.width, cells)``;
        ``digits``: their values. The latents in this object do not change.
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
    """Latents reconstructed from the symbols that a prefix of a stream determines."""

    values: Float
    """``(layers, channels, rows, columns)``: value of each latent at the level in `levels`."""
    levels: Float
    """Level to which each latent is known; the shape is that of `values`."""
    decoded_count: int
    """Number of symbols that the prefix determines."""
    step: Step | None
    """The step in which the prefix ends; None if the prefix determines every symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderedStep:
    """A step with the coding order and the known digits of its symbols."""

    step: Step
    order: NDArray[np.intp]
    """Indices into flattened ``(layers, step.width, cells)`` of all symbols, in coding order."""
    digits: Float
    """Digits of the known symbols, in coding order; fewer than `order` if the data end here."""


class PrefixReconstruction:
    """Reconstructs all latents after any number of symbols, without decoding again.

    Every symbol has a position in coding order. The positions of a latent's symbols increase from
    plane to plane, so the number of these positions below ``n`` gives the latent's level after
    ``n`` symbols. The value of each latent at each level is computed once, at construction.
    """

    def __init__(
        self,
        quantizer: EmbeddedQuantizer,
        shape: tuple[int, int, int],
        steps: Sequence[OrderedStep],
    ) -> None:
        """Compute the values of all latents at all levels.

        ``shape``: number of layers, and of rows and columns of cells. ``steps``: the first steps
        of a stream, without gaps.
        """
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
        """Return the latents after the first ``count`` symbols of the stream."""
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
