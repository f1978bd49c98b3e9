"""SSIM as a loss: that of `thumbstream.codec.quality`, with gradients.

Wang et al. 2004: Gaussian window of 11, sigma 1.5, no border. It is made of two small matrix
products a plane instead of a depthwise convolution, which is several times slower on a CPU.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


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
