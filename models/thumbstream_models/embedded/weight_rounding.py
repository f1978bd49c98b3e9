"""Synthesis weights as they are published: small integers, a scale for every output channel.

A browser downloads them, so their size counts. Every convolution's weight is ``integer x scale``
with float16 scales and float16 biases; these products are exact in float32, so the ONNX file and a
client that multiplies them out hold the same values to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

_SMALLEST_SCALE = 2.0**-14
"""Smallest normal float16."""


def quantised(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers of a weight ``(out, ...)`` and their scales ``(out,)``, both float32.

    Integers are of at most ``bits`` bits with their sign, scales are float16 numbers.
    """
    most = 2 ** (bits - 1) - 1
    largest = weight.detach().flatten(1).abs().amax(1)
    scale = (largest / most).clamp_min(_SMALLEST_SCALE).half().float()
    integers = torch.round(weight.detach() / _across(scale, weight)).clamp(-most, most)
    return integers, scale


def published(name: str, value: Tensor, bits: int) -> Tensor:
    """A parameter as it is published: weights by `quantised`, biases as float16."""
    if name.endswith("bias"):
        return value.detach().half().float()
    integers, scale = quantised(value, bits)
    return integers * _across(scale, value)


def straight_through(
    net: nn.Module, bits: int, *inputs: Tensor, scales: Mapping[str, Tensor]
) -> Tensor:
    """``net(*inputs)`` with weights as they will be published; gradients reach those that learn.

    ``scales``: factors by which the parameters of these names are multiplied before they are
    published, because what enters them is divided by them.
    """
    rounded = {}
    for name, value in net.named_parameters():
        scale = scales.get(name, torch.ones(()).to(value))
        rounded[name] = value + (published(name, value * scale, bits) / scale - value).detach()
    drawn: Tensor = functional_call(net, rounded, inputs)
    return drawn


@torch.no_grad()
def round_weights(net: nn.Module, bits: int) -> None:
    """Replace every parameter by its published value."""
    for name, value in net.named_parameters():
        value.copy_(published(name, value, bits))


def _across(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *([1] * (weight.ndim - 1)))
