"""Exports a system of the paper to ONNX, one graph per step, and compares it with PyTorch.

A step is one iteration of the encoder or of the decoder with explicit state (docs/adr/0003). There
is one pair of graphs for all iterations or, where the weights differ, one pair for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thumbstream.codec.model_folder import StateTensor
from thumbstream_models.paper import networks
from thumbstream_models.paper.networks.layers import slot
from thumbstream_models.training.onnx_export import cpu_session, export_bytes, smooth_noise


def per_stage(net: networks.Compressor) -> bool:
    """Whether each iteration has separate weights."""
    return isinstance(net.encoder, networks.FeedForwardEncoder) and len(net.encoder.trunks) > 1


def file_name(net: networks.Compressor, step: str, iteration: int) -> str:
    """File name of the ``analysis`` or ``synthesis`` graph of an iteration."""
    return f"{step}-{iteration:02}.onnx" if per_stage(net) else f"{step}.onnx"


class AnalysisStep(nn.Module):
    """``residual, state -> activation, state``: encoder and binarizer, one iteration.

    ``activation`` has the code channels of all iterations, or those of ``iteration`` alone. The
    codes are its signs.
    """

    def __init__(self, net: networks.Compressor, iteration: int | None = None) -> None:
        super().__init__()
        self.encoder, self.iteration = net.encoder, iteration or 0
        conv = net.binarizer.conv
        own = slice(None) if iteration is None else slot(iteration, net.binarizer.planes)
        assert conv.bias is not None
        self.weight, self.bias = conv.weight[own].detach(), conv.bias[own].detach()

    def forward(self, residual: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """One iteration; ``residual`` already has its gain."""
        features, new = self.encoder(residual, self.iteration, list(state))
        return (torch.tanh(nn.functional.conv2d(features, self.weight, self.bias)), *new)


class SynthesisStep(nn.Module):
    """``codes, state -> x_hat, state``: decoder, one iteration.

    ``codes`` has the channels of all iterations, all but the current one's zero, or those of
    ``iteration`` alone.
    """

    def __init__(self, net: networks.Compressor, iteration: int | None = None) -> None:
        super().__init__()
        self.decoder, self.iteration = net.decoder, iteration or 0
        conv = net.decoder.conv
        own = slice(None) if iteration is None else slot(iteration, net.decoder.planes)
        assert conv.bias is not None
        self.weight, self.bias = conv.weight[:, own].detach(), conv.bias.detach()

    def forward(self, codes: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """One iteration."""
        features = nn.functional.conv2d(codes, self.weight, self.bias)
        output, new = self.decoder.synthesize(features, self.iteration, list(state))
        return (output, *new)


def _to_onnx(
    step: nn.Module,
    value: str,
    output: str,
    channels: int,
    per_cell: int,
    states: tuple[StateTensor, ...],
) -> bytes:
    """Export one step with dynamic batch, rows and columns."""
    rows, columns = 3, 5  # any size: no dimension may become a constant
    example = [torch.zeros(2, channels, rows * per_cell, columns * per_cell)]
    example += [torch.zeros(2, s.channels, rows * s.scale, columns * s.scale) for s in states]
    names = [s.name for s in states]
    axes = {name: {0: "batch", 2: f"{name}_h", 3: f"{name}_w"} for name in [value, output, *names]}
    axes |= {f"{name}_next": axis for name, axis in axes.items() if name in names}
    outputs = [output, *(f"{name}_next" for name in names)]
    return export_bytes(step, tuple(example), [value, *names], outputs, axes)


def to_onnx(net: networks.Compressor) -> dict[str, bytes]:
    """All graphs of a network by file name; moves the network to the CPU in float32."""
    net = net.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    stages: list[int | None] = list(range(net.iterations)) if per_stage(net) else [None]
    files = {}
    for stage in stages:
        channels = net.decoder.conv.in_channels if stage is None else net.decoder.planes
        files[file_name(net, "analysis", stage or 0)] = _to_onnx(
            AnalysisStep(net, stage),
            "residual",
            "activation",
            3,
            networks.STRIDE,
            net.encoder.states,
        )
        files[file_name(net, "synthesis", stage or 0)] = _to_onnx(
            SynthesisStep(net, stage), "codes", "x_hat", channels, 1, net.decoder.states
        )
    return files


@torch.no_grad()
def parity(
    net: networks.Compressor, files: dict[str, bytes], iterations: int, *, seed: int = 0
) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over random pictures and sizes.

    Both get the same inputs at every iteration.
    """
    rng = np.random.default_rng(seed)
    run = {name: cpu_session(model) for name, model in files.items() if name.endswith(".onnx")}
    worst = 0.0
    for rows, columns in ((4, 4), (1, 1), (1, 7), (8, 5), (3, 2)):
        shape = (2, 3, rows * networks.STRIDE, columns * networks.STRIDE)
        x = torch.from_numpy(smooth_noise(rng, shape))
        encoder = net.encoder.zero_state(2, rows, columns, x)
        decoder = net.decoder.zero_state(2, rows, columns, x)
        r, x_hat = x, torch.zeros_like(x)
        for t in range(iterations):
            r = net.residual_gain(r, t)
            got = _run(run[file_name(net, "analysis", t)], r, encoder)
            features, encoder = net.encoder(r, t, encoder)
            activation = net.binarizer.activation(features, t)
            own = slot(0 if per_stage(net) else t, net.binarizer.planes)
            worst = max(worst, *_differences([got[0][:, own], *got[1:]], [activation, *encoder]))
            codes = net.binarizer(features, t)
            slots = torch.zeros_like(got[0])
            slots[:, own] = codes
            got = _run(run[file_name(net, "synthesis", t)], slots, decoder)
            output, decoder = net.decoder(codes, t, decoder)
            worst = max(worst, *_differences(got, [output, *decoder]))
            x_hat = net.reconstruct(x_hat, output, t)
            r = x - x_hat
    return worst


def _run(session: Any, value: Tensor, state: networks.State) -> list[Tensor]:
    names = [i.name for i in session.get_inputs()]
    feed = {n: v.contiguous().numpy() for n, v in zip(names, [value, *state], strict=True)}
    return [torch.from_numpy(out) for out in session.run(None, feed)]


def _differences(actual: list[Tensor], expected: list[Tensor]) -> Iterator[float]:
    for a, b in zip(actual, expected, strict=True):
        yield float((a - b).abs().max())
