"""The whole transform: pictures to bits and pictures, at any rate.

::

    x --colour axis, lapping, blocks--+--KLT-------+
                                      +--Analysis--+--> y --quantisation--> y_hat --> x_hat
                                                                |
                      FrequencyRate (first group, DCT), ContextRate (the others) --> bits
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thumbstream_models.lapped import colour_axes, quantisation
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
_PARTLY_ANALYSED = 0.3
"""Of the pictures in training: a random share of what the analysis adds is added, so that the
synthesis draws streams of encoders without networks well, too."""


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
        rotation, first = self.rotations(x), self.groups[0]
        share = None
        if noise:
            share = torch.rand(2, len(x)).to(x.device)
            share = torch.where(share[0] < _PARTLY_ANALYSED, share[1], 1.0)
        y = self.latents(x, rotation, precision, share)
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
        x_hat = colour_axes.rotated(drawn, rotation.transpose(1, 2))
        return Coded(first_bits, first_bits + other_bits, x_hat)

    @torch.no_grad()
    def rotations(self, x: Tensor) -> Tensor:
        """Of the colours of pictures ``(B, 3, H, W)``, by the axis that an encoder chooses.

        ``(B, 3, 3)``.
        """
        axes = colour_axes.candidates(x, self.linear.axes)
        costs = [self._linear_cost(x, self.linear.turns[axis]) for axis in axes.T]
        best = torch.stack(costs).argmin(0)
        return self.linear.turns[axes.gather(1, best[:, None])[:, 0]]

    def _linear_cost(self, x: Tensor, rotation: Tensor) -> Tensor:
        y = self.linear_latents(self.linear.blocks(colour_axes.rotated(x, rotation)))
        return torch.log2(1 + 2 * y.abs()).sum((1, 2, 3))

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

    def latents(
        self, x: Tensor, rotation: Tensor, precision: str, share: Tensor | None = None
    ) -> Tensor:
        """Scaled latents ``(B, C, h, w)``; those of the first group are DCT coefficients.

        ``rotation``: `rotations`; ``share``: of what the analysis adds, ``(B,)``; None: all of it.
        """
        blocks = self.linear.blocks(colour_axes.rotated(x, rotation))
        with autocast(precision, x.device):
            added = self.analysis(blocks).float()
        if share is not None:
            added = added * share[:, None, None, None]
        return self.linear_latents(blocks, added)

    def linear_latents(self, blocks: Tensor, added: Tensor | float = 0.0) -> Tensor:
        """`latents` of lapped samples ``(B, 192, h, w)``, with ``added`` to the KLT's."""
        y = (self.linear(blocks) + added) * self.scales()
        first = self.groups[0]
        return torch.cat([to_frequencies(y[:, :first]), y[:, first:]], 1)

    def draw(
        self, y_hat: Tensor, step: Tensor, nominal: Tensor, plain: Tensor, precision: str
    ) -> Tensor:
        """Scaled latents of cells, known to ``step``, to rotated pictures ``(B, 3, 8 h, 8 w)``.

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
        first, rotation = self.groups[0], self.rotations(x)
        y = self.latents(x, rotation, precision)
        cut = quantisation.cuts(y.new_full((len(x),), quality))
        q = quantisation.truncated(y, cut, first, noise=False)
        cells = torch.cat([from_frequencies(q.value[:, :first]), torch.zeros_like(y[:, first:])], 1)
        bits, _ = self.bits(q, cells, cut)
        drawn = self.linear.inverse(cells / self.scales())
        return Coded(bits, bits, colour_axes.rotated(drawn, rotation.transpose(1, 2)))

    def scales(self) -> Tensor:
        """Of the channels, ``(C, 1, 1)``."""
        limited = self.log_scale.clamp(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
        return torch.exp(limited)[:, None, None]
