"""The whole transform: pictures to bits and pictures, at any rate.

::

    x --lapping, blocks--+--KLT------------+
                         +--Analysis-------+--> y --scales, quantisation--> y_hat --> x_hat
                                                      |
                      FrequencyRate (first group, DCT), ContextRate (the others) --> bits
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thumbstream_models.lapped import quantisation
from thumbstream_models.lapped.config import ModelConfig
from thumbstream_models.lapped.linear import (
    LinearTransform,
    from_frequencies,
    to_frequencies,
)
from thumbstream_models.lapped.networks import Analysis, Synthesis, width_of
from thumbstream_models.lapped.quantisation import Cut, Quantised
from thumbstream_models.lapped.rate import ContextRate, FrequencyRate
from thumbstream_models.lapped.weight_rounding import straight_through
from thumbstream_models.training.precision import autocast

_LARGEST_LOG_SCALE = 1.5
_PLAIN_SHARE = 0.3
"""Of the first looks in training: drawn without a network."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A batch as the transform codes it."""

    first_bits: Tensor
    """``(B,)``, of the first group: coefficients of the DCT over cells."""
    bits: Tensor
    """``(B,)``, of all latents."""
    x_hat: Tensor
    """``(B, 3, H, W)``."""


class Transform(nn.Module):
    """The linear transform, the networks that add to it, the rate models."""

    def __init__(self, config: ModelConfig, linear: LinearTransform) -> None:
        super().__init__()
        self.groups, self.synthesis_bits = config.groups, config.synthesis_bits
        self.linear = linear
        self.analysis, self.synthesis = Analysis(config), Synthesis(config)
        self.frequencies = FrequencyRate(config.groups[0])
        self.context = ContextRate(config)
        self.log_scale = nn.Parameter(torch.zeros(config.channels))

    def forward(self, x: Tensor, quality: Tensor, precision: str, *, noise: bool = False) -> Coded:
        """Code pictures ``(B, 3, H, W)`` as streams that are cut at qualities ``(B,)``.

        The rate is that of known latents or, in training, of latents with ``noise``. Then some of
        the pictures that end in the first look are drawn as pages draw them, without a network.
        The networks compute in ``precision``, one of `precision.PRECISIONS`; everything else in
        float32.
        """
        y, first = self.latents(x, precision), self.groups[0]
        cut = quantisation.cuts(quality)
        q = quantisation.truncated(y, cut, first, noise=noise)
        y_hat = torch.cat([from_frequencies(q.value[:, :first]), q.value[:, first:]], 1)
        first_bits, other_bits = self.bits(q, y_hat, cut)
        plain = ~cut.begun
        if noise:
            plain = plain & (torch.rand(len(x)).to(x.device) < _PLAIN_SHARE)
        else:
            plain = torch.zeros_like(plain)
        drawn = self.draw(y_hat, q.step, cut.others, plain, precision)
        return Coded(first_bits, first_bits + other_bits, drawn)

    def bits(self, q: Quantised, y_hat: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
        """Of the first group and of the others, ``(B,)`` each."""
        first = self.groups[0]
        width = width_of(cut.first)[:, None]
        first_bits = self.frequencies(
            q.centre[:, :first], q.interval[:, :first], q.value[:, :first], q.step[:, :first], width
        )
        width = width_of(cut.others)[:, None]
        other_bits = self.context(q.centre[:, first:], q.interval[:, first:], y_hat, q.step, width)
        return first_bits.sum((1, 2, 3)), other_bits.sum((1, 2, 3)) * cut.begun

    def latents(self, x: Tensor, precision: str) -> Tensor:
        """Scaled latents ``(B, C, h, w)``; those of the first group are DCT coefficients."""
        blocks = self.linear.blocks(x)
        with autocast(precision, x.device):
            added = self.analysis(blocks)
        y = (self.linear(blocks) + added.float()) * self.scales()
        first = self.groups[0]
        return torch.cat([to_frequencies(y[:, :first]), y[:, first:]], 1)

    def draw(
        self, y_hat: Tensor, step: Tensor, nominal: Tensor, plain: Tensor, precision: str
    ) -> Tensor:
        """Scaled latents of cells, known to ``step``, to pictures ``(B, 3, 8 h, 8 w)``.

        Pictures that are ``plain`` ``(B,)`` are drawn by the linear part alone.
        """
        y_hat, width = self.described(y_hat, step)
        gate = (nominal.clamp(max=1) * ~plain)[:, None, None, None]
        gains = torch.where(plain[:, None, None, None], 1.0, self.synthesis.gains(width))
        picture = self.linear.inverse(y_hat * gains)
        with autocast(precision, y_hat.device):
            added = straight_through(self.synthesis, self.synthesis_bits, y_hat, width)
        drawn: Tensor = picture + added.float() * gate
        return drawn

    def described(self, y_hat: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of cells without scales, and how finely they are known, for the synthesis."""
        scales, first = self.scales(), self.groups[0]
        width = width_of(step / scales)
        # Frequencies have no cell: their steps enter as the mean of a channel.
        whole = width[:, :first].mean((2, 3), keepdim=True).expand_as(width[:, :first])
        return y_hat / scales, torch.cat([whole, width[:, first:]], 1)

    def first_look(self, x: Tensor, quality: float, precision: str) -> Coded:
        """Code the first group alone, and draw it with the linear part alone."""
        first, y = self.groups[0], self.latents(x, precision)
        cut = quantisation.cuts(y.new_full((len(x),), quality))
        q = quantisation.truncated(y, cut, first, noise=False)
        cells = torch.cat([from_frequencies(q.value[:, :first]), torch.zeros_like(y[:, first:])], 1)
        bits, _ = self.bits(q, cells, cut)
        return Coded(bits, bits, self.linear.inverse(cells / self.scales()))

    def scales(self) -> Tensor:
        """Of the channels, ``(C, 1, 1)``."""
        limited = self.log_scale.clamp(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
        return torch.exp(limited)[:, None, None]
