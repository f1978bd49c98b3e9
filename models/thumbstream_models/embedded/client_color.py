"""The mean color of a picture from the first bytes of its stream, without the networks.

The strongest channels are coded first; they contain luminance and color of each cell. A small part
of the tables decodes their digits exactly, because all other inputs of the context model are still
0. The part is a corner of every table, which ``client.bin`` omits. A linear map, fitted to random
streams of the model, estimates the color from the digits; it needs no pictures.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer, Step
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream.codec.tensors import Float, Grid
from thumbstream_models.embedded.client_synthesis import ON, ClientSynthesis, Layer

CHANNELS, DIGITS = 6, 2
"""The leading steps end when this many channels have this many digits."""
SHIFTS = {"shifts", "prediction_shifts"}
"""Small tables that every part has."""
_SAMPLES, _GRID, _SEED = 1500, Grid(4, 4), 1511
_SAMPLED_PLANES = 3
"""Planes of the random streams: finer digits hardly change the mean."""
_MOST, _SMALLEST_SCALE = 127, 2.0**-14


def steps_of(layout: EmbeddedParams) -> tuple[Step, ...]:
    """All steps of a stream."""
    return EmbeddedQuantizer(layout).steps


def lead_of(layout: EmbeddedParams) -> tuple[Step, ...]:
    """The first steps of a stream, from which the mean color can be estimated."""
    steps = steps_of(layout)
    digits = np.zeros(layout.channels, np.int64)
    for count, step in enumerate(steps, 1):
        digits[step.channels] += 1
        if (digits >= DIGITS).sum() >= CHANNELS:
            return steps[:count]
    return steps


def part_of(
    layout: EmbeddedParams, tables: dict[str, NDArray[np.generic]], lead: tuple[Step, ...]
) -> tuple[EmbeddedParams, dict[str, NDArray[np.generic]]]:
    """Layout and tables of a model with the channels of ``lead`` only.

    In these steps its probabilities are those of the full model: everything omitted is multiplied
    by 0. Every table is a corner of the full one, and 0 where it is not used.
    """
    channels = channels_of(layout, lead)
    planes = lead[-1].plane + 1
    group_of = np.repeat(np.arange(len(layout.groups)), layout.groups)[:channels]
    _, sizes = np.unique(group_of, return_counts=True)
    part = dataclasses.replace(
        layout,
        channels=channels,
        groups=tuple(sizes.tolist()),
        starts=layout.starts[:channels],
    )
    coded = np.zeros((planes, channels), np.bool_)
    entered = np.zeros((planes, len(sizes)), np.bool_)
    for step in lead:
        coded[step.plane, step.channels] = entered[step.plane, step.group] = True
    channel_used, group_used = np.logical_or.reduce(coded), np.logical_or.reduce(entered)
    reduced = dict(tables)
    for name, used in _used(group_of, lead).items():
        by_channel = tables[name].reshape(layout.channels, -1, tables[name].shape[1])[:channels]
        reduced[name] = _masked(by_channel, used[:, None, None]).reshape(-1, tables[name].shape[1])
    reduced["predictor"] = _masked(reduced["predictor"][:, :channels], channel_used)
    reduced["b1"] = _masked(tables["b1"][:planes, : len(sizes)], entered[..., None])
    reduced["bm"] = _masked(tables["bm"][: len(sizes)], group_used[:, None])
    for name in ("b2", "gain"):
        reduced[name] = _masked(tables[name][:planes, :, :channels], coded[:, None])
    reduced |= {
        name: _masked(tables[name][:, :channels], channel_used[:, None]) for name in ("w2", "w3")
    }
    reduced["own"] = _masked(tables["own"][:, :channels], channel_used)
    return part, reduced


def without(
    tables: dict[str, NDArray[np.generic]], part: dict[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """``tables`` with 0 wherever ``part``, the tables of leading steps, has the same number."""
    rest = {name: table.copy() for name, table in tables.items()}
    for name in tables.keys() - SHIFTS:
        corner = rest[name][tuple(slice(size) for size in part[name].shape)]
        corner[part[name] != 0] = 0
    return rest


def fitted(artifact: Artifact, lead: tuple[Step, ...]) -> ClientSynthesis:
    """The linear map from the values of the leading channels to a color, all in [-1, 1]."""
    layout = EmbeddedParams.from_artifact(artifact)
    known, colors = _sampled(artifact, layout, lead[-1])
    known = known[:, : channels_of(layout, lead)]
    inputs = np.concatenate([known, np.ones((len(known), 1))], 1)
    solved, *_ = np.linalg.lstsq(inputs, colors, rcond=None)
    slopes, bias = solved[:-1].T, solved[-1]
    scale = (np.abs(slopes).max(1) / _MOST).clip(_SMALLEST_SCALE).astype(np.float16)
    weight = np.rint(slopes / scale[:, None]).clip(-_MOST, _MOST).astype(np.int8)
    layer = Layer(ON, weight[..., None], scale, bias.astype(np.float16))
    return ClientSynthesis(detail=1, layers=(layer,))


def channels_of(layout: EmbeddedParams, lead: tuple[Step, ...]) -> int:
    """Number of channels up to the last one with digits in ``lead``."""
    every = np.arange(layout.channels)
    return int(max(every[step.channels].max() for step in lead)) + 1


def _masked(table: NDArray[np.generic], used: NDArray[np.bool_]) -> NDArray[np.generic]:
    return np.where(used, table, np.zeros_like(table))


def _used(group_of: NDArray[np.intp], lead: tuple[Step, ...]) -> dict[str, NDArray[np.bool_]]:
    """Whether a channel's rows of these tables are ever multiplied by a state that is not 0."""
    used = {name: np.zeros(len(group_of), np.bool_) for name in ("a", "b", "predictor")}
    refined = np.zeros(len(group_of), np.bool_)
    for step in lead:
        earlier = group_of < step.group
        used["b"] |= refined & earlier
        used["a"] |= refined & ~earlier
        used["predictor"] |= refined
        refined[step.channels] = True
    return used


def _sampled(artifact: Artifact, layout: EmbeddedParams, last: Step) -> tuple[Float, Float]:
    """Random streams: mean values after step ``last`` ``(N, channels)``, mean colors ``(N, 3)``."""
    quantizer, rng = EmbeddedQuantizer(layout), np.random.default_rng(_SEED)
    model = EmbeddedContextModel(artifact.arrays("entropy.npz"), quantizer)
    synthesis = OnnxNetwork(artifact.file("synthesis.onnx"), "cpu")
    context = EmbeddedContext(model, _SAMPLES, _GRID)
    latents = DecodedLatents(quantizer, (_SAMPLES, _GRID.rows, _GRID.columns))
    known = latents.reconstruct()[0]
    for step in quantizer.steps:
        if step.plane >= max(_SAMPLED_PLANES, last.plane + 1):
            break
        nonzero, positive = context.probabilities(step)
        signs = np.where(rng.integers(0, 1 << 16, positive.shape) < positive, 1, -1)
        digits = np.where(rng.integers(0, 1 << 16, nonzero.shape) < nonzero, signs, 0)
        shape = _SAMPLES, step.width, _GRID.cells
        latents.refine(step, digits.astype(np.float32).reshape(shape))
        context.update(step, latents.states)
        if step.index == last.index:
            known = latents.reconstruct()[0]
    values, levels = latents.reconstruct()
    (x_hat,) = synthesis.run({"values": values, "levels": levels})
    return known.mean((2, 3)), x_hat.mean((2, 3))
