"""Probabilities of the symbols of states that are known beforehand: the encoder's way.

A decoder learns the states of a picture step by step, and `EmbeddedContext` asks and is told so. An
encoder knows them all, and works out many steps at once: the same sums of the same whole numbers in
another order, which float32 holds exactly (`embedded_context`), in a tenth of the calls.

Nothing that is computed of one cell of one layer at one level meets another's but for the four
neighbours: layers, levels and cells lie side by side as the columns of every table.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import (
    CLIP,
    DECISIONS,
    FEATURES,
    MAX_RESIDUAL,
    OWN_FEATURES,
    VALUES,
    EmbeddedContextModel,
    Probabilities,
    clip_units,
)
from thumbstream.codec.embedded.quantizer import States, Step
from thumbstream.codec.runtime import matmul_single_threaded
from thumbstream.codec.tensors import Float, Grid

BATCH_CELLS = 128
"""Cells of all layers and planes that are worked on together, where a plane has no more: enough for
a matmul_single_threaded of matrices to be fast, and a bound on memory."""


def batch_probabilities(
    model: EmbeddedContextModel, behind: States, grid: Grid
) -> Iterator[tuple[Step, Probabilities, Probabilities]]:
    """Every step, with what `EmbeddedContext.chances` gives of it.

    ``behind`` ``(planes + 1, layers, channels, cells)`` are the states behind no plane, the first,
    ..., the last.
    """
    planes, layers = len(behind) - 1, behind.shape[1]
    together = max(1, BATCH_CELLS // (layers * grid.cells))
    for first in range(0, planes, together):
        last = min(first + together, planes)
        chances = _chances(model, behind[first : last + 1], first, grid)
        for step in model.quantizer.steps:
            if first <= step.plane < last:
                of_plane = chances[:, :, :, step.plane - first]
                of_step = of_plane[:, step.channels].swapaxes(1, 2)
                nonzero, positive = of_step.reshape(DECISIONS, layers, -1)
                yield step, nonzero, positive


def _chances(model: EmbeddedContextModel, behind: States, first: int, grid: Grid) -> Probabilities:
    """``(2, channels, layers, planes, cells)`` of the planes from ``first`` to the last state."""
    levels, layers, channels, cells = behind.shape
    planes = slice(first, first + levels - 1)
    states = np.ascontiguousarray(behind.transpose(2, 1, 0, 3), np.float32)
    states = states.reshape(channels, layers, levels, grid.rows, grid.columns)
    features = _features(states).reshape(channels, OWN_FEATURES, layers, levels, cells)
    units = _units(model, features, planes)
    logits = np.empty((DECISIONS, channels, units.shape[-1]), np.float32)
    for group, (block, heads) in enumerate(zip(model.blocks, model.heads, strict=True)):
        logits[:, block] = matmul_single_threaded(heads, units[group]).reshape(
            DECISIONS, -1, units.shape[-1]
        )
    shape = DECISIONS, channels, layers, levels - 1, cells
    before = features[..., :-1, :].reshape(channels, OWN_FEATURES, -1)
    logits += (model.own @ before).swapaxes(0, 1)
    by_plane = logits.reshape(shape)
    by_plane += _of_planes(model.b2[planes])
    off = _off(model, states, planes).reshape(shape[1:])
    gain = _of_planes(model.gain[planes])
    by_plane[1] += off * gain[1]
    by_plane[0] += np.abs(off, out=off) * gain[0]
    # Cuts towards zero: what is negative is clipped anyway.
    return model.probability.take(by_plane.astype(np.intp), mode="clip")


def _of_planes(table: Float) -> Float:
    """``(planes, ..., 1)`` to ``(..., 1, planes, 1)``."""
    return np.moveaxis(table[..., 0], 0, -1)[..., None, :, None]


def _units(model: EmbeddedContextModel, features: Float, planes: slice) -> Float:
    """Hidden units in front of every group of each plane: ``(groups, units, columns)``."""
    _, _, layers, levels, cells = features.shape
    groups, hidden = len(model.blocks), model.hidden
    told = np.empty((groups, 2, hidden, layers, levels, cells), np.float32)
    flat = features.reshape(-1, layers * levels * cells)
    for of_group, inputs in zip(told, model.inputs, strict=True):
        matmul_single_threaded(model.a[:, inputs], flat[inputs], of_group[0].reshape(hidden, -1))
        matmul_single_threaded(model.b[:, inputs], flat[inputs], of_group[1].reshape(hidden, -1))
    # Groups that a plane has refined already tell what they are now, the others what they were.
    # Each sum by itself stays within the bound that was checked.
    now, were = told[:, 1, :, :, 1:], told[:, 0, :, :, :-1]
    first = np.empty((groups, hidden, layers, levels - 1, cells), np.float32)
    first[-1] = were[-1]
    for group in range(groups - 2, -1, -1):
        np.add(first[group + 1], were[group], out=first[group])
    refined = np.zeros(first.shape[1:], np.float32)
    for group in range(1, groups):
        refined += now[group - 1]
        first[group] += refined
    first += _of_planes(model.b1[planes])
    clip_units(first)
    columns = layers * (levels - 1) * cells
    units = np.empty((groups, hidden + model.second, columns), np.float32)
    units[:, :hidden] = first.reshape(groups, hidden, columns)
    second = units[:, hidden:]
    matmul_single_threaded(model.m, units[:, :hidden], second)
    second += model.bm
    clip_units(second)
    return units


def _features(states: Float) -> Float:
    """Of states ``(channels, layers, levels, rows, columns)``: ``(channels, 5, ...)``."""
    channels, *beside = states.shape
    signed = np.minimum(np.maximum(states, -CLIP), CLIP)
    features = np.empty((channels, OWN_FEATURES, *beside), np.float32)
    np.abs(signed, out=features[:, 0])
    features[:, 1] = signed
    _sum_around(features[:, :2], features[:, 2:FEATURES])
    np.minimum(features[:, 0], 1, out=features[:, FEATURES])
    return features


def _off(model: EmbeddedContextModel, states: Float, planes: slice) -> Float:
    """How far off its prediction each state is, ``(channels, columns)``, whole and clipped."""
    channels, layers, levels, rows, columns = states.shape
    finest = 3.0 ** (model.quantizer.params.planes - np.arange(planes.start, planes.stop + 1))
    values = np.empty((channels, VALUES, *states.shape[1:]), np.float32)
    np.multiply(states, finest.astype(np.float32)[:, None, None], out=values[:, 0])
    _sum_around(values[:, 0], values[:, 1])
    values = values.reshape(channels * VALUES, layers, levels, rows * columns)
    were, now = values[:, :, :-1], values[:, :, 1:]
    off = matmul_single_threaded(model.predictor, were.reshape(len(values), -1))
    off += matmul_single_threaded(model.coarser_predictor, (now - were).reshape(len(values), -1))
    by_plane = off.reshape(channels, layers, levels - 1, -1)
    by_plane *= model.off_scales[planes, None]
    np.floor(off, out=off)
    np.maximum(off, -MAX_RESIDUAL, out=off)
    return np.minimum(off, MAX_RESIDUAL, out=off)


def _sum_around(table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Sum of the four neighbours ``(..., rows, columns)``; outside the grid is nothing."""
    out[:] = 0
    out[..., 1:, :] += table[..., :-1, :]
    out[..., :-1, :] += table[..., 1:, :]
    out[..., 1:] += table[..., :-1]
    out[..., :-1] += table[..., 1:]
