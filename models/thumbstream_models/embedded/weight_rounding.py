"""Rounds synthesis weights to small integers with a scale per output channel.

Browsers download them, so they must be small. The weight of every convolution is
``integer x scale`` with float16 scales and float16 biases. The products are exact in float32, so
the ONNX file and a client have the same values bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

_SMALLEST_SCALE = 2.0**-14
"""Smallest normal float16."""


def quantized(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers of a weight ``(out, ...)`` and their scales ``(out,)``, both float32.

    Integers are of at most ``bits`` bits with their sign, scales are float16 numbers.
    """
    most = 2 ** (bits - 1) - 1
    largest = weight.detach().flatten(1).abs().amax(1)
    scale = (largest / most).clamp_min(_SMALLEST_SCALE).half().float()
    integers = torch.round(weight.detach() / _across(scale, weight)).clamp(-most, most)
    return integers, scale


def published(name: str, value: Tensor, bits: int) -> Tensor:
    """Rounded parameter: weights by `quantized`, biases as float16."""
    if name.endswith("bias"):
        return value.detach().half().float()
    integers, scale = quantized(value, bits)
    return integers * _across(scale, value)


def straight_through(
    net: nn.Module, bits: int, *inputs: Tensor, scales: Mapping[str, Tensor]
) -> Tensor:
    """``net(*inputs)`` with rounded weights and straight-through gradients.

    ``scales``: factors by which the parameters of these names are multiplied before rounding,
    because their inputs are divided by them.
    """
    rounded = {}
    for name, value in net.named_parameters():
        scale = scales.get(name, torch.ones(()).to(value))
        rounded[name] = value + (published(name, value * scale, bits) / scale - value).detach()
    output: Tensor = functional_call(net, rounded, inputs)
    return output


@torch.no_grad()
def round_weights(net: nn.Module, bits: int) -> None:
    """Round every parameter."""
    for name, value in net.named_parameters():
        value.copy_(published(name, value, bits))


def _across(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *([1] * (weight.ndim - 1)))
