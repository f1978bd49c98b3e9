"""The graph that refines latents for several cuts of a stream at once.

The analysis computes latents in one pass, and one set of latents serves every cut. A few steps down
the gradient of the training's loss at `QUALITIES` make them better there. A spring to where they
were keeps the finer cuts, whose pictures are nearly linear. At last every latent takes the nearest
value to the analysis's that has the same digits up to quality `SETTLED`.

ONNX Runtime has no backward pass, so gradients are explicit. What the synthesis adds and the
predictions of the rate model are computed once: they change slowly, and the gradient through them
brought little. The rate is that of an interval at a uniformly random place around the latent, whose
derivative is a difference of two rates, of logistic distributions as in the integer tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream.codec.lapped.params import SIDE
from thumbstream_models.lapped import distortion, quantisation
from thumbstream_models.lapped.config import DistortionConfig
from thumbstream_models.lapped.linear import COLOURS, from_frequencies, to_frequencies
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.networks import width_of
from thumbstream_models.lapped.quantisation import Cut, Quantised
from thumbstream_models.training.ssim import SIGMA, WINDOW

QUALITIES = (-0.5, 0.0, 0.5)
"""Of the cuts: 20 to 120 bytes at 32 x 32."""
STEPS = 4
SETTLED = 0.2
_SPRING = 0.045
"""Weight of the squared distance to the analysis's latents, as a squared error of pixels."""
_BETAS, _EPSILON = (0.9, 0.95), 0.02
"""Of Adam."""
_MARGIN = 1e-3
"""In steps: latents stay this far inside of an interval."""
_LOGISTIC = 1.702
"""A logistic distribution is nearest to the normal one whose deviation is larger by this factor."""
_SMALLEST_SCALE, _LEAST = 0.12, 1e-30
_C1, _C2 = 0.01**2, 0.03**2
_SAMPLES = COLOURS * SIDE**2
_LEVELS = 127.5


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What is computed once, of each cut of each picture."""

    x: Tensor
    quality: Tensor
    cut: Cut
    known: Tensor
    """``(N, C, 1, 1)``: whether the cut has anything of a channel."""
    first_rate: tuple[Tensor, Tensor, Tensor, Tensor]
    rate: tuple[Tensor, Tensor]
    gains: Tensor
    added: Tensor


class Refinement(nn.Module):
    """``pixels, analysed, latents, rate -> refined, cost``, of any batch and any grid.

    ``pixels``: ``(B, 3, 8 h, 8 w)`` in [-1, 1]. ``analysed``: `Transform.latents` of these, and
    ``latents`` the same or the result of an earlier refinement; ``(B, C, h, w)``, as the result.
    ``rate``: of the first step of Adam, in latents, ``(1, 1, 1, 1)``; it falls to 0. ``cost``: the
    loss of ``latents``, ``(B,)``.
    """

    def __init__(self, net: Transform, config: DistortionConfig) -> None:
        super().__init__()
        self.net, self.config = net, config

    def forward(
        self, pixels: Tensor, analysed: Tensor, latents: Tensor, rate: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine ``latents`` by `STEPS` steps of Adam; and their loss before."""
        fixed = self._fixed(pixels, latents)
        cost = self._cost(latents, analysed, fixed)
        pull = _SPRING * (2 * _LEVELS**2 / _SAMPLES) / self.net.scales().square()
        mean, square = torch.zeros_like(latents), torch.zeros_like(latents)
        for step in range(STEPS):
            slope = self._slope(latents, fixed) + pull * (latents - analysed)
            mean = _BETAS[0] * mean + (1 - _BETAS[0]) * slope
            square = _BETAS[1] * square + (1 - _BETAS[1]) * slope.square()
            first, second = (1 - beta ** (step + 1) for beta in _BETAS)
            direction = mean / first / ((square / second).sqrt() + _EPSILON)
            latents = latents - rate * (1 - step / STEPS) * direction
        return self._settled(latents, analysed), cost

    def _fixed(self, pixels: Tensor, latents: Tensor) -> _Fixed:
        quality = torch.tensor(QUALITIES).to(latents)[:, None]
        quality = (quality + torch.zeros_like(latents[:, 0, 0, 0])).flatten()
        cut, first = quantisation.cuts(quality), self.net.groups[0]
        y = latents.repeat(len(QUALITIES), 1, 1, 1)
        q = quantisation.truncated(y, cut, first, noise=False)
        y_hat = torch.cat([from_frequencies(q.value[:, :first]), q.value[:, first:]], 1)
        widths = (width_of(nominal)[:, None] for nominal in (cut.first, cut.others))
        first_rate = self.net.frequencies.predict(
            q.value[:, :first], q.step[:, :first], next(widths)
        )
        rate = self.net.context.predict(y_hat, q.step, next(widths))
        y_hat, width = self.net.described(y_hat, q.step)
        gate = cut.others.clamp(max=1)[:, None, None, None]
        channel = torch.arange(latents.shape[1])
        known = (channel < first) | cut.begun[:, None]
        return _Fixed(
            pixels.repeat(len(QUALITIES), 1, 1, 1),
            quality,
            cut,
            known[:, :, None, None].to(latents),
            first_rate,
            rate,
            self.net.synthesis.gains(width),
            self.net.synthesis(y_hat, width) * gate,
        )

    def _cost(self, latents: Tensor, analysed: Tensor, fixed: _Fixed) -> Tensor:
        """The loss of all cuts, and the spring's: ``(B,)``."""
        q, x_hat = self._drawn(latents, fixed)
        bits = _bits(q.centre, q.interval, self.net.groups[0], fixed) * fixed.known
        weight = distortion.lagrangian(fixed.quality)
        cells = torch.ones_like(latents[0, 0]).sum()
        error = _distortion(fixed.x, x_hat, fixed.quality, self.config)
        loss = bits.sum((1, 2, 3)) / 8 + weight * cells * error
        loss = distortion.balanced(loss, weight).view(len(QUALITIES), -1).sum(0)
        moved = ((latents - analysed) / self.net.scales()).square().sum((1, 2, 3))
        return loss + moved * (_SPRING * _LEVELS**2 / _SAMPLES)

    def _drawn(self, latents: Tensor, fixed: _Fixed) -> tuple[Quantised, Tensor]:
        """Latents ``(B, C, h, w)`` as decoders know them at all cuts, and their pictures."""
        first = self.net.groups[0]
        y = latents.repeat(len(QUALITIES), 1, 1, 1)
        q = quantisation.truncated(y, fixed.cut, first, noise=False)
        y_hat = torch.cat([from_frequencies(q.value[:, :first]), q.value[:, first:]], 1)
        return q, self.net.linear.inverse(y_hat / self.net.scales() * fixed.gains) + fixed.added

    def _slope(self, latents: Tensor, fixed: _Fixed) -> Tensor:
        """Derivative of the loss of all cuts with respect to the latents ``(B, C, h, w)``."""
        first, scales = self.net.groups[0], self.net.scales()
        y = latents.repeat(len(QUALITIES), 1, 1, 1)
        q, x_hat = self._drawn(latents, fixed)
        by_pixel = distortion_slope(fixed.x, x_hat, fixed.quality, self.config)
        through = self.net.linear(self.net.linear.blocks(by_pixel)) * fixed.gains / scales
        through = torch.cat([to_frequencies(through[:, :first]), through[:, first:]], 1)
        bits = (_bits(y + side * q.interval, q.interval, first, fixed) for side in (0.5, -0.5))
        rate = (next(bits) - next(bits)) / q.interval / 8
        weight = distortion.lagrangian(fixed.quality)
        share = distortion.balanced(torch.ones_like(weight), weight)[:, None, None, None]
        slope = (rate + weight[:, None, None, None] * through) * fixed.known * share
        return slope.view(-1, *latents.shape).sum(0)

    def _settled(self, latents: Tensor, analysed: Tensor) -> Tensor:
        """``analysed``, moved into the intervals that ``latents`` are in at `SETTLED`."""
        first = self.net.groups[0]
        cut = quantisation.cuts(torch.full_like(latents[:, 0, 0, 0], SETTLED))
        q = quantisation.truncated(latents, cut, first, noise=False)
        reach = q.interval / 2 - _MARGIN * q.step
        # The middle of an interval: values are nearer to zero.
        middle = q.value + torch.sign(q.value) * quantisation.SHIFT_TOWARDS_ZERO * q.step
        return torch.maximum(torch.minimum(analysed, middle + reach), middle - reach)


def _bits(y: Tensor, interval: Tensor, first: int, fixed: _Fixed) -> Tensor:
    mean, wide, narrow, part = fixed.first_rate
    off, width = (y[:, :first] - mean).abs(), interval[:, :first]
    mixed = part * _logistic(off, wide, width) + (1 - part) * _logistic(off, narrow, width)
    mean, sigma = fixed.rate
    other = _logistic((y[:, first:] - mean).abs(), sigma, interval[:, first:])
    return -torch.log2(torch.cat([mixed, other], 1).clamp_min(_LEAST))


def _logistic(off: Tensor, sigma: Tensor, interval: Tensor) -> Tensor:
    """`rate.interval_probability` of logistic distributions."""
    scale = sigma.maximum(interval * _SMALLEST_SCALE) / _LOGISTIC
    # Not the sigmoid of ONNX Runtime, which is never below 1e-8: improbable latents would cost 99
    # bits.
    near, far = (torch.exp(((off - side * interval) / scale).clamp(max=80)) for side in (0.5, -0.5))
    return 1 / (1 + near) - 1 / (1 + far)


def distortion_slope(x: Tensor, x_hat: Tensor, quality: Tensor, config: DistortionConfig) -> Tensor:
    """Derivative of `distortion.distortion`, times the cells, with respect to ``x_hat``."""
    error, similarity, chroma = (
        z[:, None, None, None] for z in distortion.weights(quality, config)
    )
    off = x_hat - x
    cells = torch.ones_like(x[0]).sum() / _SAMPLES
    slope = error * off * (2 * _LEVELS**2 / _SAMPLES)
    slope = slope - similarity * cells * _Similarity((x + 1) / 2, (x_hat + 1) / 2).slope() / 2
    return slope + chroma * _chroma_slope(off)


def _chroma_slope(off: Tensor) -> Tensor:
    """Of `distortion.chroma_error`."""
    side, areas = distortion.AREA, 2 * (SIDE // distortion.AREA) ** 2
    matrix = torch.tensor(distortion.CHROMA).to(off)
    pooled = functional.avg_pool2d(functional.conv2d(off, matrix[:, :, None, None]), side)
    by_area = functional.conv2d(pooled, matrix.T[:, :, None, None]).repeat_interleave(side, 2)
    return by_area.repeat_interleave(side, 3) * (2 * _LEVELS**2 / areas / side**2)


def _distortion(x: Tensor, x_hat: Tensor, quality: Tensor, config: DistortionConfig) -> Tensor:
    """`distortion.distortion` of pictures of any size."""
    error, similarity, chroma = distortion.weights(quality, config)
    maps = _Similarity((x + 1) / 2, (x_hat + 1) / 2)
    return (
        error * distortion.squared_error(x, x_hat)
        + similarity * (1 - maps.mean())
        + chroma * distortion.chroma_error(x, x_hat)
    )


class _Similarity:
    """SSIM of pictures in [0, 1], as maps of every place of the window."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b
        self.down, self.across = (windows(side).to(a) for side in a.shape[2:])
        seen = self.down.sum(1)[:, None] * self.across.sum(1)
        self.share = seen / (COLOURS * seen.sum())  # of each sample of the maps in the mean
        maps = (self.down @ z @ self.across.T for z in (a, b, a * a, b * b, a * b))
        self.mu_a, self.mu_b, aa, bb, ab = maps
        self.b1 = self.mu_a**2 + self.mu_b**2 + _C1
        self.b2 = aa - self.mu_a**2 + bb - self.mu_b**2 + _C2
        self.luminance = (2 * self.mu_a * self.mu_b + _C1) / self.b1
        self.structure = (2 * (ab - self.mu_a * self.mu_b) + _C2) / self.b2

    def mean(self) -> Tensor:
        """``(N,)``."""
        return (self.luminance * self.structure * self.share).sum((1, 2, 3))

    def slope(self) -> Tensor:
        """Derivative of the mean with respect to ``b``."""
        by_mean = 2 * (self.mu_a - self.luminance * self.mu_b) / self.b1 * self.structure
        by_mean = by_mean + 2 * self.luminance * (self.structure * self.mu_b - self.mu_a) / self.b2
        by_product = 2 * self.luminance / self.b2
        maps = by_mean, -0.5 * by_product * self.structure, by_product
        mean, square, product = (self.down.T @ (z * self.share) @ self.across for z in maps)
        return mean + 2 * self.b * square + self.a * product


def windows(side: int) -> Tensor:
    """SSIM's window at every position along a side: ``(side, side)``.

    Rows of windows that exceed an edge are zero; tiny pictures have a smaller window, as in
    `thumbstream.codec.quality`.
    """
    place = torch.arange(side).float()
    last = torch.ones_like(place).sum() - 1
    half = torch.floor(last / 2).clamp(max=WINDOW // 2)
    offset = torch.arange(WINDOW).float() - WINDOW // 2
    total = (torch.exp(-(offset**2) / (2 * SIGMA**2)) * (offset.abs() <= half)).sum()
    apart = place - place[:, None]
    inside = (place >= half) & (place <= last - half)
    taps = torch.exp(-(apart**2) / (2 * SIGMA**2)) / total
    return taps * ((apart.abs() <= half) & inside[:, None])
