"""Building blocks of the systems of arXiv 1511.06085: binarizer, gain, LSTM, state."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream.codec.model_folder import StateTensor

STRIDE = 8
"""Pixels per cell, in both directions."""

State: TypeAlias = list[Tensor]
"""Tensors passed from one iteration to the next, in the order of `Stateful.states`."""


class Stateful(nn.Module):
    """A network that is called once per iteration and may carry state."""

    states: tuple[StateTensor, ...] = ()
    """Name, channels and scale (in grids) of the state tensors; none for a feed-forward network."""

    def zero_state(self, batch: int, rows: int, columns: int, like: Tensor) -> State:
        """The state before the first iteration, for a grid of ``rows`` x ``columns`` cells."""
        return [
            like.new_zeros(batch, s.channels, s.scale * rows, s.scale * columns)
            for s in self.states
        ]


class Binarizer(nn.Module):
    """Features to codes in {-1, +1}: 1x1 convolution, tanh, stochastic rounding (section 3.1).

    In training ``P(+1) = (1 + x) / 2`` with a straight-through gradient; at inference, and in
    training once `deterministic` is set, the sign. Every iteration has its own ``planes`` channels
    of the convolution (docs/adr/0002).
    """

    def __init__(self, features: int, planes: int, iterations: int) -> None:
        super().__init__()
        self.planes = planes
        self.conv = nn.Conv2d(features, planes * iterations, 1)
        self.deterministic = False

    def activation(self, features: Tensor, iteration: int) -> Tensor:
        """``(B, features, h, w)`` to ``(B, planes, h, w)`` in (-1, 1)."""
        own = slot(iteration, self.planes)
        assert self.conv.bias is not None
        return torch.tanh(functional.conv2d(features, self.conv.weight[own], self.conv.bias[own]))

    def forward(self, features: Tensor, iteration: int) -> Tensor:
        """``(B, features, h, w)`` to codes ``(B, planes, h, w)``."""
        soft = self.activation(features, iteration)
        if self.training and not self.deterministic:
            hard = torch.where(torch.rand_like(soft) < (1 + soft) / 2, 1.0, -1.0)
        else:
            hard = torch.where(soft >= 0, 1.0, -1.0)
        hard = hard.to(soft.dtype)
        # Not soft + (hard - soft): that sum rounds to 0.996 and the like in bfloat16.
        return hard + (soft - soft.detach()) if self.training else hard


def slot(iteration: int, planes: int) -> slice:
    """Channels of one iteration in a convolution that has the channels of all."""
    return slice(iteration * planes, (iteration + 1) * planes)


class ConvLSTM(nn.Module):
    """Convolutional LSTM whose stride is on the input convolution only (section 3.5).

    ::

    x --> k x k / stride --+--> i, f, o, g     c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h --> 1x1 -------------+                   h = sigmoid(o) * tanh(c)

    With ``kernel`` 1 it is a fully-connected LSTM in every cell (section 3.3).
    """

    GATES = 4

    def __init__(self, inputs: int, filters: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.filters = filters
        self.stride = stride
        self.input = nn.Conv2d(inputs, 4 * filters, kernel, stride, kernel // 2)
        self.hidden = nn.Conv2d(filters, 4 * filters, 1, bias=False)
        with torch.no_grad():  # an open forget gate: the state survives early training
            assert self.input.bias is not None
            self.input.bias[filters : 2 * filters] = 1.0

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, inputs, H, W)`` and the state to the next ``h, c``, each (B, filters, H/s, W/s)."""
        i, f, o, g = (self.input(x) + self.hidden(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class ResidualGain(nn.Module):
    """One learned factor per iteration on the residual before it enters the encoder.

    Residuals shrink from iteration to iteration. Without a gain the late activations of the
    binarizer stay near zero, where stochastic codes are mostly noise and carry nothing
    (docs/adr/0002). For additive reconstruction the decoder's output is divided by it.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        start = [1.0] + [2.0 + 0.25 * t for t in range(1, iterations)]
        self.gain = nn.Parameter(torch.tensor(start))

    def forward(self, r: Tensor, iteration: int) -> Tensor:
        """The input of the encoder."""
        return r * self.gain[iteration]
