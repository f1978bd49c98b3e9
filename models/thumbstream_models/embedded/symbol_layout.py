"""Layout of the embedded symbols of a trained transform.

Channels are sorted by variance, and each has a first plane. Weak channels may be delayed by planes,
which scales their latents. The networks have their own order and scale of channels during training;
`Layout.order` maps the published order to theirs, and the export reorders and scales the weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from thumbstream.codec.embedded.params import EmbeddedParams


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout, determined at the start of the second stage."""

    planes: int
    groups: tuple[int, ...]
    """Sizes of the groups of channels that are coded in one step, in the published order."""
    starts: tuple[int, ...]
    """First plane of every channel, in the published order."""
    base_step: float
    order: tuple[int, ...]
    """Channel of the networks at each published position."""
    scales: tuple[float, ...]
    """Factor from the networks' latents to the published ones, in the published order."""
    shares: tuple[tuple[float, ...], ...]
    """For each plane the fraction of its bits up to each group: increasing to 1."""

    def published(self) -> EmbeddedParams:
        """The same for a manifest."""
        return EmbeddedParams(
            channels=len(self.starts),
            planes=self.planes,
            groups=self.groups,
            starts=self.starts,
            base_step=self.base_step,
        )

    def slices(self) -> list[slice]:
        """Channels of each group, in the published order."""
        ends = list(accumulate(self.groups))
        return [slice(end - size, end) for end, size in zip(ends, self.groups, strict=True)]

    def group_of(self) -> Tensor:
        """Group of each channel in the published order: ``(C,)`` int64."""
        return torch.repeat_interleave(torch.arange(len(self.groups)), torch.tensor(self.groups))

    def rank(self) -> Tensor:
        """Published position of each channel of the networks: ``(C,)`` int64."""
        return torch.tensor(self.order).argsort()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Layout:
        """Read the result of `to_dict`."""
        return cls(**values)


def ladder(y: Tensor, layout: EmbeddedParams) -> list[Tensor]:
    """Integer states of latents ``(B, C, h, w)`` at level 0, 1, ..., planes: float32 each.

    Channels are in the published order. The finest state is the nearest one in the range of the
    channel's digits; coarser ones follow from it. As
    `thumbstream.codec.embedded.quantizer.Nesting`.
    """
    starts = torch.tensor(layout.starts, device=y.device, dtype=torch.float32)
    most = ((torch.pow(3.0, layout.planes - starts) - 1) / 2)[:, None, None]
    finest = torch.round(y / (layout.base_step / 3.0**layout.planes))
    states = [torch.minimum(torch.maximum(finest, -most), most)]
    for _ in range(layout.planes):
        states.append(torch.round(states[-1] / 3))
    return states[::-1]


def chosen_starts(y: Tensor, planes: int, base_step: float, covered: float) -> tuple[int, ...]:
    """The last first plane of each channel that covers the fraction ``covered`` of the pictures.

    ``y`` ``(B, C, h, w)`` are latents of training crops.
    """
    largest = torch.quantile(y.abs().amax((2, 3)), covered, dim=0)
    reach = [base_step / 3.0**level / 2 for level in range(planes)]
    return tuple(
        max((level for level in range(planes) if reach[level] >= most), default=0)
        for most in largest.tolist()
    )
