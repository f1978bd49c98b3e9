"""The synthesis network as a client gets it: read back from the graph that is published.

The graph is the truth, so nothing here knows how the network was trained or configured: stages and
blocks follow from the names of its weights, and the constants from its first nodes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

ON, UP, APART, ADD = range(4)
"""What a convolution does: go on with what it gives; that, and from four planes make one of twice
the side; each plane apart; be added to what was there before the one before it."""
_WEIGHT = re.compile(r"synthesis\.(?P<name>(?:net\.(?P<place>\d+)\.?)?\w*)\.weight_int8")
_FIRST = ("linear", "input")
_COLOURS = 3
_CONSTANTS = (("values", "Div"), ("levels", "Mul"), ("levels", "Mul", "Add"))
"""The way from an input to the node whose constant is looked for."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution: ``weight * scale``, 1 x 1 or 3 x 3."""

    kind: int
    """One of `ON`, `UP`, `APART`, `ADD`."""
    weight: NDArray[np.int8]
    """``(out, in, taps)``: 1 or 9 taps."""
    scale: NDArray[np.float16]
    bias: NDArray[np.float16]
    relu: bool = False
    """Whether what is negative behind it becomes 0."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How latents become samples."""

    detail: int
    """Samples along a side of a cell."""
    layers: tuple[Layer, ...]
    """The linear map, then the convolutions of the network in their order, if there is one."""
    value_scale: float = 1.0
    """Of the values, on their way in."""
    level_scale: float = 0.0
    level_offset: float = 0.0
    """What the network is told of a level is ``level * level_scale + level_offset``."""


def drawing_of(graph: bytes) -> Drawing:
    """The drawing of a ``synthesis.onnx``; raises `ValueError` where it is another network."""
    model = onnx.load_model_from_string(graph).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    named = [found for name in arrays if (found := _WEIGHT.fullmatch(name))]
    if len(named) != sum(array.dtype == np.int8 for array in arrays.values()):
        raise ValueError("the graph holds other weights than those of the synthesis network")
    layers = [_layer(arrays, found["name"]) for found in sorted(named, key=_place)]
    divisor, slope, offset = (_constant(model, *way) for way in _CONSTANTS)
    return Drawing(
        detail=round((len(layers[0].bias) / _COLOURS) ** 0.5),
        layers=(layers[0], *_with_relu(layers[1:])),
        value_scale=1 / divisor,
        level_scale=slope,
        level_offset=offset,
    )


def _place(found: re.Match[str]) -> int:
    """Where a convolution stands among the others."""
    return len(_FIRST) + int(found["place"]) if found["place"] else _FIRST.index(found["name"])


def _layer(arrays: dict[str, NDArray[np.generic]], name: str) -> Layer:
    prefix = f"synthesis.{name}"
    weight, scale = arrays[f"{prefix}.weight_int8"], arrays[f"{prefix}.weight_scale"]
    bias = arrays[f"{prefix}.bias"].astype(np.float16)
    if scale.dtype != np.float16 or not np.array_equal(bias, arrays[f"{prefix}.bias"]):
        raise ValueError(f"{name}: weights are not published as a client can hold them")
    outs, ins = weight.shape[:2]
    return Layer(
        kind=_kind(name, weight),
        weight=weight.reshape(outs, ins, -1).astype(np.int8),
        scale=scale.reshape(-1).astype(np.float16),
        bias=bias,
    )


def _kind(name: str, weight: NDArray[np.generic]) -> int:
    if name.endswith("depthwise"):
        return APART
    if name.endswith("pointwise"):
        return ADD
    return ON if name in _FIRST or weight.shape[-1] > 1 else UP


def _with_relu(layers: list[Layer]) -> Iterator[Layer]:
    """A relu stands behind every depthwise convolution and at the end of every stage."""
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        ends = following is not None and following.kind in (ON, UP)
        yield dataclasses.replace(layer, relu=ends or layer.kind == APART)


def _constant(graph: onnx.GraphProto, value: str, *way: str) -> float:
    """The constant that the last node of the way from ``value`` computes with."""
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant"
    }
    for step in way:
        nodes = [node for node in graph.node if node.op_type == step and value in node.input]
        if len(nodes) != 1:
            raise ValueError(f"the graph has not one {step} behind {value}")
        inputs, value = list(nodes[0].input), nodes[0].output[0]
    (found,) = (constants[name] for name in inputs if name in constants)
    return float(found)
