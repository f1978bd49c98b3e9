"""How finely latents are known in training: to one step, or as a truncated stream leaves them.

An embedded stream refines latents plane by plane. A plane halves every interval; the one around 0
is twice as wide as the others (a dead zone, as in JPEG 2000), so that it is cut in four, of which
the two in the middle stay together::

    step 1     |---------------|---------------+---------------|---------------|
    step 1/2   |-------|-------|-------|-------+-------|-------|-------|-------|

Latents are in `CLASSES` classes, whose steps are offset by a fraction of a plane. Each class has
strong and weak channels, low and high frequencies. So wherever a stream is cut, all steps are
within a factor of ``sqrt(2)`` of the nominal one, and those of every kind are so on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP_SLOPE = 1.5
"""Quality u stands for a nominal step of ``exp(-STEP_SLOPE u)``."""
CLASSES = 4
_TOWARDS_ZERO = 0.06
"""In steps: small values are more probable, so that an interval's mean is nearer to 0 than its
middle."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Latents as a decoder knows them; all are ``(B, C, h, w)``."""

    value: Tensor
    """What is drawn; gradients go straight through to the latents."""
    step: Tensor
    centre: Tensor
    """Of the interval that the rate is measured of."""
    interval: Tensor
    """Its width."""


def nominal_steps(quality: Tensor) -> Tensor:
    """Of pictures of qualities ``(B,)``: ``(B,)``."""
    return torch.exp(-STEP_SLOPE * quality)


def uniform(y: Tensor, nominal: Tensor, *, noise: bool) -> Quantised:
    """All latents of a picture to whole steps ``nominal`` ``(B,)``.

    With ``noise`` the intervals are around the latents plus uniform noise: that has the rate of
    rounding, and a slope.
    """
    step = nominal[:, None, None, None].expand_as(y)
    known = torch.round(y / step) * step
    return Quantised(_straight_through(y, known), step, _centre(y, known, step, noise), step)


def truncated(y: Tensor, nominal: Tensor, first: int, *, noise: bool) -> Quantised:
    """In the state of an embedded stream whose steps are near ``nominal`` ``(B,)``.

    The ``first`` channels are coefficients of the DCT over cells.
    """
    step = truncated_steps(nominal, phases(first, y))
    count = torch.floor(y.abs() / step)
    zero = count == 0
    interval = torch.where(zero, 2 * step, step)
    middle = torch.where(zero, torch.zeros_like(y), torch.sign(y) * (count + 0.5) * step)
    value = middle - torch.sign(middle) * _TOWARDS_ZERO * step
    return Quantised(
        _straight_through(y, value), step, _centre(y, middle, interval, noise), interval
    )


def truncated_steps(nominal: Tensor, phase: Tensor) -> Tensor:
    """Steps of latents of phases ``(C, h, w)``: ``(B, C, h, w)``.

    A latent of phase f has the nearest of the steps ``2^-(n + f)``, n integer.
    """
    depth = -torch.log2(nominal)[:, None, None, None]
    return torch.pow(2.0, -(torch.floor(depth - phase + 0.5) + phase))


def phases(first: int, like: Tensor) -> Tensor:
    """Of the latents of ``like`` ``(B, C, h, w)``, as fractions of a plane: ``(C, h, w)``."""
    channels, rows, columns = like.shape[1:]
    channel = torch.arange(channels, device=like.device)[:, None, None]
    row = torch.arange(rows, device=like.device)[:, None]
    column = torch.arange(columns, device=like.device)
    frequency = torch.where(channel < first, 3 * row + 2 * column, torch.zeros_like(row + column))
    return ((channel + frequency) % CLASSES).to(like) / CLASSES


def _straight_through(y: Tensor, known: Tensor) -> Tensor:
    return y + (known - y).detach()


def _centre(y: Tensor, middle: Tensor, interval: Tensor, noise: bool) -> Tensor:
    return y + (torch.rand_like(y) - 0.5) * interval if noise else middle
