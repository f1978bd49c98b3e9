"""Distortion of the training: squared error and SSIM, with one Lagrangian for all rates."""

from __future__ import annotations

import torch
from torch import Tensor

from thumbstream_models.training.ssim import ssim

_BALANCE = 150
ERROR_WEIGHT = 0.35
"""Of the squared error; a configuration has the weight of SSIM."""


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of each picture, on the 0 to 255 scale: ``(B,)``."""
    return ((x - x_hat) * 127.5).square().mean((1, 2, 3))


def distortion(x: Tensor, x_hat: Tensor, ssim_weight: float) -> Tensor:
    """Squared error and what SSIM lacks to 1, each times its weight: ``(B,)``."""
    return ERROR_WEIGHT * squared_error(x, x_hat) + ssim_weight * (1 - ssim(x, x_hat))


def lagrangian(quality: Tensor) -> Tensor:
    """Weight of the distortion relative to bytes per cell, for qualities ``(B,)``.

    The quality also sets the quantization step (`states.step_of`); the two go together, so that
    every step is near the one that is best for its weight.
    """
    return 0.05 * torch.exp(3.3 * quality)


def balanced(loss: Tensor, weight: Tensor) -> Tensor:
    """``loss`` of pictures coded at different Lagrangians, brought to one scale.

    With a smaller factor the distortion of high rates, which falls by so much more, outweighs all
    that low rates can gain.
    """
    return loss / (1 + _BALANCE * weight)
