"""A page's bytes, split over its pictures so that the summed quality is highest.

A picture's measured prefixes are points (bytes, quality); not showing it is the point (0, 0). Only
points on the upper concave hull are used: along it, a byte is never worth more than the bytes
before it. The steps between neighbours on all hulls are taken in the order of quality per byte;
when a step no longer fits, its picture stays where it is and the search goes on with the others.

How far that can be from the best: if steps could be taken in part, taking them in this order would
be optimal, and no choice of measured points can beat that. What `greedy` does not reach of it is
less than the one step that did not fit first, so less than one step of one picture in the sum over
the whole page. More bytes never make the sum smaller.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A prefix of a picture's stream."""

    bytes: int
    quality: float


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of the page."""

    lengths: tuple[int, ...]
    """Measured prefixes in bytes: growing, the first above 0, the last the whole stream."""
    qualities: tuple[float, ...]
    """What they are worth, each at least 0."""
    times: int = 1
    """How often the page shows it. Its bytes are sent once, its quality counts each time."""

    def at(self, length: int) -> Point:
        """The longest prefix of at most ``length`` bytes; between two measured ones, on a line."""
        after = bisect_left(self.lengths, length)
        if after == len(self.lengths):
            return Point(self.lengths[-1], self.qualities[-1])
        before, low = (self.lengths[after - 1], self.qualities[after - 1]) if after else (0, 0.0)
        share = (length - before) / (self.lengths[after] - before)
        return Point(length, low + share * (self.qualities[after] - low))


class Split(NamedTuple):
    """A point for each picture, in their order."""

    points: tuple[Point, ...]
    mean: float
    """Quality of the page: the mean over all places where it shows a picture."""

    @property
    def bytes(self) -> int:
        """What the page takes in all."""
        return sum(point.bytes for point in self.points)


class Plan(NamedTuple):
    """How to spend a budget, and what it is worth."""

    best: Split
    equal: Split
    """The yardstick: the same limit for every picture."""
    bytes_each: int
    """That limit."""


def plan(pictures: Sequence[Shown], total: int) -> Plan:
    """The better of `greedy` and equal shares, beside equal shares.

    Equal shares can only be better by what `greedy` left unspent: less than one step.
    """
    each = equal_limit([picture.lengths[-1] for picture in pictures], total)
    equal = _split(pictures, [picture.at(each) for picture in pictures])
    return Plan(max(greedy(pictures, total), equal, key=lambda split: split.mean), equal, each)


def greedy(pictures: Sequence[Shown], total: int) -> Split:
    """At most ``total`` bytes over the hulls of ``pictures``, as told above."""
    points = [Point(0, 0.0)] * len(pictures)
    steps = [
        (worth * picture.times, index, point)
        for index, picture in enumerate(pictures)
        for worth, point in hull(picture)
    ]
    steps.sort(key=lambda step: -step[0])  # stable: a picture's own steps keep their order
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
    return _split(pictures, points)


def hull(picture: Shown) -> list[tuple[float, Point]]:
    """The upper concave hull from (0, 0): points with the worth of the step to each, falling.

    A step's worth is quality per byte.
    """
    corners = [(0.0, Point(0, 0.0))]
    for point in map(Point, picture.lengths, picture.qualities):
        if point.quality <= corners[-1][1].quality:
            continue
        worth = _worth(corners[-1][1], point)
        while len(corners) > 1 and corners[-1][0] <= worth:
            corners.pop()
            worth = _worth(corners[-1][1], point)
        corners.append((worth, point))
    return corners[1:]


def equal_limit(lengths: Sequence[int], total: int) -> int:
    """The highest limit under which streams of ``lengths`` bytes take at most ``total`` in all."""
    left = total
    for done, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - done)
        if length > share:
            return share
        left -= length
    return max(lengths, default=0)


def _worth(start: Point, end: Point) -> float:
    return (end.quality - start.quality) / (end.bytes - start.bytes)


def _split(pictures: Sequence[Shown], points: Sequence[Point]) -> Split:
    places = sum(picture.times for picture in pictures)
    quality = sum(p.times * point.quality for p, point in zip(pictures, points, strict=True))
    return Split(tuple(points), quality / places if places else 0.0)
