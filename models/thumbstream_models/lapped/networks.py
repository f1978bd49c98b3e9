"""The networks beside the linear transform: what they add to its latents and to its pictures.

::

    lapped samples of cells --1x1--> residual blocks on the grid of cells --3x3--> added to latents
    latents, known steps --1x1--> separable blocks, shuffled to twice the side, three times
                                  --3x3--> added to the linear picture, times min(step, 1)

The whole analysis works on the grid of cells, where it is several times faster than on pixels. The
synthesis is small enough for every visitor of a page. Its output fades as steps become fine, so
that the highest rates are those of the linear transform, which loses nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.lapped.config import ModelConfig
from thumbstream_models.lapped.linear import COLOURS, SAMPLES

_SUMMARY_UNITS = 32
_LEAK = 0.1
_FIRST_GAIN = 4.0
"""Before the sigmoid: latents are drawn nearly as they are at first."""


class Summary(nn.Module):
    """``x + linear(relu(linear(mean of x over the picture)))``: what cells know of the whole."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.squeeze, self.expand = nn.Linear(channels, units), nn.Linear(units, channels)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same."""
        whole = self.expand(functional.relu(self.squeeze(x.mean((2, 3)))))
        joined: Tensor = x + whole[:, :, None, None]
        return joined


class Residual(nn.Module):
    """``x + conv(summary(leaky_relu(conv(leaky_relu(x)))))``, 3 x 3; the identity at first.

    Units of the analysis leak: with ReLU, biases that grew negative in the first steps, when the
    network only did harm, left no unit active.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.summary = Summary(channels, channels // 4)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same."""
        change = self.summary(_leaky(self.first(_leaky(x))))
        added: Tensor = x + self.second(change)
        return added


class Separable(nn.Module):
    """``x + pointwise(relu(depthwise(x)))``: a block that costs little in weights and time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.pointwise.weight.data.mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same."""
        added: Tensor = x + self.pointwise(functional.relu(self.depthwise(x)))
        return added


class Analysis(nn.Module):
    """What is added to the latents of the linear transform."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.analysis_width
        last = nn.Conv2d(width, config.channels, 3, padding=1)
        _zero(last)
        blocks = (Residual(width) for _ in range(config.analysis_blocks))
        self.net = nn.Sequential(nn.Conv2d(SAMPLES, width, 1), *blocks, nn.LeakyReLU(_LEAK), last)

    def forward(self, blocks: Tensor) -> Tensor:
        """Lapped samples ``(B, 192, h, w)`` to ``(B, C, h, w)``."""
        added: Tensor = self.net(blocks)
        return added


class Synthesis(nn.Module):
    """How much of each latent is drawn linearly, and what is added to the linear picture."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.synthesis_widths
        self.gain = nn.Parameter(torch.full((config.channels,), _FIRST_GAIN))
        self.gain_by_step = nn.Parameter(torch.zeros(config.channels))
        self.input = nn.Conv2d(2 * config.channels, widths[0], 1)
        self.summary = Summary(widths[0], _SUMMARY_UNITS)
        layers: list[nn.Module] = []
        for i, (width, blocks) in enumerate(zip(widths, config.synthesis_blocks, strict=True)):
            layers += [*(Separable(width) for _ in range(blocks)), nn.ReLU()]
            if i + 1 < len(widths):
                layers += [nn.Conv2d(width, 4 * widths[i + 1], 1), nn.PixelShuffle(2)]
        last = nn.Conv2d(widths[-1], COLOURS, 3, padding=1)
        last.weight.data.mul_(0.1)
        _without_bias(last)
        self.net = nn.Sequential(*layers, last)

    def gains(self, width: Tensor) -> Tensor:
        """Factors of the latents before the linear part, from `width_of` their steps."""
        return torch.sigmoid(self.gain[:, None, None] + self.gain_by_step[:, None, None] * width)

    def forward(self, y_hat: Tensor, width: Tensor) -> Tensor:
        """Latents and `width_of` their steps ``(B, C, h, w)`` to ``(B, 3, 8 h, 8 w)``."""
        added: Tensor = self.net(self.summary(self.input(torch.cat([y_hat, width], 1))))
        return added


def width_of(step: Tensor) -> Tensor:
    """How networks are given a quantisation step: half its natural logarithm."""
    return 0.5 * torch.log(step)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _LEAK)


def _zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    _without_bias(layer)


def _without_bias(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
