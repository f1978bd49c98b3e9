"""The mean colour of a picture from the first few bytes of its stream, without the networks.

The strongest channels travel first and say how light each cell is and of what colour. Their digits
can be read exactly with a small part of the tables, because whatever else the context model looks
at is still 0 then. The colour that they stand for is a linear map, fitted to streams that are drawn
at random from the model itself: it needs no pictures, and it is an estimate.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.artifact import Artifact
from thumbstream.codec.codes import Grid
from thumbstream.codec.embedded_context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.layouts import EmbeddedLayout
from thumbstream.codec.nested import Latents, Nesting, Step
from thumbstream.codec.networks import Float, Network
from thumbstream_models.embedded.client_synthesis import ON, Drawing, Layer

COLOURS = 3
"""A lead ends with the first step behind which so many channels are known."""
_SAMPLES, _GRID, _SEED = 1500, Grid(4, 4), 1511
_DRAWN_PLANES = 3
"""How far random streams are taken: finer digits hardly change the mean."""
_MOST, _SMALLEST_SCALE = 127, 2.0**-14


def steps_of(layout: EmbeddedLayout) -> tuple[Step, ...]:
    """All steps of a stream."""
    return Nesting(layout).steps


def lead_of(layout: EmbeddedLayout) -> tuple[Step, ...]:
    """The first steps of a stream: as many as it takes to know a colour."""
    steps = steps_of(layout)
    for count in range(1, len(steps)):
        if len(_channels(layout, steps[:count])) >= COLOURS:
            return steps[:count]
    return steps


def part_of(
    layout: EmbeddedLayout, tables: dict[str, NDArray[np.generic]], lead: tuple[Step, ...]
) -> tuple[EmbeddedLayout, dict[str, NDArray[np.generic]]]:
    """Layout and tables of a model that has no other channels than those of ``lead``.

    In these steps its chances are those of the whole model: all that is left out is multiplied with
    0 there.
    """
    channels = _channels(layout, lead)
    group_of = np.repeat(np.arange(len(layout.groups)), layout.groups)[channels]
    groups, sizes = np.unique(group_of, return_counts=True)
    part = dataclasses.replace(
        layout,
        channels=len(channels),
        groups=tuple(sizes.tolist()),
        starts=tuple(layout.starts[c] for c in channels),
    )
    kept = dict(tables)
    for name, used in _used(channels, group_of, lead).items():
        by_channel = tables[name].reshape(layout.channels, -1, tables[name].shape[1])[channels]
        seen = (by_channel * used[:, None, None]).astype(np.int8)
        kept[name] = seen.reshape(-1, tables[name].shape[1])
    kept["predictor"] = kept["predictor"][:, channels]
    kept |= {"b1": tables["b1"][:, groups], "bm": tables["bm"][groups]}
    kept |= {name: tables[name][..., channels] for name in ("b2", "gain")}
    kept |= {name: tables[name][:, channels] for name in ("w2", "w3", "own")}
    return part, kept


def fitted(artifact: Artifact, lead: tuple[Step, ...]) -> Drawing:
    """The linear map from the values of the lead's channels to a colour, all in [-1, 1]."""
    layout = EmbeddedLayout.of(artifact)
    channels = _channels(layout, lead)
    known, colours = _drawn(artifact, layout, lead[-1])
    inputs = np.concatenate([known[:, channels], np.ones((len(known), 1))], 1)
    solved, *_ = np.linalg.lstsq(inputs, colours, rcond=None)
    slopes, bias = solved[:-1].T, solved[-1]
    scale = (np.abs(slopes).max(1) / _MOST).clip(_SMALLEST_SCALE).astype(np.float16)
    weight = np.rint(slopes / scale[:, None]).clip(-_MOST, _MOST).astype(np.int8)
    layer = Layer(ON, weight[..., None], scale, bias.astype(np.float16))
    return Drawing(detail=1, layers=(layer,))


def _channels(layout: EmbeddedLayout, lead: tuple[Step, ...]) -> list[int]:
    """Those that have digits, in their order."""
    every = np.arange(layout.channels)
    return sorted({c for step in lead for c in every[step.channels].tolist()})


def _used(
    channels: list[int], group_of: NDArray[np.intp], lead: tuple[Step, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Whether a channel's rows of these tables ever meet a state that is not 0."""
    used = {name: np.zeros(len(channels), np.bool_) for name in ("a", "b", "predictor")}
    refined = np.zeros(len(channels), np.bool_)
    for step in lead:
        earlier = group_of < step.group
        used["b"] |= refined & earlier
        used["a"] |= refined & ~earlier
        used["predictor"] |= refined
        refined |= group_of == step.group
    return used


def _drawn(artifact: Artifact, layout: EmbeddedLayout, last: Step) -> tuple[Float, Float]:
    """Random streams: mean values behind ``last`` ``(N, channels)`` and mean colours ``(N, 3)``."""
    nesting, rng = Nesting(layout), np.random.default_rng(_SEED)
    model = EmbeddedContextModel(artifact.arrays("entropy.npz"), nesting)
    synthesis = Network(artifact.file("synthesis.onnx"), "cpu")
    context = EmbeddedContext(model, _SAMPLES, _GRID)
    latents = Latents(nesting, (_SAMPLES, _GRID.rows, _GRID.columns))
    known = latents.drawn()[0]
    for step in nesting.steps:
        if step.plane >= max(_DRAWN_PLANES, last.plane + 1):
            break
        nonzero, positive = context.chances(step)
        signs = np.where(rng.integers(0, 1 << 16, positive.shape) < positive, 1, -1)
        digits = np.where(rng.integers(0, 1 << 16, nonzero.shape) < nonzero, signs, 0)
        shape = _SAMPLES, step.width, _GRID.cells
        latents.refine(step, digits.astype(np.float32).reshape(shape))
        context.learn(step, latents.states)
        if step.index == last.index:
            known = latents.drawn()[0]
    values, levels = latents.drawn()
    (x_hat,) = synthesis.run({"values": values, "levels": levels})
    return known.mean((2, 3)), x_hat.mean((2, 3))
