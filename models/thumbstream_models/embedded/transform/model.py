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

from thumbstream_models.embedded.transform import quantisation
from thumbstream_models.embedded.transform.linear import (
    LinearTransform,
    from_frequencies,
    to_frequencies,
)
from thumbstream_models.embedded.transform.networks import Analysis, Synthesis, width_of
from thumbstream_models.embedded.transform.rate import ContextRate, FrequencyRate
from thumbstream_models.embedded.transform.transform_config import ModelConfig
from thumbstream_models.training.precision import autocast

_LARGEST_LOG_SCALE = 1.5


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
        self.groups = config.groups
        self.linear = linear
        self.analysis, self.synthesis = Analysis(config), Synthesis(config)
        self.frequencies = FrequencyRate(config.groups[0])
        self.context = ContextRate(config)
        self.log_scale = nn.Parameter(torch.zeros(config.channels))

    def forward(
        self,
        x: Tensor,
        quality: Tensor,
        precision: str,
        *,
        truncated: bool = False,
        noise: bool = False,
    ) -> Coded:
        """Code pictures ``(B, 3, H, W)`` at qualities ``(B,)``.

        All latents of a picture are known to one step, or ``truncated`` at random. The rate is
        that of rounded latents, or of latents with ``noise``. The networks compute in
        ``precision``, one of `precision.PRECISIONS`; everything else in float32.
        """
        y = self.latents(x, precision)
        first, nominal = self.groups[0], quantisation.nominal_steps(quality)
        if truncated:
            q = quantisation.truncated(y, nominal, first, noise=noise)
        else:
            q = quantisation.uniform(y, nominal, noise=noise)
        y_hat = torch.cat([from_frequencies(q.value[:, :first]), q.value[:, first:]], 1)
        width = width_of(nominal)[:, None]
        first_bits = self.frequencies(
            q.centre[:, :first], q.interval[:, :first], q.value[:, :first], q.step[:, :first], width
        )
        other_bits = self.context(q.centre[:, first:], q.interval[:, first:], y_hat, q.step, width)
        first_bits, other_bits = first_bits.sum((1, 2, 3)), other_bits.sum((1, 2, 3))
        drawn = self.draw(y_hat, q.step, nominal, precision)
        return Coded(first_bits, first_bits + other_bits, drawn)

    def latents(self, x: Tensor, precision: str) -> Tensor:
        """Scaled latents ``(B, C, h, w)``; those of the first group are DCT coefficients."""
        blocks = self.linear.blocks(x)
        with autocast(precision, x.device):
            added = self.analysis(blocks)
        y = (self.linear(blocks) + added.float()) * self.scales()
        first = self.groups[0]
        return torch.cat([to_frequencies(y[:, :first]), y[:, first:]], 1)

    def draw(self, y_hat: Tensor, step: Tensor, nominal: Tensor, precision: str) -> Tensor:
        """Scaled latents of cells, known to ``step``, to pictures ``(B, 3, 8 h, 8 w)``."""
        scales = self.scales()
        y_hat, width = y_hat / scales, width_of(step / scales)
        picture = self.linear.inverse(y_hat * self.synthesis.gains(width))
        with autocast(precision, y_hat.device):
            added = self.synthesis(y_hat, width)
        drawn: Tensor = picture + added.float() * nominal.clamp(max=1)[:, None, None, None]
        return drawn

    def first_look(self, x: Tensor, step: float, precision: str) -> Coded:
        """Code the first group alone, and draw it with the linear part alone."""
        first = self.groups[0]
        y = self.latents(x, precision)
        nominal = y.new_full((len(x),), step)
        q = quantisation.uniform(y[:, :first], nominal, noise=False)
        width = width_of(nominal)[:, None]
        bits = self.frequencies(q.centre, q.interval, q.value, q.step, width).sum((1, 2, 3))
        cells = torch.cat([from_frequencies(q.value), torch.zeros_like(y[:, first:])], 1)
        return Coded(bits, bits, self.linear.inverse(cells / self.scales()))

    def scales(self) -> Tensor:
        """Of the channels, ``(C, 1, 1)``."""
        limited = self.log_scale.clamp(-_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
        return torch.exp(limited)[:, None, None]
