"""The networks of the product codec.

::

    pixels --> Analysis --> latents y, a cell per 8 x 8 pixels
                              |  quantized: y_hat, with the width of the interval
                              +--> RateModel, LeanRateModel --> bits of each latent (training only)
                              +--> Synthesis --> pixels

The transform of a mean-scale hyperprior (Minnen et al. 2018) without the hyperprior: groups of
channels predict each other's mean and scale (Minnen and Singh 2020), and the quantization step is
an input of rate and synthesis, so that one set of weights serves every rate (Choi et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.embedded.codec_config import STRIDE, ModelConfig

COLOURS = 3
GAIN = 4.0
"""Factor from the output of the analysis network to latents, so that their standard deviation is of
the order of the quantization steps."""
SMALLEST_SCALE = 0.12
"""Smallest standard deviation of the rate model, in steps."""
_LEAST = 1e-8
"""Smallest probability of a latent."""
_SIGN_SLOPE = 0.7
"""Slope of the tanh feature of a rate model for values of few steps."""
_LEAN_FEATURES = 6
"""Per channel: value, sign and magnitude, and the sums of each over the four neighbors."""


class Residual(nn.Module):
    """``x + conv(relu(conv(relu(x))))``, 3 x 3; close to the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)
        self.second.weight.data.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same."""
        change: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + change


class Separable(nn.Module):
    """``x + pointwise(relu(depthwise(x)))``: a block with few weights and little time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, h, w)`` to the same."""
        change: Tensor = self.pointwise(functional.relu(self.depthwise(x)))
        return x + change


class Analysis(nn.Module):
    """Pixels to latents: a linear 16 x 16 transform plus a residual network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = nn.Conv2d(COLOURS, config.channels, 16, stride=8, padding=4)
        layers: list[nn.Module] = []
        before = COLOURS
        for filters, blocks in zip(config.analysis_filters, config.analysis_blocks, strict=True):
            layers += [nn.PixelUnshuffle(2), nn.Conv2d(4 * before, filters, 3, padding=1)]
            layers += [*(Residual(filters) for _ in range(blocks)), nn.ReLU()]
            before = filters
        self.net = nn.Sequential(*layers, nn.Conv2d(before, config.channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, 8 h, 8 w)`` in [-1, 1] to ``(B, channels, h, w)``."""
        latents: Tensor = self.linear(x) + self.net(x)
        return GAIN * latents.float()


class Synthesis(nn.Module):
    """Quantized latents and the widths of their intervals to pixels.

    A linear map from each cell to its 8 x 8 pixels, plus a residual network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, *others = config.synthesis_filters
        self.input = nn.Conv2d(2 * config.channels, first, 1)
        self.linear = nn.Conv2d(config.channels, COLOURS * STRIDE**2, 1)
        assert self.linear.bias is not None
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        layers: list[nn.Module] = []
        channels = first
        for filters, blocks in zip((*others, None), config.synthesis_blocks, strict=True):
            layers += [*(Separable(channels) for _ in range(blocks)), nn.ReLU()]
            if filters is not None:
                layers += [nn.Conv2d(channels, 4 * filters, 1), nn.PixelShuffle(2)]
                channels = filters
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, COLOURS, 3, padding=1))

    def forward(self, y_hat: Tensor, width: Tensor) -> Tensor:
        """Values and `width_of` their steps, each ``(B, channels, h, w)``, to ``(B, 3, 8 h, 8 w)``.

        The picture is in [-1, 1], or slightly outside.
        """
        y_hat = y_hat / GAIN
        linear = functional.pixel_shuffle(self.linear(y_hat), STRIDE)
        x_hat: Tensor = self.net(self.input(torch.cat([y_hat, width], 1))) + linear
        return x_hat.float()


class RateModel(nn.Module):
    """Bits of latents under conditional Gaussians, group after group of channels.

    A group's means and scales come from the steps of all channels and from the values of the groups
    before, in the 3 x 3 cells around. It measures the rate in the first stage; streams are coded
    with the integer context model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.groups = config.rate_groups
        hidden, known = config.rate_hidden, 0
        self.features, self.heads = nn.ModuleList(), nn.ModuleList()
        for group in self.groups:
            inputs = config.channels + 2 * known
            self.features.append(nn.Conv2d(inputs, hidden, 3, padding=1))
            self.heads.append(
                nn.Sequential(
                    nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 2 * group, 1)
                )
            )
            known += group

    def forward(self, y: Tensor, y_hat: Tensor, step: Tensor) -> Tensor:
        """Bits of each noisy latent ``y`` in steps ``step``, given ``y_hat``: all of one shape."""
        width = width_of(step)
        value, sign = y_hat / GAIN, torch.tanh(y_hat / step * _SIGN_SLOPE)
        means, scales, known = [], [], 0
        for group, features, head in zip(self.groups, self.features, self.heads, strict=True):
            seen = torch.cat([width, value[:, :known], sign[:, :known]], 1)
            mean, scale = head(functional.relu(features(seen))).float().chunk(2, 1)
            means.append(mean)
            scales.append(scale)
            known += group
        return _bits(y, GAIN * torch.cat(means, 1), torch.cat(scales, 1), step)


class LeanRateModel(nn.Module):
    """`RateModel` for the second stage, as small as the integer context model of the streams.

    With a large rate model the transform would rely on dependencies that a client cannot model.
    This one is like `thumbstream.codec.embedded.context`: a first layer that all groups share over
    a cell and the sums of its four neighbors, a second layer, and linear predictions of the means.
    """

    earlier: Tensor
    """``(C, C, 1)``: 1 where the second channel's group comes before the first one's."""

    def __init__(self, config: ModelConfig, groups: tuple[int, ...]) -> None:
        super().__init__()
        channels, hidden, middle = config.channels, config.lean_hidden, config.lean_middle
        self.groups = groups
        self.widths = nn.Linear(channels, hidden)
        self.first = nn.Parameter(
            torch.randn(hidden, channels, _LEAN_FEATURES) * 0.3 / (_LEAN_FEATURES * channels) ** 0.5
        )
        self.first_bias = nn.Parameter(torch.zeros(len(groups), hidden))
        self.second = nn.Linear(hidden, middle)
        self.second_bias = nn.Parameter(torch.zeros(len(groups), middle))
        self.heads_first = nn.Parameter(torch.randn(2, channels, hidden) * 0.02)
        self.heads_second = nn.Parameter(torch.randn(2, channels, middle) * 0.02)
        self.heads_bias = nn.Parameter(torch.zeros(2, channels))
        self.by_width = nn.Parameter(torch.zeros(channels))
        self.predictor = nn.Parameter(torch.zeros(channels, channels, 2))
        group = torch.repeat_interleave(torch.arange(len(groups)), torch.tensor(groups))
        earlier = (group[:, None] > group).float()[..., None]
        self.register_buffer("earlier", earlier, persistent=False)

    def forward(self, y: Tensor, y_hat: Tensor, step: Tensor, order: Tensor) -> Tensor:
        """Like `RateModel`; ``order`` ``(C,)`` is the channel at each position of the groups."""
        y, y_hat, step = y[:, order], y_hat[:, order], step[:, order]
        width, seen = width_of(step), self._seen(y_hat, step)
        predicted = functional.linear(
            seen[:, :, [0, 3]].flatten(1), (self.predictor * self.earlier).flatten(1)
        )
        sums = self.widths(_by_cell(width))
        parts, known = [], 0
        for group, size in enumerate(self.groups):
            unit = functional.relu(sums + self.first_bias[group])
            middle = functional.relu(self.second(unit) + self.second_bias[group])
            own = slice(known, known + size)
            heads = unit @ self.heads_first[:, own].mT + middle @ self.heads_second[:, own].mT
            parts.append(heads.float())
            news = seen[:, own].flatten(1), self.first[:, own].flatten(1)
            sums = sums + functional.linear(*news)
            known += size
        means, scales = torch.cat(parts, 2) + self.heads_bias[:, None]
        mu = GAIN * _by_channel(means + predicted.float(), y)
        wider = self.by_width[:, None, None] * width
        return _bits(y, mu, _by_channel(scales, y) + wider, step)

    def _seen(self, y_hat: Tensor, step: Tensor) -> Tensor:
        """Features of every channel: ``(B h w, C, 6)``."""
        sign = torch.tanh(y_hat / step * _SIGN_SLOPE)
        own = torch.stack([y_hat / GAIN, sign, sign.abs()], 2)
        wide = functional.pad(own.flatten(1, 2), (1, 1, 1, 1))
        around = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
        around = around + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
        both = torch.cat([own, around.view_as(own)], 2)
        return both.permute(0, 3, 4, 1, 2).flatten(0, 2)


class Transform(nn.Module):
    """The networks together, as a checkpoint holds them."""

    def __init__(self, config: ModelConfig, groups: tuple[int, ...]) -> None:
        """``groups``: sizes of the groups of channels of the embedded stream."""
        super().__init__()
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.rate = RateModel(config)
        self.lean = LeanRateModel(config, groups)


def width_of(step: Tensor) -> Tensor:
    """Input of rate model and synthesis for a quantization step."""
    return 0.5 * torch.log(step)


def _bits(y: Tensor, mu: Tensor, log_scale: Tensor, step: Tensor) -> Tensor:
    """Bits of intervals of width ``step`` around ``y`` under Gaussians."""
    sigma = torch.exp(log_scale.clamp(-8, 8)).maximum(step * SMALLEST_SCALE)
    off = (y - mu).abs()
    probability = _normal((0.5 * step - off) / sigma) - _normal((-0.5 * step - off) / sigma)
    return -torch.log2(probability.clamp_min(_LEAST))


def _by_cell(x: Tensor) -> Tensor:
    """``(B, C, h, w)`` to ``(B h w, C)``."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _by_channel(x: Tensor, like: Tensor) -> Tensor:
    """``(B h w, C)`` to ``(B, C, h, w)``, the shape of ``like``."""
    batch, channels, rows, columns = like.shape
    return x.view(batch, rows, columns, channels).permute(0, 3, 1, 2)


def _normal(z: Tensor) -> Tensor:
    """The normal distribution function."""
    return 0.5 * torch.erfc(-z * 0.5**0.5)
