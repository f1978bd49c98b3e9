"""What a decoder of format 8 knows of latents, as the integers of docs/bitstream.md.

Latents are those of `model.Transform.latents`, ``(B, C, h, w)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from thumbstream.codec.lapped.params import CLASSES, MAX_MAGNITUDE, UNIT_PLANE
from thumbstream.codec.lapped.planes import STEP_RATIOS
from thumbstream.codec.lapped.probabilities import MEAN_STEPS, SCALES, UNIT_SCALE

SCALE_OCTAVE = 8
_LEAST = 2.0**-16
"""Smallest probability of a decision."""
_FARTHEST_MEAN, _FARTHEST_MIDDLE = 4.0, 8.0
_SAFETY = 1.5
"""Starts leave room for latents larger by this factor than those of the fit."""


def limited_scale(scale: Tensor) -> Tensor:
    """Clip to the scales that have tables; the gradient goes through, so none is stuck."""
    return scale + (scale.clamp(0, SCALES - 1) - scale).detach()


def step_of(plane: Tensor | float) -> Tensor:
    """Of planes."""
    return torch.exp2((UNIT_PLANE - torch.as_tensor(plane).double()) / CLASSES).float()


def integers(y: Tensor, level: Tensor) -> Tensor:
    """The ``q`` of latents known to ``level``, as floats."""
    return torch.sign(y) * torch.floor(y.abs() / step_of(level))


def last_levels(classes: Tensor, plane: Tensor | int) -> Tensor:
    """The last plane of each class up to ``plane``; negative before the first one."""
    return plane - (plane - classes) % CLASSES


def values(q: Tensor, level: Tensor, plane: int) -> Tensor:
    """``x``: in eighths of the step of ``plane``, as floats."""
    above = plane - level
    factor = torch.tensor(STEP_RATIOS, dtype=torch.float64)[above % CLASSES]
    down = torch.exp2(7 - torch.floor(above / CLASSES).double())
    x = torch.floor((16 * q.abs().double() + 7) * factor / down)
    return torch.sign(q) * torch.where(q == 0, 0.0, x).float()


def magnitudes(x: Tensor) -> Tensor:
    """``m``: a logarithm of values, 0 to 15."""
    return _TABLE[x.abs().clamp(max=len(_TABLE) - 1).long()]


def _magnitude(x: int) -> int:
    y = x + 8
    n = int(math.log2(y))
    return 4 * (n - 3) + ((y >> (n - 2)) & 3)


_TABLE = torch.tensor([float(_magnitude(x)) for x in range(120)])
assert _TABLE.max() == MAX_MAGNITUDE


def starts(largest: Tensor, classes: Tensor) -> Tensor:
    """First planes of channels of ``classes`` whose latents reach ``largest``."""
    plane = UNIT_PLANE - CLASSES * torch.log2(largest * _SAFETY / 2)
    return last_levels(classes, plane.floor().long().clamp_min(CLASSES - 1))


def limited(y: Tensor, start: Tensor) -> Tensor:
    """Latents that the first plane of each, ``start``, can represent."""
    most = 2 * step_of(start) * (1 - 1e-6)
    return torch.maximum(torch.minimum(y, most), -most)


def bits(y: Tensor, before: Tensor, plane: int, mean: Tensor, scale: Tensor) -> Tensor:
    """Of the symbols of ``plane`` of latents with integers ``before``.

    ``mean`` is in eighths of the step, ``scale`` an index; both may be fractions.
    """
    s = torch.exp2((scale - UNIT_SCALE) / SCALE_OCTAVE)
    after = integers(y, torch.tensor(plane))
    zero = before == 0
    a = (mean.abs() / MEAN_STEPS).clamp(max=_FARTHEST_MEAN)
    above, below = _probability(1 - a, 2 - a, s), _probability(-2 - a, -1 - a, s)
    outside = above + below
    significant = outside / (outside + _probability(-1 - a, 1 - a, s)).clamp_min(1e-37)
    along = above / outside.clamp_min(1e-37)
    forward = torch.sign(after) * torch.where(mean < 0, -1.0, 1.0)
    first = _information(significant, after != 0)
    first = first + (after != 0) * _information(along, forward > 0)
    towards = mean * torch.sign(before) / MEAN_STEPS
    t = 2 * before.abs() + 1 - towards
    x = t.abs().clamp(max=_FARTHEST_MIDDLE)
    outer = _probability(x, x + 1, s) / _probability(x - 1, x + 1, s).clamp_min(1e-37)
    upper = after.abs() > 2 * before.abs()
    refined = _information(outer, upper == (t >= 0))
    return torch.where(zero, first, refined)


def _probability(low: Tensor, high: Tensor, s: Tensor) -> Tensor:
    """Of an interval, of the logistic distribution of scale ``s``."""
    one, two = _tail(low, s), _tail(high, s)
    same = torch.where(low >= 0, one - two, two - one)
    return torch.where((low < 0) & (high > 0), 1 - one - two, same)


def _tail(x: Tensor, s: Tensor) -> Tensor:
    return torch.sigmoid(-x.abs() / s)


def _information(probability: Tensor, true: Tensor) -> Tensor:
    p = probability.clamp(_LEAST, 1 - _LEAST)
    return -torch.log2(torch.where(true, p, 1 - p))


def around(x: Tensor) -> Tensor:
    """Sums over the four neighbours of ``(..., h, w)``; outside is 0."""
    wide = functional.pad(x, (1, 1, 1, 1))
    beside = wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
    return wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + beside
