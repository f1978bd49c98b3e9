"""The synthesis network for a client, read from the published graph.

Only the graph is used: stages and blocks follow from the names of its weights, and constants from
its first nodes.
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
"""Kinds of convolutions: plain; followed by depth-to-space by 2; depthwise; pointwise, added to the
input of the depthwise convolution before it."""
_WEIGHT = re.compile(r"synthesis\.(?P<name>(?:net\.(?P<place>\d+)\.?)?\w*)\.weight_int8")
_FIRST = ("linear", "input")
_COLOURS = 3
_CONSTANTS = (("values", "Div"), ("levels", "Mul"), ("levels", "Mul", "Add"))
"""Operators from an input to the node with the constant."""


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
    """Whether a ReLU follows."""


@dataclass(frozen=True, slots=True)
class ClientSynthesis:
    """From latents to samples."""

    detail: int
    """Samples along the side of a cell."""
    layers: tuple[Layer, ...]
    """The linear map, then the convolutions of the network in order, if there is one."""
    value_scale: float = 1.0
    """Factor of the values at the input."""
    level_scale: float = 0.0
    level_offset: float = 0.0
    """The input for a level is ``level * level_scale + level_offset``."""


def synthesis_of(graph: bytes) -> ClientSynthesis:
    """Read a ``synthesis.onnx``; raises `ValueError` for other networks."""
    model = onnx.load_model_from_string(graph).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    named = [found for name in arrays if (found := _WEIGHT.fullmatch(name))]
    if len(named) != sum(array.dtype == np.int8 for array in arrays.values()):
        raise ValueError("the graph has weights that are not of the synthesis network")
    layers = [_layer(arrays, found["name"]) for found in sorted(named, key=_place)]
    divisor, slope, offset = (_constant(model, *way) for way in _CONSTANTS)
    return ClientSynthesis(
        detail=round((len(layers[0].bias) / _COLOURS) ** 0.5),
        layers=(layers[0], *_with_relu(layers[1:])),
        value_scale=1 / divisor,
        level_scale=slope,
        level_offset=offset,
    )


def _place(found: re.Match[str]) -> int:
    """Position of a convolution in the network."""
    return len(_FIRST) + int(found["place"]) if found["place"] else _FIRST.index(found["name"])


def _layer(arrays: dict[str, NDArray[np.generic]], name: str) -> Layer:
    prefix = f"synthesis.{name}"
    weight, scale = arrays[f"{prefix}.weight_int8"], arrays[f"{prefix}.weight_scale"]
    bias = arrays[f"{prefix}.bias"].astype(np.float16)
    if scale.dtype != np.float16 or not np.array_equal(bias, arrays[f"{prefix}.bias"]):
        raise ValueError(f"{name}: scale and bias must be float16")
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
    """A ReLU follows every depthwise convolution and the end of every stage."""
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        ends = following is not None and following.kind in (ON, UP)
        yield dataclasses.replace(layer, relu=ends or layer.kind == APART)


def _constant(graph: onnx.GraphProto, value: str, *way: str) -> float:
    """The constant of the last node on the path ``way`` from ``value``."""
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant"
    }
    for step in way:
        nodes = [node for node in graph.node if node.op_type == step and value in node.input]
        if len(nodes) != 1:
            raise ValueError(f"expected one {step} after {value}, found {len(nodes)}")
        inputs, value = list(nodes[0].input), nodes[0].output[0]
    (found,) = (constants[name] for name in inputs if name in constants)
    return float(found)
