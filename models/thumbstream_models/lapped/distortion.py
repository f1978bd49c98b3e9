"""What a decoded picture costs: squared error, SSIM and the colours of small areas.

The weights go with the rate. Where bytes are few, SSIM leads: a picture that is right on average
is better than one with a few right details. Where they are many, squared error does. Chroma errors
of 4 x 4 pixels count at all rates, since neither of the two sees that grass is grey.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thumbstream_models.lapped.config import DistortionConfig
from thumbstream_models.training.ssim import ssim

CHROMA = ((-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
"""Rows of the YCbCr matrix of JPEG."""
AREA = 4
"""Side in pixels of the areas whose mean chroma counts."""
_LOW_RATE_QUALITY, _HIGH_RATE_QUALITY = -0.2, 0.8
"""Weights go from those of few bytes to those of many between these qualities."""
_FIRST_WEIGHT, _WEIGHT_SLOPE = 0.0113, 3.0
_BALANCE = 150.0


def distortion(x: Tensor, x_hat: Tensor, quality: Tensor, config: DistortionConfig) -> Tensor:
    """Of pictures ``(B, 3, H, W)`` in [-1, 1] at qualities ``(B,)``: ``(B,)``."""
    error, similarity, chroma = weights(quality, config)
    return (
        error * squared_error(x, x_hat)
        + similarity * (1 - ssim(x, x_hat))
        + chroma * chroma_error(x, x_hat)
    )


def weights(quality: Tensor, config: DistortionConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Of squared error, SSIM and chroma at qualities ``(B,)``."""
    span = _HIGH_RATE_QUALITY - _LOW_RATE_QUALITY
    part = ((quality - _LOW_RATE_QUALITY) / span).clamp(0, 1)
    error, similarity, chroma = (
        low + (high - low) * part for low, high in (config.error, config.ssim, config.chroma)
    )
    return error, similarity, chroma


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of each picture, on the 0 to 255 scale: ``(B,)``."""
    return ((x - x_hat) * 127.5).square().mean((1, 2, 3))


def chroma_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of both chroma samples of small areas, on the 0 to 255 scale: ``(B,)``."""
    matrix = torch.tensor(CHROMA).to(x)
    error = torch.einsum("dc,bchw->bdhw", matrix, (x - x_hat) * 127.5)
    return functional.avg_pool2d(error, AREA).square().mean((1, 2, 3))


def lagrangian(quality: Tensor) -> Tensor:
    """Weight of the distortion beside bytes per cell, for qualities ``(B,)``."""
    return _FIRST_WEIGHT * torch.exp(_WEIGHT_SLOPE * quality)


def balanced(loss: Tensor, weight: Tensor) -> Tensor:
    """``loss`` of pictures at different Lagrangians, brought to one scale.

    Without it the distortion of high rates, whose weight is the largest, outweighs all that low
    rates can gain.
    """
    return loss / (1 + _BALANCE * weight)
