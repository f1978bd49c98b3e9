"""Binary planes with a dead zone: which latents each step of a stream refines, and how.

A latent is an integer ``q``, at first 0. Each plane of its class replaces 0 by -1, 0 or +1, and any
other ``q`` by ``2 q`` or ``2 q + sign(q)``. So the states of a latent are the leading bits of its
last state. Normative text: docs/bitstream.md, "Planes".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.linear import Latents
from thumbstream.codec.lapped.params import CLASSES, UNIT_PLANE, LappedParams
from thumbstream.codec.lapped.probabilities import HALVING_KEY, Integers
from thumbstream.codec.tensors import Float, Grid

RECONSTRUCTION_POINT = 7 / 16
"""Place of a value in its interval, as a fraction from the end nearer to 0."""
STEP_RATIOS = (64, 76, 91, 108)
"""Ratios of the steps of planes that are 0 to 3 apart, times 64."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Latents of one plane whose symbols do not depend on each other."""

    index: int
    """Position among the steps of a stream."""
    plane: int
    group: int
    parity: int
    """0 for even cells, 1 for odd ones; 0 for group 0."""
    channels: NDArray[np.intp]
    """Channels of the latents; empty for group 0, whose latents have no regular shape."""
    cells: NDArray[np.intp]
    """Cells of the latents."""
    latents: NDArray[np.intp]
    """Indices into flattened ``(channels, rows * columns)``: all channels times all cells."""


@dataclass(frozen=True, slots=True, eq=False)
class StepSymbols:
    """Symbols of a step and their contexts' logits; arrays are ``(layers, symbols)``."""

    step: Step
    halving: NDArray[np.bool_]
    """Whether a symbol halves an interval: the latent is not 0 before."""
    first: Integers
    second: Integers
    digits: Integers | None = None
    """The symbols, for an encoder."""

    @property
    def key(self) -> Integers:
        """Symbols are coded by decreasing key."""
        return np.where(self.halving, HALVING_KEY, self.first)


class Layout:
    """Classes, starts and steps of the latents of pictures of one grid."""

    def __init__(
        self, params: LappedParams, grid: Grid, first_starts: Integers, starts: NDArray[np.uint8]
    ) -> None:
        """``first_starts`` ``(K, rows, columns)``: starts of group 0; ``starts``: of others."""
        self.params, self.grid = params, grid
        channel = np.arange(params.channels)[:, None, None]
        row, column = np.arange(grid.rows)[:, None], np.arange(grid.columns)
        frequency = np.where(channel < params.first, 3 * row + 2 * column, 0 * (row + column))
        shape = params.channels, grid.cells
        self.classes = ((channel + frequency) % CLASSES).reshape(shape).astype(np.int32)
        """``(channels, cells)``"""
        self.starts: Integers = np.empty(shape, np.int32)
        """``(channels, cells)``"""
        self.starts[: params.first] = first_starts.reshape(params.first, grid.cells)
        self.starts[params.first :] = starts[:, None]
        odd = ((row + column) % 2).reshape(-1)
        self.halves = np.flatnonzero(odd == 0), np.flatnonzero(odd)
        """Even and odd cells."""
        self.steps = tuple(self._steps())
        planes = np.maximum(0, (params.planes - 1 - self.starts) // CLASSES + 1)
        self.max_states = ((1 << planes) - 1).astype(np.int32)
        """``(channels, cells)``: largest magnitude of each latent after the last plane."""
        self.last = last_plane(params.planes - 1, self.classes)
        """``(channels, cells)``: last plane of each latent's class."""

    def quantize(self, latents: Latents) -> Integers:
        """Return the last states of scaled latents ``(layers, channels, cells)``."""
        steps = np.exp2((UNIT_PLANE - self.last) / CLASSES)
        magnitude = np.minimum(np.floor(np.abs(latents) / steps), self.max_states)
        return (np.sign(latents) * magnitude).astype(np.int32)

    def values(self, q: Integers, levels: Integers) -> Float:
        """Return the values of states known to ``levels``; all ``(..., channels, cells)``."""
        steps = np.exp2((UNIT_PLANE - levels) / CLASSES)
        values = np.sign(q) * (np.abs(q) + RECONSTRUCTION_POINT) * steps
        return values.astype(np.float32)

    def _steps(self) -> list[Step]:
        params = self.params
        steps: list[Step] = []
        for plane in range(params.look):
            self._add_first(steps, plane)
        bounds = np.cumsum((0, *params.groups))
        for plane in range(params.planes):
            if plane >= params.look:
                self._add_first(steps, plane)
            for group in range(1, len(params.groups)):
                channels = np.arange(bounds[group], bounds[group + 1])
                ours = (channels % CLASSES == plane % CLASSES) & (self.starts[channels, 0] <= plane)
                for parity, cells in enumerate(self.halves):
                    if ours.any() and len(cells):
                        latents = channels[ours, None] * self.grid.cells + cells
                        steps.append(
                            Step(
                                index=len(steps),
                                plane=plane,
                                group=group,
                                parity=parity,
                                channels=channels[ours],
                                cells=cells,
                                latents=latents.reshape(-1),
                            )
                        )
        return steps

    def _add_first(self, steps: list[Step], plane: int) -> None:
        first = self.params.first
        ours = (self.classes[:first] == plane % CLASSES) & (self.starts[:first] <= plane)
        latents, none = np.flatnonzero(ours), np.empty(0, np.intp)
        if len(latents):
            steps.append(Step(len(steps), plane, 0, 0, none, none, latents))


def last_plane(plane: int | Integers, classes: Integers) -> Integers:
    """Return the last plane of each class up to ``plane``; negative if there is none."""
    last: Integers = plane - (plane - classes) % CLASSES
    return last


def coarser(q: Integers, planes: int | Integers) -> Integers:
    """Return the states ``planes`` refinements before ``q``."""
    states: Integers = np.sign(q) * (np.abs(q) >> planes)
    return states


def refine(q: Integers, digits: Integers) -> Integers:
    """Return the states after the symbols ``digits``: -1, 0, 1 if ``q`` is 0, else 0 or 1."""
    return np.where(q == 0, digits, 2 * q + np.sign(q) * digits)


def digits_between(before: Integers, after: Integers) -> Integers:
    """Return the symbols that `refine` needs to make ``after`` of ``before``."""
    digits: Integers = np.where(before == 0, after, np.abs(after) - 2 * np.abs(before))
    return digits


def in_steps(q: Integers, age: int | Integers) -> Integers:
    """Return values of states in eighths of a plane's step, as the contexts read them.

    ``age``: the plane minus the latent's level, at most 4; may be negative.
    """
    age = np.asarray(age)
    factor = np.array(STEP_RATIOS, np.int64)[age % CLASSES]
    magnitude = ((16 * np.abs(q) + 7) * factor) >> (7 - age // CLASSES)
    x: Integers = (np.sign(q) * magnitude).astype(np.int32)
    return x


def magnitudes(x: Integers) -> Integers:
    """Return logarithms of the magnitudes of `in_steps`: 0 to 15, 0 below a quarter step."""
    found: Integers = MAGNITUDES[np.minimum(np.abs(x), len(MAGNITUDES) - 1)]
    return found


def _magnitudes() -> Integers:
    y = np.arange(8, 128)
    n = np.floor(np.log2(y)).astype(np.int64)
    return (4 * (n - 3) + ((y >> (n - 2)) & 3)).astype(np.int32)


MAGNITUDES = _magnitudes()
"""Logarithms of the magnitudes 0 to 119; larger ones have the last."""
