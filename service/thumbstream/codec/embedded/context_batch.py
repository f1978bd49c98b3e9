"""Computes the probabilities of many steps at once, for an encoder that knows all states.

A decoder alternates between `EmbeddedContext.probabilities` and `update`. An encoder can compute
many steps together, with a tenth of the NumPy calls. The results are the same: the same integers
are added in another order, and float32 represents all sums exactly (see `context`).

Once the sums over neighbouring cells are computed, no layer, level or cell depends on another.
Layers, levels and cells are therefore the columns of every matrix.
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
from thumbstream.codec.matmul import matmul_single_threaded
from thumbstream.codec.tensors import Float, Grid

BATCH_CELLS = 128
"""Limit of layers x planes x cells computed together (but at least one plane): enough for fast
matrix products, and it limits the memory."""


def batch_probabilities(
    model: EmbeddedContextModel, by_level: States, grid: Grid
) -> Iterator[tuple[Step, Probabilities, Probabilities]]:
    """Yield every step, in stream order, with the two arrays of `EmbeddedContext.probabilities`.

    ``by_level`` ``(planes + 1, layers, channels, cells)``: the states at every level.
    """
    planes, layers = len(by_level) - 1, by_level.shape[1]
    batch = max(1, BATCH_CELLS // (layers * grid.cells))
    for first in range(0, planes, batch):
        last = min(first + batch, planes)
        probabilities = _plane_probabilities(model, by_level[first : last + 1], first, grid)
        for step in model.quantizer.steps:
            if first <= step.plane < last:
                plane = probabilities[:, :, :, step.plane - first]
                symbols = plane[:, step.channels].swapaxes(1, 2)
                nonzero, positive = symbols.reshape(DECISIONS, layers, -1)
                yield step, nonzero, positive


def _plane_probabilities(
    model: EmbeddedContextModel, by_level: States, first: int, grid: Grid
) -> Probabilities:
    """Compute the probabilities of consecutive planes: ``(2, channels, layers, planes, cells)``.

    ``first``: index of the first of these planes. ``by_level``: the states at its start and after
    each of the planes.
    """
    levels, layers, channels, cells = by_level.shape
    planes = slice(first, first + levels - 1)
    states = np.ascontiguousarray(by_level.transpose(2, 1, 0, 3), np.float32)
    states = states.reshape(channels, layers, levels, grid.rows, grid.columns)
    features = _features(states).reshape(channels, OWN_FEATURES, layers, levels, cells)
    units = _hidden_units(model, features, planes)
    logits = np.empty((DECISIONS, channels, units.shape[-1]), np.float32)
    for group, (channels_of_group, heads) in enumerate(
        zip(model.group_channels, model.heads, strict=True)
    ):
        logits[:, channels_of_group] = matmul_single_threaded(heads, units[group]).reshape(
            DECISIONS, -1, units.shape[-1]
        )
    shape = DECISIONS, channels, layers, levels - 1, cells
    before = features[..., :-1, :].reshape(channels, OWN_FEATURES, -1)
    logits += (model.own @ before).swapaxes(0, 1)
    by_plane = logits.reshape(shape)
    by_plane += _broadcast_planes(model.b2[planes])
    residual = _prediction_residual(model, states, planes).reshape(shape[1:])
    gain = _broadcast_planes(model.gain[planes])
    by_plane[1] += residual * gain[1]
    by_plane[0] += np.abs(residual, out=residual) * gain[0]
    # astype rounds towards zero; negative entries are clipped.
    return model.probability.take(by_plane.astype(np.intp), mode="clip")


def _broadcast_planes(table: Float) -> Float:
    """Transpose ``(planes, ..., 1)`` to ``(..., 1, planes, 1)``."""
    return np.moveaxis(table[..., 0], 0, -1)[..., None, :, None]


def _hidden_units(model: EmbeddedContextModel, features: Float, planes: slice) -> Float:
    """Compute the hidden units for each group: ``(groups, hidden + second, columns)``.

    The columns are all layers, ``planes`` and cells. The units of a group use the states before
    that group is refined.
    """
    _, _, layers, levels, cells = features.shape
    groups, hidden = len(model.group_channels), model.hidden
    partial = np.empty((groups, 2, hidden, layers, levels, cells), np.float32)
    flat = features.reshape(-1, layers * levels * cells)
    for sums, inputs in zip(partial, model.inputs, strict=True):
        matmul_single_threaded(model.a[:, inputs], flat[inputs], sums[0].reshape(hidden, -1))
        matmul_single_threaded(model.b[:, inputs], flat[inputs], sums[1].reshape(hidden, -1))
    # Groups that the plane has already refined contribute the states after the plane, all other
    # groups the states before it. Every partial sum stays within the checked range.
    new, old = partial[:, 1, :, :, 1:], partial[:, 0, :, :, :-1]
    first = np.empty((groups, hidden, layers, levels - 1, cells), np.float32)
    first[-1] = old[-1]
    for group in range(groups - 2, -1, -1):
        np.add(first[group + 1], old[group], out=first[group])
    refined = np.zeros(first.shape[1:], np.float32)
    for group in range(1, groups):
        refined += new[group - 1]
        first[group] += refined
    first += _broadcast_planes(model.b1[planes])
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
    """Compute the features ``(channels, 5, layers, levels, rows, columns)`` of all states.

    ``states``: ``(channels, layers, levels, rows, columns)``.
    """
    channels, *shape = states.shape
    signed = np.minimum(np.maximum(states, -CLIP), CLIP)
    features = np.empty((channels, OWN_FEATURES, *shape), np.float32)
    np.abs(signed, out=features[:, 0])
    features[:, 1] = signed
    _sum_neighbours(features[:, :2], features[:, 2:FEATURES])
    np.minimum(features[:, 0], 1, out=features[:, FEATURES])
    return features


def _prediction_residual(model: EmbeddedContextModel, states: Float, planes: slice) -> Float:
    """Return the prediction residuals of all states, ``(channels, n)``.

    There is one column for each combination of layer, plane in ``planes`` and cell; cells vary
    fastest. Residuals are rounded down to integers and clipped to `MAX_RESIDUAL`.
    """
    channels, layers, levels, rows, columns = states.shape
    finest = 3.0 ** (model.quantizer.params.planes - np.arange(planes.start, planes.stop + 1))
    values = np.empty((channels, VALUES, *states.shape[1:]), np.float32)
    np.multiply(states, finest.astype(np.float32)[:, None, None], out=values[:, 0])
    _sum_neighbours(values[:, 0], values[:, 1])
    values = values.reshape(channels * VALUES, layers, levels, rows * columns)
    old, new = values[:, :, :-1], values[:, :, 1:]
    residual: Float = matmul_single_threaded(model.predictor, old.reshape(len(values), -1))
    residual += matmul_single_threaded(
        model.earlier_predictor, (new - old).reshape(len(values), -1)
    )
    by_plane = residual.reshape(channels, layers, levels - 1, -1)
    by_plane *= model.prediction_scales[planes, None]
    np.floor(residual, out=residual)
    np.maximum(residual, -MAX_RESIDUAL, out=residual)
    return np.minimum(residual, MAX_RESIDUAL, out=residual)


def _sum_neighbours(table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the sum of each cell's four neighbours in ``(..., rows, columns)`` to ``out``.

    Neighbours outside the grid count as 0.
    """
    out[:] = 0
    out[..., 1:, :] += table[..., :-1, :]
    out[..., :-1, :] += table[..., 1:, :]
    out[..., 1:] += table[..., :-1]
    out[..., :-1] += table[..., 1:]
