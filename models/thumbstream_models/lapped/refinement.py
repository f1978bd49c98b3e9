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
from thumbstream_models.lapped import distortion, linear, quantisation
from thumbstream_models.lapped.config import DistortionConfig
from thumbstream_models.lapped.linear import COLOURS
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.networks import width_of
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

    step: Tensor
    """``(N, C, h, w)``."""
    known: Tensor
    """``(N, C, 1, 1)``: whether the cut has anything of a channel."""
    mean: Tensor
    """Of the rate's distributions, ``(N, K + C, h, w)``: both parts of the first group's mixtures,
    then the other latents."""
    sigma: Tensor
    part: Tensor
    gains: Tensor
    added: Tensor
    weight: Tensor
    """Of the distortion, ``(N,)``."""
    share: Tensor
    """`distortion.balanced` loss of 1, ``(N, 1, 1, 1)``."""
    weights: tuple[Tensor, Tensor, Tensor]
    """`distortion.weights`, ``(N, 1, 1, 1)``."""
    pictures: Pictures
    frequencies: tuple[Tensor, Tensor]
    """`linear.cosines` of rows and columns."""
    lapping: tuple[Tensor, Tensor]
    rotation: Tensor
    """Of the colours, ``(N, 3, 3)``."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Latents as decoders know them at all cuts, and the pictures of these."""

    y: Tensor
    centre: Tensor
    interval: Tensor
    x_hat: Tensor
    maps: Similarity


class Refinement(nn.Module):
    """``pixels, rotation, analysed, latents, rate -> refined, cost``, of any batch and any grid.

    ``pixels``: ``(B, 3, 8 h, 8 w)`` in [-1, 1]; ``rotation``: of their colours, ``(B, 3, 3)``.
    ``analysed``: `Transform.latents` of these, and ``latents`` the same or the result of an earlier
    refinement; ``(B, C, h, w)``, as the result.
    ``rate``: of the first step of Adam, in latents, ``(1, 1, 1, 1)``; it falls to 0. ``cost``: the
    loss of ``latents``, ``(B,)``.

    A graph of this size takes its time by operations, not by numbers. So what steps share is
    computed once, and operations on many small tensors are one on their concatenation.
    """

    def __init__(self, net: Transform, config: DistortionConfig) -> None:
        super().__init__()
        self.net, self.config = net, config

    def forward(
        self, pixels: Tensor, rotation: Tensor, analysed: Tensor, latents: Tensor, rate: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine ``latents`` by `STEPS` steps of Adam; and their loss before."""
        fixed = self._fixed(pixels, rotation, latents)
        pull = _SPRING * (2 * _LEVELS**2 / _SAMPLES) / self.net.scales().square()
        mean, square = torch.zeros_like(latents), torch.zeros_like(latents)
        drawn = self._drawn(latents, fixed)
        cost = self._cost(latents, analysed, drawn, fixed)
        for step in range(STEPS):
            slope = self._slope(drawn, latents, fixed) + pull * (latents - analysed)
            mean = _BETAS[0] * mean + (1 - _BETAS[0]) * slope
            square = _BETAS[1] * square + (1 - _BETAS[1]) * slope.square()
            first, second = (1 - beta ** (step + 1) for beta in _BETAS)
            direction = mean / first / ((square / second).sqrt() + _EPSILON)
            latents = latents - rate * (1 - step / STEPS) * direction
            if step + 1 < STEPS:
                drawn = self._drawn(latents, fixed)
        return self._settled(latents, analysed), cost

    def _fixed(self, pixels: Tensor, rotation: Tensor, latents: Tensor) -> _Fixed:
        quality = torch.tensor(QUALITIES).to(latents)[:, None]
        quality = (quality + torch.zeros_like(latents[:, 0, 0, 0])).flatten()
        cut, first = quantisation.cuts(quality), self.net.groups[0]
        y = latents.repeat(len(QUALITIES), 1, 1, 1)
        q = quantisation.truncated(y, cut, first, noise=False)
        frequencies = linear.cosines(y.shape[2], y), linear.cosines(y.shape[3], y)
        y_hat = _cells(q.value, first, frequencies)
        widths = (width_of(nominal)[:, None] for nominal in (cut.first, cut.others))
        mean, wide, narrow, part = self.net.frequencies.predict(
            q.value[:, :first], q.step[:, :first], next(widths)
        )
        rate = self.net.context.predict(y_hat, q.step, next(widths))
        wide, narrow, mean = (z + torch.zeros_like(y[:, :first]) for z in (wide, narrow, mean))
        y_hat, width = self.net.described(y_hat, q.step)
        gate = cut.others.clamp(max=1)[:, None, None, None]
        channel = torch.arange(latents.shape[1])
        known = (channel < first) | cut.begun[:, None]
        x = pixels.repeat(len(QUALITIES), 1, 1, 1)
        edge, weight = self.net.linear.rotation, distortion.lagrangian(quality)
        return _Fixed(
            q.step,
            known[:, :, None, None].to(latents),
            torch.cat([mean, mean, rate[0]], 1),
            torch.cat([wide, narrow, rate[1]], 1),
            part,
            self.net.synthesis.gains(width),
            self.net.synthesis(y_hat, width) * gate,
            weight,
            _of_pictures(distortion.balanced(torch.ones_like(weight), weight)),
            weights_of(quality, self.config),
            Pictures.of(x),
            frequencies,
            (linear.lapping(x.shape[2], edge), linear.lapping(x.shape[3], edge)),
            rotation.repeat(len(QUALITIES), 1, 1),
        )

    def _drawn(self, latents: Tensor, fixed: _Fixed) -> _Drawn:
        """Draw latents ``(B, C, h, w)`` at all cuts."""
        first, (down, across) = self.net.groups[0], fixed.lapping
        y = latents.repeat(len(QUALITIES), 1, 1, 1)
        q = quantisation.known_to(y, fixed.step, noise=False)
        y_hat = _cells(q.value * fixed.known, first, fixed.frequencies)
        blocks = self.net.linear.cells(y_hat / self.net.scales() * fixed.gains)
        drawn = down.T @ blocks @ across + fixed.added
        x_hat = _coloured(drawn, fixed.rotation.transpose(1, 2))
        return _Drawn(y, q.centre, q.interval, x_hat, Similarity(fixed.pictures, x_hat))

    def _cost(self, latents: Tensor, analysed: Tensor, drawn: _Drawn, fixed: _Fixed) -> Tensor:
        """The loss of all cuts, and the spring's: ``(B,)``."""
        bits = _bits(drawn.centre, drawn.interval, self.net.groups[0], fixed) * fixed.known
        error, similarity, chroma = (z.flatten() for z in fixed.weights)
        x, cells = fixed.pictures.x, fixed.pictures.cells
        lost = (
            error * distortion.squared_error(x, drawn.x_hat)
            + similarity * (1 - drawn.maps.mean())
            + chroma * distortion.chroma_error(x, drawn.x_hat)
        )
        loss = bits.sum((1, 2, 3)) / 8 + fixed.weight * cells * lost
        loss = distortion.balanced(loss, fixed.weight).view(len(QUALITIES), -1).sum(0)
        moved = ((latents - analysed) / self.net.scales()).square().sum((1, 2, 3))
        return loss + moved * (_SPRING * _LEVELS**2 / _SAMPLES)

    def _slope(self, drawn: _Drawn, latents: Tensor, fixed: _Fixed) -> Tensor:
        """Derivative of the loss of all cuts with respect to the latents ``(B, C, h, w)``."""
        first, scales, (down, across) = self.net.groups[0], self.net.scales(), fixed.lapping
        by_pixel = _coloured(distortion_slope(drawn.maps, fixed.weights), fixed.rotation)
        blocks = functional.pixel_unshuffle(down @ by_pixel @ across.T, SIDE)
        through = self.net.linear(blocks) * fixed.gains / scales
        through = _coefficients(through, first, fixed.frequencies)
        half = 0.5 * drawn.interval
        sides = torch.stack([drawn.y + half, drawn.y - half])
        bits = _bits(sides, drawn.interval, first, fixed)
        rate = (bits[0] - bits[1]) / drawn.interval / 8
        slope = (rate + _of_pictures(fixed.weight) * through) * fixed.known * fixed.share
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


def _cells(y: Tensor, first: int, frequencies: tuple[Tensor, Tensor]) -> Tensor:
    """Latents of cells, of coefficients of the first channels and latents of the others."""
    rows, columns = frequencies
    return torch.cat([rows.T @ y[:, :first] @ columns, y[:, first:]], 1)


def _coefficients(y: Tensor, first: int, frequencies: tuple[Tensor, Tensor]) -> Tensor:
    """The inverse of `_cells`."""
    rows, columns = frequencies
    return torch.cat([rows @ y[:, :first] @ columns.T, y[:, first:]], 1)


def _bits(y: Tensor, interval: Tensor, first: int, fixed: _Fixed) -> Tensor:
    """Of intervals ``(N, C, h, w)`` around latents ``y`` ``(..., N, C, h, w)``."""
    off = (torch.cat([y[..., :first, :, :], y], -3) - fixed.mean).abs()
    width = torch.cat([interval[:, :first], interval], 1)
    probability = _logistic(off, fixed.sigma, width)
    wide, narrow, others = torch.split(probability, [first, first, interval.shape[1] - first], -3)
    mixed = fixed.part * wide + (1 - fixed.part) * narrow
    return -torch.log2(torch.cat([mixed, others], -3).clamp_min(_LEAST))


def _logistic(off: Tensor, sigma: Tensor, interval: Tensor) -> Tensor:
    """`rate.interval_probability` of logistic distributions."""
    scale, half = sigma.maximum(interval * _SMALLEST_SCALE) / _LOGISTIC, 0.5 * interval
    # Not the sigmoid of ONNX Runtime, which is never below 1e-8: improbable latents would cost 99
    # bits.
    ends = torch.exp((torch.stack([off - half, off + half]) / scale).clamp(max=80))
    near, far = (1 / (1 + ends)).unbind()
    return near - far


def weights_of(quality: Tensor, config: DistortionConfig) -> tuple[Tensor, Tensor, Tensor]:
    """`distortion.weights` of pictures of qualities ``(N,)``, ``(N, 1, 1, 1)`` each."""
    error, similarity, chroma = distortion.weights(quality, config)
    return _of_pictures(error), _of_pictures(similarity), _of_pictures(chroma)


def distortion_slope(maps: Similarity, weights: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Derivative of `distortion.distortion`, times the cells, with respect to ``maps.x_hat``."""
    error, similarity, chroma = weights
    off = maps.x_hat - maps.pictures.x
    slope = error * off * (2 * _LEVELS**2 / _SAMPLES)
    slope = slope - similarity * maps.pictures.cells * maps.slope() / 2
    return slope + chroma * _chroma_slope(off, maps.pictures.areas)


def _coloured(x: Tensor, rotation: Tensor) -> Tensor:
    """`colour_axes.rotated` as one product of matrices."""
    return (rotation @ x.flatten(2)).view_as(x)


def _of_pictures(z: Tensor) -> Tensor:
    return z[:, None, None, None]


def _chroma_slope(off: Tensor, areas: tuple[Tensor, Tensor]) -> Tensor:
    """Of `distortion.chroma_error`."""
    side, samples = distortion.AREA, 2 * (SIDE // distortion.AREA) ** 2
    matrix = torch.tensor(distortion.CHROMA).to(off)
    pooled = functional.avg_pool2d(functional.conv2d(off, matrix[:, :, None, None]), side)
    by_area = functional.conv2d(pooled, matrix.T[:, :, None, None])
    down, across = areas
    return down @ by_area @ across.T * (2 * _LEVELS**2 / samples / side**2)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures ``x`` in [-1, 1] and what a comparison with them needs, computed once."""

    x: Tensor
    a: Tensor
    """In [0, 1]."""
    down: Tensor
    across: Tensor
    share: Tensor
    """Of each sample of the maps in the mean."""
    mu: Tensor
    mu_squared: Tensor
    variance: Tensor
    areas: tuple[Tensor, Tensor]
    """`in_areas` of rows and columns."""
    cells: Tensor
    """Their number, a scalar."""

    @classmethod
    def of(cls, x: Tensor) -> Pictures:
        """``x``: ``(N, 3, H, W)``."""
        a = (x + 1) / 2
        down, across = (windows(side).to(a) for side in a.shape[2:])
        seen = down.sum(1)[:, None] * across.sum(1)
        share = seen / (COLOURS * seen.sum())
        mu, squares = (down @ torch.stack([a, a * a]) @ across.T).unbind()
        areas = in_areas(a.shape[2]).to(a), in_areas(a.shape[3]).to(a)
        cells = torch.ones_like(x[0]).sum() / _SAMPLES
        return cls(x, a, down, across, share, mu, mu**2, squares - mu**2, areas, cells)


class Similarity:
    """SSIM of pictures ``x_hat``, as maps of every place of the window."""

    def __init__(self, pictures: Pictures, x_hat: Tensor) -> None:
        self.pictures, self.x_hat, self.b = pictures, x_hat, (x_hat + 1) / 2
        a, b = pictures.a, self.b
        maps = torch.stack([b, b * b, a * b])
        self.mu_b, bb, ab = (pictures.down @ maps @ pictures.across.T).unbind()
        squared = self.mu_b**2
        self.b1 = pictures.mu_squared + squared + _C1
        self.b2 = pictures.variance + bb - squared + _C2
        self.luminance = (2 * pictures.mu * self.mu_b + _C1) / self.b1
        self.structure = (2 * (ab - pictures.mu * self.mu_b) + _C2) / self.b2

    def mean(self) -> Tensor:
        """``(N,)``."""
        similar: Tensor = (self.luminance * self.structure * self.pictures.share).sum((1, 2, 3))
        return similar

    def slope(self) -> Tensor:
        """Derivative of the mean with respect to ``b``."""
        mu_a, a = self.pictures.mu, self.pictures.a
        by_mean = 2 * (mu_a - self.luminance * self.mu_b) / self.b1 * self.structure
        by_mean = by_mean + 2 * self.luminance * (self.structure * self.mu_b - mu_a) / self.b2
        by_product = 2 * self.luminance / self.b2
        maps = torch.stack([by_mean, -0.5 * by_product * self.structure, by_product])
        maps = maps * self.pictures.share
        slopes = self.pictures.down.T @ maps @ self.pictures.across
        mean, square, product = slopes.unbind()
        return mean + 2 * self.b * square + a * product


def in_areas(side: int) -> Tensor:
    """``(side, areas)``: 1 where a place is in an area."""
    area = torch.arange(side) // distortion.AREA
    return (area[:, None] == area[:: distortion.AREA]).float()


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
