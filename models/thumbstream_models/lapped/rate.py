"""Bits of latents, by models as small as the integer tables of a client.

Coefficients of the DCT over cells come first in a stream. They are mixtures of two Gaussians, from
a table of channels and frequencies and a linear model of what came before. All other latents follow
in groups of channels; their Gaussians come from a network over what is known of the cell and of its
four neighbours, and from a linear prediction. In each group the even cells come first, as on a
checkerboard, and the odd ones know them.

The transform is trained against this model, so that it does not rely on dependencies that the
context model of a stream is too small to find.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.lapped.config import ModelConfig

NODES = 6
"""Static tables have parameters at the frequencies 0, 1, 3, 7, 15 and 31 of each direction."""
_VALUE_REACH = 3
"""Differences of frequencies, up to which coefficients predict each other's value."""
_MAGNITUDE_REACH = 2
_KINDS = 3
"""Of features: value, sign, magnitude."""
_FEATURES = 2 * _KINDS
"""Of each channel: those of the cell, and their sums over its four neighbours."""
_SMALLEST_SCALE = 0.12
"""Smallest standard deviation that the model may claim, in widths of an interval."""
_LEAST = 1e-8
"""Smallest probability of a latent."""
_SIGN_SLOPE = 0.7
"""Of the tangent that tells the network about values of few steps."""
_VALUE_SCALE = 0.5
_FIRST_LOG_SCALE, _FALL = 1.2, 0.6
"""At first, scales fall by this from node to node: only the rare larger pictures have all nodes."""


class FrequencyRate(nn.Module):
    """Bits of DCT coefficients given those that come before, with few weights for any grid.

    Coefficients come by growing sums of their two frequencies, and at one frequency channel by
    channel. A table has the scale of each channel and frequency. To it come the magnitudes of
    earlier coefficients: of near frequencies, by the differences, and of all, by channels. The mean
    is a linear prediction by the values at near frequencies.
    """

    near: Tensor
    """``(K, K, side, side)``: 1 where the second channel comes before the first one's middle."""
    magnitudes_near: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        node = torch.arange(NODES)
        falling = _FIRST_LOG_SCALE - _FALL * torch.maximum(node[:, None], node)
        self.log_scale = nn.Parameter(falling.repeat(channels, 1, 1))
        self.log_ratio = nn.Parameter(torch.full((channels, NODES, NODES), -1.0))
        self.mixture = nn.Parameter(torch.zeros(channels, NODES, NODES))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.by_width = nn.Parameter(torch.zeros(channels))
        pair, side, small = (channels, channels), 2 * _VALUE_REACH + 1, 2 * _MAGNITUDE_REACH + 1
        self.values = nn.Parameter(torch.zeros(*pair, side, side))
        self.values_low = nn.Parameter(torch.zeros(*pair, side, side))
        self.magnitudes = nn.Parameter(torch.zeros(channels, 2 * channels, small, small))
        self.activity = nn.Parameter(torch.zeros(channels, 2 * channels))
        near, smaller = _earlier_taps(channels, side), _earlier_taps(channels, small)
        self.register_buffer("near", near, persistent=False)
        self.register_buffer("magnitudes_near", torch.cat([smaller] * 2, 1), persistent=False)

    def forward(
        self, y: Tensor, interval: Tensor, y_hat: Tensor, step: Tensor, width: Tensor
    ) -> Tensor:
        """Bits of intervals around the coefficients ``y``: ``(B, K, h, w)``, as all arguments.

        But ``width``: `networks.width_of` each picture's nominal step, ``(B, 1)``. ``y_hat`` and
        ``step``: the coefficients as the decoder knows them.
        """
        mean, wide, narrow, part = self.predict(y_hat, step, width)
        off = (y - mean).abs()
        probability = part * interval_probability(off, wide, interval)
        probability = probability + (1 - part) * interval_probability(off, narrow, interval)
        return -torch.log2(probability.clamp_min(_LEAST))

    def predict(
        self, y_hat: Tensor, step: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean, both standard deviations, and the first one's share: broadcast to ``(B, K, h, w)``.

        The arguments are those of `forward`.
        """
        size = _root_of_cells(y_hat)  # a picture of more cells has larger coefficients
        down, across = (interpolation(n).to(y_hat) for n in y_hat.shape[2:])
        scale, ratio, mixture = (
            down @ table @ across.T for table in (self.log_scale, self.log_ratio, self.mixture)
        )
        scale = scale + self._scale_change(y_hat, step) + (self.by_width * width)[:, :, None, None]
        wide = torch.exp(scale.clamp(-6, 6)) * (size / 4)
        narrow = wide * torch.exp(ratio.clamp(-6, 6))
        return self._mean(y_hat), wide, narrow, torch.sigmoid(mixture)

    def _mean(self, y_hat: Tensor) -> Tensor:
        """A linear prediction by earlier coefficients; frequency 0 has a mean of its own."""
        sums = _frequency_sums(*y_hat.shape[2:]).to(y_hat)
        first = (self.mean * _root_of_cells(y_hat))[:, None, None] * (sums == 0)
        near, low = (
            functional.conv2d(y_hat, weights * self.near, padding=_VALUE_REACH)
            for weights in (self.values, self.values_low)
        )
        return first + near + low / (1 + 0.5 * sums)

    def _scale_change(self, y_hat: Tensor, step: Tensor) -> Tensor:
        """What the magnitudes of earlier coefficients add to the logarithms of the scales."""
        features = torch.cat([torch.log1p(y_hat.abs() / step), (y_hat != 0).to(y_hat)], 1)
        weights = self.magnitudes * self.magnitudes_near
        near = functional.conv2d(features, weights, padding=_MAGNITUDE_REACH)
        sums = _frequency_sums(*y_hat.shape[2:]).flatten().to(y_hat)
        earlier = (sums[:, None] < sums).to(y_hat)
        means = features.flatten(2) @ (earlier / (1 + earlier.sum(0)))
        return near + (self.activity @ means).view_as(near)


class ContextRate(nn.Module):
    """Bits of latents given what a decoder knows before each of them."""

    earlier: Tensor
    """``(C, 1, C)``: 1 where the first channel's group comes before the second one's."""
    same: Tensor
    """``(C, C)``: 1 where both are of one group."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.groups = config.groups
        channels, hidden, middle = config.channels, config.rate_hidden, config.rate_middle
        groups = len(self.groups)
        spread = 0.3 / math.sqrt(_FEATURES * channels)
        self.first = nn.Parameter(torch.randn(channels, _FEATURES, hidden) * spread)
        self.first_bias = nn.Parameter(torch.zeros(groups, hidden))
        self.odd_first = nn.Parameter(torch.randn(channels, _KINDS, hidden) * spread)
        self.odd_first_bias = nn.Parameter(torch.zeros(groups, hidden))
        self.width = nn.Linear(1, hidden)
        self.second = nn.Linear(hidden, middle)
        self.second_bias = nn.Parameter(torch.zeros(groups, middle))
        self.heads_first = nn.Parameter(torch.randn(hidden, 2 * channels) * 0.02)
        self.heads_second = nn.Parameter(torch.randn(middle, 2 * channels) * 0.02)
        self.heads_bias = nn.Parameter(torch.zeros(2, channels))
        self.odd_bias = nn.Parameter(torch.zeros(2, channels))
        self.by_width = nn.Parameter(torch.zeros(channels))
        self.predictor = nn.Parameter(torch.zeros(channels, 2, channels))
        self.odd_predictor = nn.Parameter(torch.zeros(channels, channels))
        group = torch.repeat_interleave(torch.arange(groups), torch.tensor(self.groups))
        earlier = (group[:, None] < group).float()[:, None]
        self.register_buffer("earlier", earlier, persistent=False)
        self.register_buffer("same", (group[:, None] == group).float(), persistent=False)

    def forward(
        self, y: Tensor, interval: Tensor, y_hat: Tensor, step: Tensor, width: Tensor
    ) -> Tensor:
        """Bits of intervals around the latents ``y`` of all groups but the first.

        ``y`` and ``interval``: ``(B, C - K, h, w)``, as the result; ``y_hat`` and ``step``: all
        latents as the decoder knows them, ``(B, C, h, w)``; ``width``: `networks.width_of` each
        picture's nominal step, ``(B, 1)``.
        """
        mean, sigma = self.predict(y_hat, step, width)
        probability = interval_probability((y - mean).abs(), sigma, interval)
        return -torch.log2(probability.clamp_min(_LEAST))

    def predict(self, y_hat: Tensor, step: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, ``(B, C - K, h, w)``; the arguments are `forward`'s."""
        batch, channels, rows, columns = y_hat.shape
        seen, odd = self._seen(y_hat, step), _odd_cells(batch, rows, columns).to(y_hat)
        values = seen[:, :, ::_KINDS]
        predicted = values.flatten(1) @ (self.predictor * self.earlier).flatten(0, 1)
        predicted = predicted + odd * (values[:, :, 1] @ (self.odd_predictor * self.same))
        widths = (width + torch.zeros(rows * columns).to(width)).view(-1, 1)
        heads = self._heads(seen, odd, widths)
        first = self.groups[0]
        means = heads[:, 0] + predicted[:, first:]
        scales = heads[:, 1] + self.by_width[first:] * widths
        mean, scale = (
            z.view(batch, rows, columns, channels - first).permute(0, 3, 1, 2)
            for z in (means / _VALUE_SCALE, scales)
        )
        return mean, torch.exp(scale.clamp(-8, 8))

    def _heads(self, seen: Tensor, odd: Tensor, widths: Tensor) -> Tensor:
        """Mean and logarithm of the scale of each cell's latents: ``(B h w, 2, C - K)``."""
        sums, parts = self.width(widths), []
        sizes = list(self.groups)
        widths_of_heads = [2 * size for size in sizes]
        features = zip(
            torch.split(seen, sizes, 1),
            torch.split(seen[:, :, _KINDS:], sizes, 1),
            torch.split(self.first, sizes),
            torch.split(self.odd_first, sizes),
            torch.split(self.heads_first, widths_of_heads, 1),
            torch.split(self.heads_second, widths_of_heads, 1),
            strict=True,
        )
        for group, (news, beside, shared, for_odd, *heads_of) in enumerate(features):
            if group > 0:  # the first one has static tables
                odd_sums = beside.flatten(1) @ for_odd.flatten(0, 1) + self.odd_first_bias[group]
                unit = functional.relu(sums + self.first_bias[group] + odd * odd_sums)
                middle = functional.relu(self.second(unit) + self.second_bias[group])
                heads = unit @ heads_of[0] + middle @ heads_of[1]
                parts.append(heads.view(-1, 2, self.groups[group]))
            sums = sums + news.flatten(1) @ shared.flatten(0, 1)
        first = self.groups[0]
        heads = torch.cat(parts, 2) + self.heads_bias[:, first:]
        return heads + odd[..., None] * self.odd_bias[:, first:]

    def _seen(self, y_hat: Tensor, step: Tensor) -> Tensor:
        """The features of every channel: ``(B h w, C, 6)``."""
        sign = torch.tanh(y_hat / step * _SIGN_SLOPE)
        own = torch.stack([y_hat * _VALUE_SCALE, sign, sign.abs()], 2)
        wide = functional.pad(own.flatten(1, 2), (1, 1, 1, 1))
        around = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
        around = around + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
        both = torch.cat([own, around.view_as(own)], 2)
        return both.permute(0, 3, 4, 1, 2).flatten(0, 2)


def interval_probability(off: Tensor, sigma: Tensor, interval: Tensor) -> Tensor:
    """Of an interval of a width whose middle is ``off`` from a Gaussian's mean."""
    sigma = sigma.maximum(interval * _SMALLEST_SCALE)
    return _normal((0.5 * interval - off) / sigma) - _normal((-0.5 * interval - off) / sigma)


def interpolation(count: int) -> Tensor:
    """``(count, NODES)``: frequencies from parameters at the nodes, linear in log2(1 + frequency).

    What a picture has at a low frequency does not depend on how many pixels it is reduced to, so
    one table of absolute frequencies serves all sizes.
    """
    place = torch.log2(1 + torch.arange(count).float())
    return (1 - (place[:, None] - torch.arange(NODES)).abs()).clamp_min(0)


def _root_of_cells(y: Tensor) -> Tensor:
    """Square root of the number of cells of ``y`` ``(B, C, h, w)``."""
    return torch.ones_like(y[0, 0]).sum().sqrt()


def _frequency_sums(rows: int, columns: int) -> Tensor:
    return (torch.arange(rows)[:, None] + torch.arange(columns)).float()


def _earlier_taps(channels: int, side: int) -> Tensor:
    """``(K, K, side, side)``: 1 for coefficients that come before the one in the middle."""
    offset = torch.arange(side) - side // 2
    before = (offset[:, None] + offset < 0).float().expand(channels, channels, side, side).clone()
    before[:, :, side // 2, side // 2] = torch.ones(channels, channels).tril(-1)
    return before


def _odd_cells(batch: int, rows: int, columns: int) -> Tensor:
    """``(B h w, 1)``: 1 for cells whose row and column add up to an odd number."""
    odd = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2
    return odd.float().flatten().repeat(batch)[:, None]


def _normal(z: Tensor) -> Tensor:
    """The normal distribution function."""
    return 0.5 * torch.erfc(-z * 0.5**0.5)
