"""A page's bytes, allocated to its images so that their summed quality is highest.

Each measured prefix of an image is a point (bytes, quality); leaving the image out is the point
(0, 0). Only points on the upper concave hull are used: along it, the marginal gain of a byte never
rises. The steps between neighbours on all hulls are taken in the order of quality per byte; if a
step no longer fits, its image gets no further steps, and the others go on.

Distance from the optimum: if steps could be taken in part, this order would be optimal, and no
choice of measured points can do better than that. `allocate` misses less of it than the first step
that did not fit: less than one step of one image in the sum over the page. More bytes never lower
the sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A prefix of an image's stream."""

    bytes: int
    quality: float


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image of the page."""

    lengths: tuple[int, ...]
    """Measured prefixes in bytes: increasing, the first above 0, the last the full stream."""
    qualities: tuple[float, ...]
    """Of the measured prefixes, each at least 0."""
    uses: int = 1
    """How often the page shows it. Its bytes are sent once, its quality counts each time."""

    def at(self, length: int) -> Point:
        """The longest prefix of at most ``length`` bytes; interpolated between measured ones."""
        after = bisect_left(self.lengths, length)
        if after == len(self.lengths):
            return Point(self.lengths[-1], self.qualities[-1])
        before, low = (self.lengths[after - 1], self.qualities[after - 1]) if after else (0, 0.0)
        share = (length - before) / (self.lengths[after] - before)
        return Point(length, low + share * (self.qualities[after] - low))


class Allocation(NamedTuple):
    """A point for each image, in their order."""

    points: tuple[Point, ...]
    mean: float
    """Mean quality over all uses of images on the page."""

    @property
    def bytes(self) -> int:
        """Bytes of the page."""
        return sum(point.bytes for point in self.points)


class BudgetPlan(NamedTuple):
    """How to spend a budget, compared with a uniform limit."""

    best: Allocation
    uniform: Allocation
    """The same limit for every image."""
    uniform_limit: int
    """That limit, bytes."""


def plan_budget(images: Sequence[PageImage], total: int) -> BudgetPlan:
    """The better of `allocate` and a uniform limit, with ``total`` bytes.

    The uniform limit can only be better by what `allocate` left unspent: less than one step.
    """
    limit = uniform_limit([image.lengths[-1] for image in images], total)
    uniform = _allocation(images, [image.at(limit) for image in images])
    best = max(allocate(images, total), uniform, key=lambda allocation: allocation.mean)
    return BudgetPlan(best, uniform, limit)


def allocate(images: Sequence[PageImage], total: int) -> Allocation:
    """At most ``total`` bytes, step by step along the hulls of ``images``."""
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
    """The upper concave hull from (0, 0): each point with the marginal gain of the step to it.

    The marginal gain is quality per byte; it falls from step to step.
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
    """The highest limit with which streams of ``lengths`` bytes have at most ``total`` in sum."""
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
