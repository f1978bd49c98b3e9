"""Quantization in training: one step for all latents, or a random truncation state.

The quality u of a picture stands for the length of its stream. In the first stage it is one step
for all latents. In the second it is a position in the stream: a plane, and the fraction of the
plane's bits. Groups before the position have the finer step, groups after it the coarser one, and
a random part of the symbols of the group at the position is refined, so that the synthesis network
learns to reconstruct any truncated stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from thumbstream_models.embedded.symbol_layout import Layout

STEP_SLOPE = 1.9
"""Quality u stands for quantization steps of ``exp(-STEP_SLOPE u)``."""


class Quantizer(Protocol):
    """Steps of the latents, and their rounded values."""

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """Quantization step of each latent of ``y`` ``(B, C, h, w)`` at qualities ``(B,)``."""

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """Nearest value of each latent, with a straight-through gradient."""

    def weight_scales(self) -> Mapping[str, Tensor]:
        """By name: factor from the trained synthesis weights to the published ones."""


def step_of(quality: Tensor) -> Tensor:
    """Quantization step of a quality."""
    return torch.exp(-STEP_SLOPE * quality)


class Uniform:
    """One step for all latents of a picture."""

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """`step_of` each picture's quality."""
        return step_of(quality)[:, None, None, None].expand_as(y)

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """Rounds to multiples of the step."""
        return y + (torch.round(y / step) * step - y).detach()

    def weight_scales(self) -> Mapping[str, Tensor]:
        """Latents are published without scaling."""
        return {}


class Truncated:
    """Random truncation states of an embedded stream. Channels are in the networks' order."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        rank, group = layout.rank(), layout.group_of()
        end = torch.tensor(layout.shares)
        start = torch.cat([torch.zeros(layout.planes, 1), end[:, :-1]], 1)
        self._planes, self._depth = layout.planes, math.log(layout.base_step)
        self._scales = torch.tensor(layout.scales)[rank, None, None].to(device)
        self._base = layout.base_step / self._scales
        self._starts = torch.tensor(layout.starts).float()[rank, None, None].to(device)
        self._start = start[:, group][:, rank].to(device)
        self._end = end[:, group][:, rank].to(device)

    def levels(self, quality: Tensor, y: Tensor) -> Tensor:
        """Random level of each latent of ``y`` at qualities ``(B,)``."""
        depth = (self._depth + STEP_SLOPE * quality) / math.log(3)
        plane = depth.floor().clamp(0, self._planes - 1)
        spent = (depth - plane).clamp(0, 1)[:, None]
        start, end = self._start[plane.long()], self._end[plane.long()]
        part = ((spent - start) / (end - start).clamp_min(1e-6)).clamp(0, 1)
        refined = torch.rand(y.shape, device=y.device) < part[:, :, None, None]
        return torch.maximum(plane[:, None, None, None] + refined, self._starts)

    def steps(self, quality: Tensor, y: Tensor) -> Tensor:
        """The width of each latent's interval."""
        return self._base / torch.pow(3.0, self.levels(quality, y))

    def rounded(self, y: Tensor, step: Tensor) -> Tensor:
        """Rounds to multiples of the step within the range of the channel's digits."""
        most = (self._base / torch.pow(3.0, self._starts) / 2 - step / 2).clamp_min(0)
        nearest = torch.minimum(torch.maximum(torch.round(y / step) * step, -most), most)
        return y + (nearest - y).detach()

    def weight_scales(self) -> Mapping[str, Tensor]:
        """Weights of latents are divided by the scale of the latents; those of widths are not."""
        inverse = 1 / self._scales
        return {
            "linear.weight": inverse,
            "input.weight": torch.cat([inverse, torch.ones_like(inverse)]),
        }
