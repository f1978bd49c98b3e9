"""Training the synthesis with weights as clients have them: small integers and a scale per output.

What few weights of a client are worth most is measured in bytes of its file, not in weights. So
there are many of few bits, and the network learns with them from the first step on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

_SMALLEST_SCALE = 2.0**-14
"""Smallest normal float16."""
_FEW_INPUTS = 64
_FINE_BITS = 6
"""Of outputs of few inputs: there are few such weights, and their errors do not average out."""


def quantized(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers of a weight ``(out, ...)`` and their scales ``(out,)``, both float32.

    Integers are of at most ``bits`` bits with their sign, scales are float16 numbers, so that the
    products are exact in float32.
    """
    most = 2 ** (bits - 1) - 1
    largest = weight.detach().flatten(1).abs().amax(1)
    scale = (largest / most).clamp_min(_SMALLEST_SCALE).half().float()
    integers = torch.round(weight.detach() / across(scale, weight)).clamp(-most, most)
    return integers, scale


def across(scale: Tensor, weight: Tensor) -> Tensor:
    """``(out,)`` in the dimensions of ``weight`` ``(out, ...)``."""
    return scale.view(-1, *([1] * (weight.ndim - 1)))


def bits_of(weight: Tensor, bits: int) -> int:
    """Bits of the integers of a weight ``(out, ...)``, where most weights have ``bits``."""
    return bits if weight[0].numel() >= _FEW_INPUTS else max(bits, _FINE_BITS)


def rounded(value: Tensor, bits: int) -> Tensor:
    """A parameter as clients have it: weights by `quantized`, biases and gains as float16."""
    if value.ndim < 2:
        return value.detach().half().float()
    integers, scale = quantized(value, bits_of(value, bits))
    return integers * across(scale, value)


def straight_through(net: nn.Module, bits: int, *inputs: Tensor) -> Tensor:
    """``net(*inputs)`` with rounded parameters; gradients go straight through to the exact ones."""
    values = {
        name: value + (rounded(value, bits) - value).detach()
        for name, value in net.named_parameters()
    }
    output: Tensor = functional_call(net, values, inputs)
    return output


@torch.no_grad()
def round_parameters(net: nn.Module, bits: int) -> None:
    """Round every parameter."""
    for value in net.parameters():
        value.copy_(rounded(value, bits))
