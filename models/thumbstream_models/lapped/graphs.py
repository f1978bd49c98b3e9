"""Exports the networks of the second edition to ONNX, and the linear part as arrays.

The graphs have the networks alone; the linear part, the scales and the DCT over cells are a few
matrix products of the codec. Both graphs accept any batch and any grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from thumbstream.codec.lapped.params import SAMPLES, SIDE
from thumbstream_models.lapped import weight_rounding
from thumbstream_models.lapped.config import DistortionConfig
from thumbstream_models.lapped.linear import COLOURS
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.refinement import Refinement
from thumbstream_models.lapped.weight_rounding import quantized
from thumbstream_models.training.onnx_export import cpu_session, export_bytes

REFINEMENT = "refinement.onnx"
ANALYSIS_BITS = 8
"""Of the weights of the analysis: half the size of float16 ones, at equal quality."""
_KLT_UNIT = 2**12
"""The KLT is stored in units of 1/4096: fewer bytes for clients, at equal PSNR."""
_GRIDS = ((4, 4), (1, 1), (1, 7), (8, 5), (3, 2))
"""Rows and columns of cells that parity is measured on."""


@torch.no_grad()
def round_weights(net: Transform) -> None:
    """Round every weight of the networks as in the graphs, and the KLT."""
    weight_rounding.round_parameters(net.analysis, ANALYSIS_BITS)
    net.linear.klt.copy_(torch.round(net.linear.klt * _KLT_UNIT) / _KLT_UNIT)
    weight_rounding.round_parameters(net.synthesis, net.synthesis_bits)


@torch.no_grad()
def linear_arrays(net: Transform) -> dict[str, NDArray[np.generic]]:
    """The arrays of linear.npz, float32."""
    arrays = {
        "klt": net.linear.klt,
        "rotation": net.linear.rotation,
        "scales": net.scales().flatten(),
        "gain": net.synthesis.gain,
        "gain_slope": net.synthesis.gain_by_step,
    }
    return {name: value.float().cpu().numpy() for name, value in arrays.items()}


def to_onnx(net: Transform, config: DistortionConfig) -> dict[str, bytes]:
    """All graphs by file name; the weights must be rounded."""
    net = net.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    samples = torch.zeros(2, SAMPLES, 3, 5)
    latents = torch.zeros(2, sum(net.groups), 3, 5)
    return {
        "analysis.onnx": export_bytes(
            net.analysis,
            (samples,),
            ["samples"],
            ["added"],
            any_size("samples", "added"),
            store=_integer_storage(net.analysis, ANALYSIS_BITS),
        ),
        "synthesis.onnx": export_bytes(
            net.synthesis,
            (latents, latents),
            ["latents", "widths"],
            ["added"],
            any_size("latents", "widths", "added"),
            store=_integer_storage(net.synthesis, net.synthesis_bits),
        ),
        REFINEMENT: _refinement_graph(net, config),
    }


def _refinement_graph(net: Transform, config: DistortionConfig) -> bytes:
    pixels = torch.zeros(2, COLOURS, 3 * SIDE, 5 * SIDE)
    latents = torch.zeros(2, sum(net.groups), 3, 5)
    return export_bytes(
        Refinement(net, config),
        (pixels, net.linear.turns[:2], latents, latents, torch.ones(1, 1, 1, 1)),
        ["pixels", "rotation", "analysed", "latents", "rate"],
        ["refined", "cost"],
        any_size("analysed", "latents", "refined")
        | {"pixels": {0: "batch", 2: "pixel_rows", 3: "pixel_columns"}}
        | {"rotation": {0: "batch"}, "cost": {0: "batch"}},
        store=_integer_storage(net.synthesis, net.synthesis_bits, "net.synthesis."),
    )


@torch.no_grad()
def parity(
    net: Transform, config: DistortionConfig, files: dict[str, bytes], *, seed: int = 0
) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over random inputs and sizes.

    Of samples in [-1, 1]; of latents relative to the largest one, of the loss of latents to itself.
    """
    generator = torch.Generator().manual_seed(seed)
    analysis, synthesis, refine = (
        cpu_session(files[name]) for name in ("analysis.onnx", "synthesis.onnx", REFINEMENT)
    )
    refinement, rate = Refinement(net, config), torch.full((1, 1, 1, 1), 0.1)
    worst = 0.0
    for rows, columns in _GRIDS:
        samples = torch.rand(2, SAMPLES, rows, columns, generator=generator) * 2 - 1
        expected = net.analysis(samples)
        (found,) = analysis.run(None, {"samples": samples.numpy()})
        worst = max(worst, _difference(found, expected) / float(expected.abs().max()))
        latents, widths = torch.randn(2, 2, sum(net.groups), rows, columns, generator=generator)
        expected = net.synthesis(latents, widths)
        (found,) = synthesis.run(None, {"latents": latents.numpy(), "widths": widths.numpy()})
        worst = max(worst, _difference(found, expected) / max(1.0, float(expected.abs().max())))
        pixels = torch.rand(2, COLOURS, SIDE * rows, SIDE * columns, generator=generator) * 2 - 1
        rotation = net.linear.turns[-2:]
        latents = net.latents(pixels, rotation, "float32")
        inputs = {"pixels": pixels, "rotation": rotation, "analysed": latents, "latents": latents}
        inputs["rate"] = rate
        _, expected = refinement(*inputs.values())
        _, found = refine.run(None, {name: value.numpy() for name, value in inputs.items()})
        worst = max(worst, _difference(found, expected) / float(expected.abs().max()))
    return worst


def _difference(found: NDArray[np.float32], expected: Tensor) -> float:
    return float((torch.from_numpy(found) - expected).abs().max())


def _integer_storage(
    net: nn.Module, bits: int, prefix: str = ""
) -> Callable[[onnx.ModelProto], None]:
    """A function that stores the weights of a rounded network as integers and scales."""
    integers = {
        prefix + name: quantized(value, weight_rounding.bits_of(value, bits))
        for name, value in net.named_parameters()
        if value.ndim > 1
    }
    return lambda model: store_integers(model, integers)


def any_size(*names: str) -> dict[str, dict[int, str]]:
    """Dynamic dimensions of these inputs and outputs."""
    return {name: {0: "batch", 2: "rows", 3: "columns"} for name in names}


def store_integers(model: onnx.ModelProto, integers: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Store weights as int8 and float16 scales; raises `ValueError` if that is not lossless."""
    graph = model.graph
    nodes = []
    for tensor in graph.initializer:
        if tensor.name not in integers:
            continue
        name = tensor.name
        weight, scale = integers[name]
        factor = weight_rounding.across(scale, weight)
        if not np.array_equal(numpy_helper.to_array(tensor), (weight * factor).numpy()):
            raise ValueError(f"{name} is not rounded to {name}_int8 times a scale")
        tensor.CopyFrom(numpy_helper.from_array(weight.numpy().astype(np.int8), f"{name}_int8"))
        half = numpy_helper.from_array(factor.numpy().astype(np.float16), f"{name}_scale")
        graph.initializer.append(half)
        for stored, wide in ((tensor.name, f"{name}_whole"), (half.name, f"{name}_factor")):
            nodes.append(onnx.helper.make_node("Cast", [stored], [wide], to=onnx.TensorProto.FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [f"{name}_whole", f"{name}_factor"], [name]))
    for node in reversed(nodes):
        graph.node.insert(0, node)
