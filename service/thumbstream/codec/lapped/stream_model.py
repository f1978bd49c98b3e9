"""Everything that determines symbols and their probabilities: layouts and contexts of a model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.compiled import CompiledModel
from thumbstream.codec.lapped.context import ContextModel, cell_values, features
from thumbstream.codec.lapped.look import LookContext
from thumbstream.codec.lapped.params import CLASSES, ContextTables, LappedParams, LookTables
from thumbstream.codec.lapped.planes import (
    Layout,
    Step,
    StepSymbols,
    coarser,
    digits_between,
    in_steps,
    last_plane,
)
from thumbstream.codec.lapped.probabilities import Integers, symbol_logits
from thumbstream.codec.tensors import Grid

BATCH_CELLS = 512
"""Limit of layers x planes x cells that an encoder computes together (but at least one plane)."""
_OVERHEAD_CELLS = 16
"""Cells that a grid counts in addition to its own, for tables of the same size on every grid."""
_CACHED_CELLS = 2 * (32 * 32 + _OVERHEAD_CELLS)
"""Limit of the cells of all kept grids: two of the largest, 30 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class GridModel:
    """Layout and contexts for pictures of one grid."""

    layout: Layout
    look: LookContext
    compiled: CompiledModel


class StreamModel:
    """Layouts and context models of one published model. Thread-safe."""

    def __init__(self, params: LappedParams, look: LookTables, contexts: ContextTables) -> None:
        self.params = params
        self.context = ContextModel(params, contexts)
        self._look, self._contexts = look, contexts
        self._grids: OrderedDict[Grid, GridModel] = OrderedDict()  # the most recent last
        self._lock = threading.Lock()

    def on_grid(self, grid: Grid) -> GridModel:
        """Return layout and contexts of ``grid``; those of recent grids are kept."""
        with self._lock:
            if grid in self._grids:
                self._grids.move_to_end(grid)
                return self._grids[grid]
        context = LookContext(self.params, self._look, grid)
        layout = Layout(self.params, grid, context.starts, self._contexts.starts)
        made = GridModel(layout, context, CompiledModel.of(self._contexts, layout, context))
        with self._lock:
            self._grids[grid] = made
            while sum(g.cells + _OVERHEAD_CELLS for g in self._grids) > _CACHED_CELLS:
                self._grids.popitem(last=False)
        return made


class DecoderContext:
    """State of the contexts while symbols are decoded, step by step."""

    def __init__(self, model: StreamModel, layers: int, grid: Grid) -> None:
        self._model, self._grid = model, model.on_grid(grid)
        self.layout = self._grid.layout
        self.q: Integers = np.zeros((layers, model.params.channels, grid.cells), np.int32)
        """States of the latents; the decoder refines them in place."""
        self._plane = -1
        self._x = np.zeros((layers, model.params.channels, grid.rows, grid.columns), np.int32)
        self._seen, self._values = features(self._x)

    def symbols(self, step: Step) -> StepSymbols:
        """Return the contexts of the symbols of ``step``, without digits."""
        layers = len(self.q)
        if step.group == 0:
            q = self.q[:, : self._model.params.first].reshape(layers, -1)
            scale, mean = self._grid.look.predict(q, step.plane, step.latents)
        else:
            if step.plane != self._plane:
                self._start(step.plane)
            scale, mean = self._model.context.predict(
                self._seen[..., step.cells],
                self._values[..., step.cells],
                *([step.plane], step.group, step.parity, step.channels),
            )
        before = self.q.reshape(layers, -1)[:, step.latents]
        shape = before.shape
        logits = symbol_logits(before, scale.reshape(shape), mean.reshape(shape))
        return StepSymbols(step, before != 0, *logits)

    def update(self, step: Step) -> None:
        """Read the states after ``step`` from `q`."""
        if step.group == 0:
            return
        layout, channels = self.layout, step.channels
        age = np.zeros(layout.grid.cells, np.int32)
        if step.parity == 0:
            age[layout.halves[1]] = CLASSES
        x = in_steps(self.q[:, channels], age).reshape(self._x[:, channels].shape)
        self._seen[:, channels], self._values[:, channels] = features(x)

    def _start(self, plane: int) -> None:
        """Compute all features for the first step of ``plane`` after that of group 0."""
        self._plane = plane
        first, classes = self._model.params.first, self.layout.classes
        look = self._model.params.look
        levels = last_plane(plane - 1, classes)
        levels[:first] = last_plane(max(plane, look - 1), classes[:first])
        x = in_steps(self.q, plane - levels).reshape(self._x.shape)
        x[:, :first] = cell_values(x[:, :first])
        self._seen, self._values = features(x)


def encoder_symbols(model: StreamModel, q: Integers, grid: Grid) -> Iterator[StepSymbols]:
    """Yield the symbols of all steps in stream order, given the last states.

    ``q``: ``(layers, channels, cells)``. A decoder computes step after step; here all planes of a
    class are computed together, with the same results.
    """
    on_grid = model.on_grid(grid)
    layout, params = on_grid.layout, model.params
    batch = max(1, BATCH_CELLS // (len(q) * grid.cells)) * CLASSES
    steps = iter(layout.steps)
    block: dict[tuple[int, int, int], StepSymbols] = {}
    end = 0
    for step in steps:
        if step.group == 0:
            yield _look_symbols(on_grid, q[:, : params.first].reshape(len(q), -1), step)
            continue
        if step.plane >= end:
            planes = range(step.plane, min(step.plane + batch, params.planes))
            end = planes.stop
            block = {}
            for k in range(CLASSES):
                of_class = [plane for plane in planes if plane % CLASSES == k]
                for symbols in _class_symbols(model, layout, q, of_class):
                    one = symbols.step
                    block[one.plane, one.group, one.parity] = symbols
        yield block.pop((step.plane, step.group, step.parity))


def _look_symbols(on_grid: GridModel, q: Integers, step: Step) -> StepSymbols:
    layout, k = on_grid.layout, len(q[0])
    classes, last = layout.classes.reshape(-1)[:k], layout.last.reshape(-1)[:k]
    levels = last_plane(step.plane - 1, classes)
    before = coarser(q, (last - levels) // CLASSES)
    ours = step.latents
    after = coarser(q[:, ours], (last[ours] - step.plane) // CLASSES)
    scale, mean = on_grid.look.predict(before, step.plane, ours)
    before = before[:, ours]
    logits = symbol_logits(before, scale, mean)
    return StepSymbols(step, before != 0, *logits, digits_between(before, after))


def _class_symbols(
    model: StreamModel, layout: Layout, q: Integers, planes: Sequence[int]
) -> Iterator[StepSymbols]:
    """Yield the symbols of all groups but 0 in ``planes``, which are of one class."""
    steps: dict[tuple[int, int], list[Step]] = {}
    for step in layout.steps:
        if step.group and step.plane in planes:
            steps.setdefault((step.group, step.parity), []).append(step)
    if not steps:
        return
    old, new = _class_states(model, layout, q, planes)
    seen, values = features(old[1])
    for (group, parity), of_planes in sorted(steps.items(), key=lambda item: item[0]):
        channels = of_planes[-1].channels  # the last plane has all that any has
        cells = of_planes[-1].cells
        fresh_seen, fresh_values = features(new[1][:, channels])
        if parity == 1:  # neighbours of odd cells are even
            seen[:, channels, 2:], values[:, channels, 1] = (
                fresh_seen[:, :, 2:],
                fresh_values[:, :, 1],
            )
        items = [plane for plane in planes for _ in range(len(q))]
        scale, mean = model.context.predict(
            seen[..., cells], values[..., cells], items, group, parity, channels
        )
        before, after = (z[0][:, channels][..., cells] for z in (old, new))
        all_digits = digits_between(before, after)
        logits = symbol_logits(before, scale, mean)
        if parity == 1 or not len(layout.halves[1]):
            seen[:, channels], values[:, channels] = fresh_seen, fresh_values
        for step in of_planes:
            at = planes.index(step.plane) * len(q)
            rows = np.searchsorted(channels, step.channels)
            picked = slice(at, at + len(q)), rows
            halving = before[picked].reshape(len(q), -1) != 0
            first, second, digits = (z[picked].reshape(len(q), -1) for z in (*logits, all_digits))
            yield StepSymbols(step, halving, first, second, digits)


def _class_states(
    model: StreamModel, layout: Layout, q: Integers, planes: Sequence[int]
) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
    """Return states and values in steps before and after ``planes``, plane by plane.

    The states are ``(planes * layers, channels, cells)``, the values have rows and columns.
    """
    first, classes, grid = model.params.first, layout.classes, layout.grid
    plane: NDArray[np.int32] = np.asarray(planes, np.int32)[:, None, None]
    shape = len(planes) * len(q), len(classes), grid.rows, grid.columns

    def states(levels: Integers) -> tuple[Integers, Integers]:
        known = coarser(q, ((layout.last - levels) // CLASSES)[:, None])
        x = in_steps(known, (plane - levels)[:, None]).reshape(shape)
        x[:, :first] = cell_values(x[:, :first])
        return known.reshape(*shape[:2], grid.cells), x

    before = last_plane(plane - 1, classes)
    after = last_plane(plane, classes)
    look = last_plane(np.maximum(plane, model.params.look - 1), classes[:first])
    before[:, :first] = after[:, :first] = look
    return states(before), states(after)
