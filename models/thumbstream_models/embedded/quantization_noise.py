"""How finely latents are known in training: all to the same step, or to a random truncation state.

A picture's quality u says how far its stream is taken to go. In the first stage it is one step for
all latents; in the second it is a place in the stream: a plane, and the part of the plane's bits
that is spent. Groups that are behind it have the finer step, those before it the coarser one, and
of the group in between a random part of the symbols, so that the synthesis network learns to draw
whatever a cut stream leaves behind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from thumbstream_models.embedded.symbol_layout import Layout

STEP_SLOPE = 1.9
"""Quality u stands for quantisation steps of ``exp(-STEP_SLOPE u)``."""


class Quantiser(Protocol):
    """Steps of the latents, and their values in these steps."""

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """Quantisation step of each latent of ``y`` ``(B, C, h, w)`` at qualities ``(B,)``."""

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """The nearest value of each latent; its gradient goes straight through."""

    def weight_scales(self) -> Mapping[str, Tensor]:
        """Of synthesis weights: what is published of them is so many times what is trained."""


def step_of(quality: Tensor) -> Tensor:
    """The step that a quality stands for."""
    return torch.exp(-STEP_SLOPE * quality)


class Uniform:
    """One step for all latents of a picture."""

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """`step_of` each picture's quality."""
        return step_of(quality)[:, None, None, None].expand_as(y)

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """To whole steps."""
        return y + (torch.round(y / step) * step - y).detach()

    def weight_scales(self) -> Mapping[str, Tensor]:
        """Latents are published as they are."""
        return {}


class Truncated:
    """Random truncation states of an embedded stream. Channels are in the networks' order."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        rank, group = layout.rank(), layout.group_of()
        behind = torch.tensor(layout.shares)
        before = torch.cat([torch.zeros(layout.planes, 1), behind[:, :-1]], 1)
        self._planes, self._depth = layout.planes, math.log(layout.base_step)
        self._scales = torch.tensor(layout.scales)[rank, None, None].to(device)
        self._base = layout.base_step / self._scales
        self._starts = torch.tensor(layout.starts).float()[rank, None, None].to(device)
        self._before = before[:, group][:, rank].to(device)
        self._behind = behind[:, group][:, rank].to(device)

    def levels(self, quality: Tensor, y: Tensor) -> Tensor:
        """To which level each latent of ``y`` is known at qualities ``(B,)``; drawn at random."""
        depth = (self._depth + STEP_SLOPE * quality) / math.log(3)
        plane = depth.floor().clamp(0, self._planes - 1)
        spent = (depth - plane).clamp(0, 1)[:, None]
        before, behind = self._before[plane.long()], self._behind[plane.long()]
        part = ((spent - before) / (behind - before).clamp_min(1e-6)).clamp(0, 1)
        refined = torch.rand(y.shape, device=y.device) < part[:, :, None, None]
        return torch.maximum(plane[:, None, None, None] + refined, self._starts)

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """The width of each latent's interval."""
        return self._base / torch.pow(3.0, self.levels(quality, y))

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """To whole steps, as far as the channel's digits reach."""
        most = (self._base / torch.pow(3.0, self._starts) / 2 - step / 2).clamp_min(0)
        nearest = torch.minimum(torch.maximum(torch.round(y / step) * step, -most), most)
        return y + (nearest - y).detach()

    def weight_scales(self) -> Mapping[str, Tensor]:
        """Weights on latents grow as the latents shrink; those on widths stay."""
        inverse = 1 / self._scales
        return {
            "linear.weight": inverse,
            "input.weight": torch.cat([inverse, torch.ones_like(inverse)]),
        }
