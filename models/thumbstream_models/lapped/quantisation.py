"""How finely latents are known in training: as a truncated stream leaves them.

An embedded stream refines latents plane by plane. A plane halves every interval; the one around 0
is twice as wide as the others (a dead zone, as in JPEG 2000), so that it is cut in four, of which
the two in the middle stay together::

    step 1     |---------------|---------------+---------------|---------------|
    step 1/2   |-------|-------|-------|-------+-------|-------|-------|-------|

Latents are in `CLASSES` classes, whose steps are offset by a fraction of a plane. Each class has
strong and weak channels, low and high frequencies. So wherever a stream is cut, all steps are
within a factor of ``sqrt(2)`` of the nominal one, and those of every kind are so on average.

A stream begins with the planes of the first group alone, down to `FIRST_LOOK_DEPTH`: a page draws
them without a network. The planes of the other groups follow until they are as fine, and then those
of all groups together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thumbstream.codec.lapped.params import CLASSES
from thumbstream.codec.lapped.planes import RECONSTRUCTION_POINT

STEP_SLOPE = 1.5
"""Where all groups are equally fine, quality u stands for a nominal step of
``exp(-STEP_SLOPE u)``."""
FIRST_LOOK_DEPTH = -0.5
"""A latent of phase f has the steps ``2^-(n + f)``. Those of the first group with ``n + f`` up to
this come before all others: some 18 bytes at 32 x 32."""
_NOMINAL = 0.375
"""From the mean depth of the latents whose passes have come up to a depth, to that depth."""
_LOOK_QUALITY, _JOINT_QUALITY = -0.55, -0.4
"""Between these the other groups follow. Before, the first group grows finer from
`_SLOPE_ALONE`; bytes at a quality are about those of a stream without a first look."""
_SLOPE_ALONE = 2.93
"""Planes per quality."""
_START_DEPTH = -2.7
"""Mean depth at which nearly all latents of the other groups are 0."""
SHIFT_TOWARDS_ZERO = 1 / 2 - RECONSTRUCTION_POINT
"""In steps: small values are more probable, so that an interval's mean is nearer to 0 than its
middle."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where streams are cut; of each picture, ``(B,)``."""

    first: Tensor
    """Nominal step of the first group."""
    others: Tensor
    """Nominal step of the other groups."""
    begun: Tensor
    """Whether the stream has anything of these."""


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


def cuts(quality: Tensor) -> Cut:
    """Of streams of pictures of qualities ``(B,)``."""
    together = quality * (STEP_SLOPE / math.log(2))
    look = FIRST_LOOK_DEPTH - _NOMINAL
    past = quality - _LOOK_QUALITY
    alone = look + _SLOPE_ALONE * past.clamp(max=0)
    joint = _JOINT_QUALITY * STEP_SLOPE / math.log(2)
    rise = (joint - _START_DEPTH) / (_JOINT_QUALITY - _LOOK_QUALITY)
    following = _START_DEPTH + rise * past.clamp(min=0)
    is_joint = quality >= _JOINT_QUALITY
    first, others = (torch.where(is_joint, together, z) for z in (alone, following))
    return Cut(torch.pow(2.0, -first), torch.pow(2.0, -others), past >= 0)


def truncated(y: Tensor, cut: Cut, first: int, *, noise: bool) -> Quantised:
    """Latents as a decoder knows them that has the stream up to ``cut``.

    The ``first`` channels are coefficients of the DCT over cells. With ``noise`` the intervals are
    around the latents plus uniform noise: that has the rate of rounding, and a slope.
    """
    channel = torch.arange(y.shape[1], device=y.device)
    nominal = torch.where(channel < first, cut.first[:, None], cut.others[:, None])
    q = known_to(y, truncated_steps(nominal, phases(first, y)), noise=noise)
    known = (channel < first) | cut.begun[:, None]
    return replace(q, value=q.value * known[:, :, None, None])


def known_to(y: Tensor, step: Tensor, *, noise: bool) -> Quantised:
    """Latents that are known to steps ``(B, C, h, w)``; ``noise`` as in `truncated`."""
    count = torch.floor(y.abs() / step)
    zero = count == 0
    interval = torch.where(zero, 2 * step, step)
    middle = torch.where(zero, torch.zeros_like(y), torch.sign(y) * (count + 0.5) * step)
    value = _straight_through(y, middle - torch.sign(middle) * SHIFT_TOWARDS_ZERO * step)
    return Quantised(value, step, _centre(y, middle, interval, noise), interval)


def truncated_steps(nominal: Tensor, phase: Tensor) -> Tensor:
    """Steps of latents of phases ``(C, h, w)`` near ``nominal`` ones ``(B, C)``: ``(B, C, h, w)``.

    A latent of phase f has the nearest of the steps ``2^-(n + f)``, n integer.
    """
    depth = -torch.log2(nominal)[:, :, None, None]
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
