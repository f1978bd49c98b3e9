"""The synthesis network for a client, read from the published graph.

Only the graph is used: the order of the layers follows from the names of their weights.
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

ON, UP, APART, ADD, SQUEEZE, EXPAND = range(6)
"""Kinds of layers: a convolution; one followed by depth-to-space by 2; a depthwise convolution; a
pointwise one that is added to the input of the depthwise convolution before it; a linear map of the
means of all planes; one whose outputs are added to all samples of the planes."""
_WEIGHT = re.compile(r"(?P<name>input|summary\.\w+|net\.(?P<place>\d+)(\.\w+)?)\.weight_int8")
_FIRST = {"input": ON, "summary.squeeze": SQUEEZE, "summary.expand": EXPAND}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: ``weight * scale``, 1 x 1 or 3 x 3."""

    kind: int
    """One of `ON`, `UP`, `APART`, `ADD`, `SQUEEZE`, `EXPAND`."""
    weight: NDArray[np.int8]
    """``(out, in, taps)``: 1 or 9 taps."""
    scale: NDArray[np.float16]
    """``(out,)``"""
    bias: NDArray[np.float16]
    """``(out,)``"""
    relu: bool = False
    """Whether a ReLU follows."""


def layers_of(graph: bytes) -> tuple[Layer, ...]:
    """Layers of a ``synthesis.onnx`` in order; raises `ValueError` for another network."""
    model = onnx.load_model_from_string(graph).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    named = [found for name in arrays if (found := _WEIGHT.fullmatch(name))]
    if len(named) != sum(array.dtype == np.int8 for array in arrays.values()):
        raise ValueError("the graph has weights that are not of the synthesis network")
    layers = [_layer(arrays, found["name"]) for found in sorted(named, key=_place)]
    return tuple(_with_relu(layers))


def _place(found: re.Match[str]) -> int:
    """Position of a layer in the network."""
    return int(found["place"]) if found["place"] else [*_FIRST].index(found["name"]) - len(_FIRST)


def _layer(arrays: dict[str, NDArray[np.generic]], name: str) -> Layer:
    weight, scale = arrays[f"{name}.weight_int8"], arrays[f"{name}.weight_scale"]
    bias = arrays[f"{name}.bias"].astype(np.float16)
    if scale.dtype != np.float16 or not np.array_equal(bias, arrays[f"{name}.bias"]):
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
    return _FIRST.get(name, ON if weight.shape[-1] > 1 else UP)


def _with_relu(layers: list[Layer]) -> Iterator[Layer]:
    """A ReLU follows every depthwise convolution, the first linear map, and the end of a stage."""
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        ends = following is not None and following.kind in (ON, UP)
        yield dataclasses.replace(layer, relu=ends or layer.kind in (APART, SQUEEZE))
