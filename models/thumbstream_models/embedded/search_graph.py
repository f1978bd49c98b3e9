"""The files for the encoder's search: `search.onnx` and `search.npz`.

The graph computes the distortion of a state and its gradient with respect to the values. ONNX
Runtime has no backward pass for inference, so the gradient is explicit here: the synthesis network
backwards, and the derivatives of squared error and SSIM (Wang et al. 2004).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.embedded.codec_config import STRIDE
from thumbstream_models.embedded.quantization_noise import STEP_SLOPE
from thumbstream_models.embedded.rate_distortion import ERROR_WEIGHT, lagrangian
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.transform_networks import GAIN, Separable, Synthesis, width_of
from thumbstream_models.training.ssim import SIGMA, WINDOW

_C1, _C2 = 0.01**2, 0.03**2
_CURVATURE_LEVEL = 3
"""Level at which the curvature is measured, that of the most useful stream lengths."""
BITS_PER_BYTE = 8


class Differentiated(nn.Module):
    """``values, levels, pixels -> distortion, gradient``.

    ``distortion`` ``(B,)`` is that of the training times the cells of a picture, so its weight does
    not depend on the size; ``gradient`` is its derivative with respect to ``values``. Batch, rows
    and columns are dynamic.
    """

    def __init__(self, synthesis: Synthesis, base_step: float, ssim_weight: float) -> None:
        super().__init__()
        self.synthesis, self.ssim_weight = synthesis, ssim_weight
        self.start = float(width_of(torch.tensor(base_step)))
        self.slope = -float(width_of(torch.tensor(3.0)))

    def forward(self, values: Tensor, levels: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Latents each ``(B, C, h, w)``, true pixels ``(B, 3, 8 h, 8 w)`` in [-1, 1]."""
        net, scaled = self.synthesis, values / GAIN
        inputs = [net.input(torch.cat([scaled, levels * self.slope + self.start], 1))]
        for layer in net.net:
            inputs.append(layer(inputs[-1]))
        x_hat = inputs.pop() + functional.pixel_shuffle(net.linear(scaled), STRIDE)
        distortion, gradient = _distortion(pixels, x_hat, self.ssim_weight)
        linear = _conv_back(net.linear, functional.pixel_unshuffle(gradient, STRIDE))
        for layer, before in zip(reversed(net.net), reversed(inputs), strict=True):
            gradient = _back(layer, before, gradient)
        through = _conv_back(net.input, gradient)[:, : net.linear.in_channels]
        cells = torch.ones_like(values[:1, :1]).sum()
        return distortion * cells, (through + linear) * (cells / GAIN)


def _back(layer: nn.Module, before: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at a layer's input ``before``, from that at its output."""
    if isinstance(layer, Separable):
        inner = layer.depthwise(before)
        gradient_in = _conv_back(layer.pointwise, gradient) * (inner > 0)
        return gradient + _conv_back(layer.depthwise, gradient_in)
    if isinstance(layer, nn.ReLU):
        return gradient * (before > 0)
    if isinstance(layer, nn.PixelShuffle):
        return functional.pixel_unshuffle(gradient, layer.upscale_factor)
    assert isinstance(layer, nn.Conv2d)
    return _conv_back(layer, gradient)


def _conv_back(conv: nn.Conv2d, gradient: Tensor) -> Tensor:
    side = conv.kernel_size[0] // 2
    return functional.conv_transpose2d(gradient, conv.weight, padding=side, groups=conv.groups)


def _windows(along: Tensor) -> Tensor:
    """SSIM's window at every position along a side with samples ``along`` ``(n,)``: ``(n, n)``.

    Rows of windows that exceed an edge are zero; tiny pictures have a smaller window, as in
    `thumbstream.codec.quality`. Shapes are not used, so the exported graph accepts any.
    """
    ones = torch.ones_like(along)
    places = ones.cumsum(0) - 1
    last = ones.sum() - 1
    half = torch.floor(last / 2).clamp(max=WINDOW // 2)
    offset = torch.arange(WINDOW, dtype=along.dtype) - WINDOW // 2
    total = (torch.exp(-(offset**2) / (2 * SIGMA**2)) * (offset.abs() <= half)).sum()
    apart = places[None] - places[:, None]
    taps = torch.exp(-(apart**2) / (2 * SIGMA**2)) / total
    inside = (places >= half) & (places <= last - half)
    return taps * ((apart.abs() <= half) & inside[:, None])


def _distortion(x: Tensor, x_hat: Tensor, ssim_weight: float) -> tuple[Tensor, Tensor]:
    """`rate_distortion.distortion` of each picture and its derivative with respect to ``x_hat``."""
    down, across = _windows(x[0, 0, :, 0]), _windows(x[0, 0, 0])
    across_t, down_t = across.t(), down.t()
    seen = down.sum(1)[:, None] * across.sum(1)
    share = seen / (3 * seen.sum())  # of each sample of the maps in the mean
    a, b = (x + 1) / 2, (x_hat + 1) / 2
    mu_a, mu_b = down @ a @ across_t, down @ b @ across_t
    var_a = down @ (a * a) @ across_t - mu_a**2
    var_b = down @ (b * b) @ across_t - mu_b**2
    cov = down @ (a * b) @ across_t - mu_a * mu_b
    a1, b1 = 2 * mu_a * mu_b + _C1, mu_a**2 + mu_b**2 + _C1
    a2, b2 = 2 * cov + _C2, var_a + var_b + _C2
    luminance, structure = a1 / b1, a2 / b2
    ssim = (luminance * structure * share).sum((1, 2, 3))
    by_mean = 2 * (mu_a - luminance * mu_b) / b1 * structure
    by_mean = by_mean + 2 * luminance * (structure * mu_b - mu_a) / b2
    by_square, by_product = -luminance * structure / b2, 2 * luminance / b2
    slope = down_t @ (by_mean * share) @ across
    slope = slope + 2 * b * (down_t @ (by_square * share) @ across)
    slope = slope + a * (down_t @ (by_product * share) @ across)
    off = x_hat - x
    part = share.new_ones(1) / (torch.ones_like(x[0]).sum())
    squared = (off * 127.5).square().sum((1, 2, 3)) * part
    gradient = off * (2 * ERROR_WEIGHT * 127.5**2 * part) - ssim_weight * slope / 2
    return ERROR_WEIGHT * squared + ssim_weight * (1 - ssim), gradient


def slopes(layout: Layout) -> NDArray[np.float32]:
    """Bits per unit of distortion of a cell after each plane: ``(planes,)``."""
    levels = torch.arange(1, layout.planes + 1)
    quality = -torch.log(layout.base_step / torch.pow(3.0, levels)) / STEP_SLOPE
    return np.asarray((BITS_PER_BYTE * lagrangian(quality)).numpy(), np.float32)


@torch.no_grad()
def curvatures(
    differentiated: Differentiated, x: Tensor, y: Tensor, layout: Layout
) -> NDArray[np.float32]:
    """Second derivative of the distortion with respect to a value of each channel: ``(C,)``.

    By finite differences of one step at one latent of pictures ``x``, from latents ``y`` at
    `_CURVATURE_LEVEL`.
    """
    step = layout.base_step / 3.0 ** min(_CURVATURE_LEVEL, layout.planes)
    values = torch.round(y / step) * step
    levels = torch.full_like(values, min(_CURVATURE_LEVEL, layout.planes))
    row, column = (side // 2 for side in y.shape[2:])
    here, _ = differentiated(values, levels, x)
    found = []
    for channel in range(y.shape[1]):
        moved = torch.zeros_like(values)
        moved[:, channel, row, column] = step
        up, _ = differentiated(values + moved, levels, x)
        down, _ = differentiated(values - moved, levels, x)
        found.append(float(((up + down - 2 * here) / step**2).mean()))
    return np.array(found, np.float32)
