"""Allocates the bytes of a page to its images so that the sum of qualities is near its maximum.

Each measured prefix of an image is a point (bytes, quality); leaving the image out is the point
(0, 0). Only points on the upper concave hull are used, because along the hull the quality gained
per byte never rises. The steps between neighboring points of all hulls are taken in descending
order of quality per byte. If a step does not fit into the remaining bytes, its image gets no
further steps, while the other images continue.

The result is near the maximum: if the first step that does not fit could be taken in part, the
sum of qualities would reach an upper bound for every choice of measured points. The sum that
`allocate` reaches is below this bound by less than the gain of this one step. A larger budget never
lowers the sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """Length of a prefix of an image's stream, and the quality of the prefix."""

    bytes: int
    quality: float


@dataclass(frozen=True, slots=True)
class PageImage:
    """The rate-distortion points of one image of the page."""

    lengths: tuple[int, ...]
    """Lengths of the measured prefixes in bytes, positive and ascending.

    The last is the length of the full stream.
    """
    qualities: tuple[float, ...]
    """Qualities of the measured prefixes, each at least 0."""
    uses: int = 1
    """How often the page shows the image: its bytes are sent once, its quality counts each time."""

    def at(self, length: int) -> Point:
        """Return the point of the longest prefix of at most ``length`` bytes.

        The quality is interpolated linearly between measured prefixes.
        """
        after = bisect_left(self.lengths, length)
        if after == len(self.lengths):
            return Point(self.lengths[-1], self.qualities[-1])
        before, low = (self.lengths[after - 1], self.qualities[after - 1]) if after else (0, 0.0)
        share = (length - before) / (self.lengths[after] - before)
        return Point(length, low + share * (self.qualities[after] - low))


class Allocation(NamedTuple):
    """One point for each image of the page, in the order of the images."""

    points: tuple[Point, ...]
    mean: float
    """Mean quality over all uses of images on the page."""

    @property
    def bytes(self) -> int:
        """Sum of the prefix lengths in bytes."""
        return sum(point.bytes for point in self.points)


class BudgetPlan(NamedTuple):
    """The best allocation of a page's bytes, and the allocation by a uniform limit."""

    best: Allocation
    uniform: Allocation
    """The allocation in which every image has the same limit."""
    uniform_limit: int
    """The limit of ``uniform`` in bytes."""


def plan_budget(images: Sequence[PageImage], total: int) -> BudgetPlan:
    """Plan a page of at most ``total`` bytes: the better of `allocate` and a uniform limit.

    The uniform limit can be better, because it also uses bytes that `allocate` leaves unspent, but
    only by less than the gain of one step.
    """
    limit = uniform_limit([image.lengths[-1] for image in images], total)
    uniform = _allocation(images, [image.at(limit) for image in images])
    best = max(allocate(images, total), uniform, key=lambda allocation: allocation.mean)
    return BudgetPlan(best, uniform, limit)


def allocate(images: Sequence[PageImage], total: int) -> Allocation:
    """Allocate at most ``total`` bytes, step by step along the hulls of ``images``."""
    points = [Point(0, 0.0)] * len(images)
    steps = [
        (gain * image.uses, index, point)
        for index, image in enumerate(images)
        for gain, point in hull(image)
    ]
    steps.sort(key=lambda step: -step[0])  # stable: the steps of one image stay in order
    left, stopped = total, set[int]()
    for _, index, point in steps:
        if index in stopped:
            continue
        more = point.bytes - points[index].bytes
        if more > left:
            stopped.add(index)
            continue
        points[index] = point
        left -= more
    return _allocation(images, points)


def hull(image: PageImage) -> list[tuple[float, Point]]:
    """Return the points after (0, 0) on the upper concave hull of an image's points.

    Each point comes with its marginal gain: the quality per byte of the step that ends at the
    point. The marginal gains are descending.
    """
    corners = [(0.0, Point(0, 0.0))]
    for point in map(Point, image.lengths, image.qualities):
        if point.quality <= corners[-1][1].quality:
            continue
        gain = _marginal_gain(corners[-1][1], point)
        while len(corners) > 1 and corners[-1][0] <= gain:
            corners.pop()
            gain = _marginal_gain(corners[-1][1], point)
        corners.append((gain, point))
    return corners[1:]


def uniform_limit(lengths: Sequence[int], total: int) -> int:
    """Return the highest uniform limit for which all prefixes have at most ``total`` bytes in sum.

    ``lengths``: lengths of the full streams in bytes.
    """
    left = total
    for done, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - done)
        if length > share:
            return share
        left -= length
    return max(lengths, default=0)


def _marginal_gain(start: Point, end: Point) -> float:
    return (end.quality - start.quality) / (end.bytes - start.bytes)


def _allocation(images: Sequence[PageImage], points: Sequence[Point]) -> Allocation:
    uses = sum(image.uses for image in images)
    quality = sum(i.uses * point.quality for i, point in zip(images, points, strict=True))
    return Allocation(tuple(points), quality / uses if uses else 0.0)
