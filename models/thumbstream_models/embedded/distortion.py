"""What a drawn picture costs: squared error and SSIM, by one Lagrangian for every rate.

The SSIM is `thumbstream.codec.quality.ssim` (Wang et al. 2004: Gaussian window of 11, sigma 1.5, no
border), made of two small matrix products a plane instead of a depthwise convolution, which is
several times slower on a CPU.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_BALANCE = 150
ERROR_WEIGHT = 0.35
"""Of the squared error; a configuration has the weight of SSIM."""


@cache
def _window(size: int) -> Tensor:
    """``(size - 10, size)``: every place of the window along a side."""
    offsets = torch.arange(WINDOW) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    places = torch.zeros(size - WINDOW + 1, size)
    for i, place in enumerate(places):
        place[i : i + WINDOW] = weights
    return places


def ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean SSIM ``(B,)`` of pictures ``(B, 3, H, W)`` in [-1, 1]; sides of 11 at least."""
    down, across = (_window(side).to(x) for side in x.shape[2:])
    a, b = (x + 1) / 2, (x_hat + 1) / 2
    maps = down @ torch.cat([a, b, a * a, b * b, a * b]) @ across.T
    mean_a, mean_b, aa, bb, ab = maps.chunk(5)
    var_a, var_b, cov = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    luminance: Tensor = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure: Tensor = (2 * cov + _C2) / (var_a + var_b + _C2)
    return (luminance * structure).mean((1, 2, 3))


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of each picture, on the 0 to 255 scale: ``(B,)``."""
    return ((x - x_hat) * 127.5).square().mean((1, 2, 3))


def distortion(x: Tensor, x_hat: Tensor, ssim_weight: float) -> Tensor:
    """Squared error and what SSIM lacks to 1, each times its weight: ``(B,)``."""
    return ERROR_WEIGHT * squared_error(x, x_hat) + ssim_weight * (1 - ssim(x, x_hat))


def lagrangian(quality: Tensor) -> Tensor:
    """Weight of the distortion beside bytes per cell, for qualities ``(B,)``.

    The quality also sets the quantisation step (`states.step_of`); the two go together, so that
    every step is near the one that is best for its weight.
    """
    return 0.05 * torch.exp(3.3 * quality)


def balanced(loss: Tensor, weight: Tensor) -> Tensor:
    """``loss`` of pictures coded at different Lagrangians, brought to one scale.

    With a smaller factor the distortion of high rates, which falls by so much more, outweighs all
    that low rates can gain.
    """
    return loss / (1 + _BALANCE * weight)
