"""How finely latents are known in training: to one step, or as a truncated stream leaves them.

An embedded stream refines one group of channels after the other, plane by plane; a plane has a
third of the step of the one before. Groups are offset: the steps of group ``g`` of ``G`` are
``3^(-g / G)`` times those of the first, so that wherever a stream is cut all steps are within a
factor of ``sqrt(3)`` of the nominal one. Of the group that is cut, a random part of the latents is
known to the finer step.

Each channel has a scale of its own, which the training learns: what is multiplied before the
quantisation is divided after it, so that a larger scale is a finer step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEP_SLOPE = 1.5
"""Quality u stands for a nominal step of ``exp(-STEP_SLOPE u)``."""


def nominal_steps(quality: Tensor) -> Tensor:
    """Of pictures of qualities ``(B,)``: ``(B,)``."""
    return torch.exp(-STEP_SLOPE * quality)


def uniform_steps(nominal: Tensor, like: Tensor) -> Tensor:
    """One step for all latents of a picture: ``(B,)`` to the shape of ``like``."""
    return nominal[:, None, None, None].expand_as(like)


def truncated_steps(nominal: Tensor, groups: tuple[int, ...], like: Tensor) -> Tensor:
    """The step of each latent of ``like`` ``(B, C, h, w)`` in states near ``nominal`` ``(B,)``."""
    count = len(groups)
    group = torch.repeat_interleave(torch.arange(count), torch.tensor(groups)).to(like)
    depth = -torch.log(nominal)[:, None] / math.log(3) - group / count + 0.5
    level = torch.floor(depth) + group / count
    step = torch.pow(3.0, -level)[:, :, None, None]
    # Just after its turn has begun a group is refined in part.
    refined = (depth - torch.floor(depth))[:, :, None, None] * count
    return torch.where(torch.rand_like(like) < refined, step, 3 * step)


def rounded(y: Tensor, step: Tensor) -> Tensor:
    """To whole steps; the gradient goes straight through."""
    return y + (torch.round(y / step) * step - y).detach()


def noisy(y: Tensor, step: Tensor) -> Tensor:
    """With uniform noise of one step, which has the rate of rounding and a slope."""
    return y + (torch.rand_like(y) - 0.5) * step
