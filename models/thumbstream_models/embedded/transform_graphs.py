"""Exports the trained transform to ONNX graphs and compares them with PyTorch.

``analysis``: pixels to latents, weights in half precision. ``synthesis``: values and levels to a
picture, weights as small integers and float16 scales that are multiplied when the graph is opened.
``search``: distortion and gradient for the encoder's search (`search_graph`). The channels are in
the published order, and all graphs accept any batch and any grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from thumbstream_models.embedded import weight_rounding
from thumbstream_models.embedded.codec_config import STRIDE
from thumbstream_models.embedded.search_graph import Differentiated
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.transform_networks import COLOURS, Synthesis, Transform, width_of
from thumbstream_models.training.onnx_export import (
    cpu_session,
    export_bytes,
    round_to_half,
    smooth_noise,
)

_GRIDS = ((4, 4), (1, 1), (1, 7), (8, 5), (3, 2))
"""Rows and columns of cells that parity is measured on."""


class SynthesisGraph(nn.Module):
    """``values, levels -> x_hat``: the synthesis network as a decoder calls it."""

    def __init__(self, synthesis: Synthesis, base_step: float) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.start, self.slope = 0.5 * math.log(base_step), -0.5 * math.log(3)

    def forward(self, values: Tensor, levels: Tensor) -> Tensor:
        """Each ``(B, C, h, w)``; `width_of` of ``base_step / 3^level`` is linear in the level."""
        x_hat: Tensor = self.synthesis(values, levels * self.slope + self.start)
        return x_hat


@torch.no_grad()
def in_order(net: Transform, layout: Layout) -> Transform:
    """Reorder analysis and synthesis: latent ``layout.order[i]`` becomes i, in the published scale.

    The rate model is not changed; it is not published.
    """
    order, scales = torch.tensor(layout.order), torch.tensor(layout.scales)
    last = net.analysis.net[-1]
    assert isinstance(last, nn.Conv2d)
    for conv in (net.analysis.linear, last):
        assert conv.bias is not None
        conv.weight.copy_(conv.weight[order] * scales[:, None, None, None])
        conv.bias.copy_(conv.bias[order] * scales)
    for conv in (net.synthesis.input, net.synthesis.linear):
        copies = conv.in_channels // len(order)
        places = torch.cat([order + i * len(order) for i in range(copies)])
        conv.weight.copy_(conv.weight[:, places].clone())
        conv.weight[:, : len(order)] /= scales[:, None, None]
    widths = net.synthesis.input.weight[:, len(order) :, 0, 0]
    assert net.synthesis.input.bias is not None
    net.synthesis.input.bias += widths @ width_of(
        1 / scales
    )  # compensates the scales in the widths
    return net


@torch.no_grad()
def round_weights(net: Transform, bits: int) -> None:
    """Round every weight as in the graphs. The channels must be in the published order."""
    round_to_half(net.analysis)
    weight_rounding.round_weights(net.synthesis, bits)


def to_onnx(net: Transform, base_step: float, bits: int) -> dict[str, bytes]:
    """Both graphs by file name; moves the network to the CPU in float32."""
    net = net.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    channels = net.synthesis.linear.in_channels
    pixels = torch.zeros(2, COLOURS, 3 * STRIDE, 5 * STRIDE)
    latents = torch.zeros(2, channels, 3, 5)
    return {
        "analysis.onnx": export_bytes(
            net.analysis, (pixels,), ["pixels"], ["latents"], any_size("pixels", "latents")
        ),
        "synthesis.onnx": export_bytes(
            SynthesisGraph(net.synthesis, base_step),
            (latents, latents),
            ["values", "levels"],
            ["x_hat"],
            any_size("values", "levels", "x_hat"),
            store=_integer_storage(net.synthesis, bits),
        ),
    }


def search_graph(differentiated: Differentiated, bits: int | None = None) -> bytes:
    """The graph of the encoder's search: the distortion of a state and its gradient.

    With ``bits`` the weights, which must be rounded, are stored as in ``synthesis``.
    """
    latents = torch.zeros(2, differentiated.synthesis.linear.in_channels, 3, 5)
    pixels = torch.zeros(2, COLOURS, 3 * STRIDE, 5 * STRIDE)
    axes = any_size("values", "levels", "pixels", "gradient") | {"distortion": {0: "batch"}}
    return export_bytes(
        differentiated,
        (latents, latents, pixels),
        ["values", "levels", "pixels"],
        ["distortion", "gradient"],
        axes,
        store=None if bits is None else _integer_storage(differentiated.synthesis, bits),
    )


def any_size(*names: str) -> dict[str, dict[int, str]]:
    """Dynamic dimensions of these inputs and outputs."""
    kinds = {"pixels": "pixel_", "x_hat": "pixel_"}
    return {
        name: {0: "batch", 2: f"{kinds.get(name, '')}rows", 3: f"{kinds.get(name, '')}columns"}
        for name in names
    }


def _integer_storage(synthesis: Synthesis, bits: int) -> Callable[[onnx.ModelProto], None]:
    """A function that stores the weights of a graph with this network as integers."""
    integers = {
        f"synthesis.{name}": weight_rounding.quantized(value, bits)
        for name, value in synthesis.named_parameters()
        if name.endswith("weight")
    }
    return lambda model: store_integers(model, integers)


def store_integers(model: onnx.ModelProto, integers: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Store weights as int8 and float16 scales; raises `ValueError` if that is not lossless."""
    graph = model.graph
    nodes = []
    for tensor in graph.initializer:
        if tensor.name not in integers:
            continue
        name = tensor.name
        weight, scale = integers[name]
        across = scale.view(-1, *([1] * (weight.ndim - 1)))
        if not np.array_equal(numpy_helper.to_array(tensor), (weight * across).numpy()):
            raise ValueError(f"{name} is not rounded to {name}_int8 times a scale")
        tensor.CopyFrom(numpy_helper.from_array(weight.numpy().astype(np.int8), f"{name}_int8"))
        half = numpy_helper.from_array(across.numpy().astype(np.float16), f"{name}_scale")
        graph.initializer.append(half)
        for stored, wide in ((tensor.name, f"{name}_whole"), (half.name, f"{name}_factor")):
            nodes.append(onnx.helper.make_node("Cast", [stored], [wide], to=onnx.TensorProto.FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [f"{name}_whole", f"{name}_factor"], [name]))
    for node in reversed(nodes):
        graph.node.insert(0, node)


@torch.no_grad()
def parity(net: Transform, files: dict[str, bytes], layout: Layout, *, seed: int = 0) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over random pictures and sizes.

    Of samples in [-1, 1]; of latents relative to the largest one.
    """
    rng = np.random.default_rng(seed)
    analysis, synthesis = (cpu_session(files[name]) for name in ("analysis.onnx", "synthesis.onnx"))
    graph = SynthesisGraph(net.synthesis, layout.base_step)
    worst = 0.0
    for rows, columns in _GRIDS:
        x = torch.from_numpy(smooth_noise(rng, (2, COLOURS, rows * STRIDE, columns * STRIDE)))
        latents = net.analysis(x)
        (found,) = analysis.run(None, {"pixels": x.numpy()})
        largest = float(latents.abs().max())
        worst = max(worst, float((torch.from_numpy(found) - latents).abs().max()) / largest)
        levels = torch.from_numpy(rng.integers(0, layout.planes + 1, latents.shape)).float()
        step = layout.base_step / torch.pow(3.0, levels)
        values = torch.round(latents / step) * step
        (x_hat,) = synthesis.run(None, {"values": values.numpy(), "levels": levels.numpy()})
        worst = max(worst, float((torch.from_numpy(x_hat) - graph(values, levels)).abs().max()))
    return worst
