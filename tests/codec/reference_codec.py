"""Slow reference implementation of the coding path, written from docs/bitstream.md alone.

It shares no code with ``thumbstream.codec``: no numpy, no bounded registers, no carries. A range
coder's interval is a pair of integers of any length, and a context is a sum over three loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Codes = list[list[list[list[int]]]]
"""``[iteration][plane][row][column]``: -1, +1, or 0 where nothing is known."""
Place = tuple[int, int, int, int]
"""Iteration, plane, row, column."""


class Interval:
    """``[low, low + width) / 256^(4 + shifts)``, a part of [0, 1)."""

    def __init__(self) -> None:
        self.low, self.width, self.shifts = 0, 1 << 32, 0

    def boundary(self, probability: int) -> int:
        """Where +1 ends and -1 begins, in units of ``256^-(4 + shifts)``."""
        return self.low + (self.width * probability >> 16)

    def narrow(self, bit: bool, probability: int) -> None:
        boundary = self.boundary(probability)
        if bit:
            self.width = boundary - self.low
        else:
            self.low, self.width = boundary, self.low + self.width - boundary
        while self.width < 1 << 24:
            self.low, self.width, self.shifts = self.low * 256, self.width * 256, self.shifts + 1

    def shortest(self, least: int) -> bytes:
        """The fewest bytes, ``least`` or more, of which every continuation lies inside."""
        digits = 4 + self.shifts
        for count in range(least, digits + 1):
            unit = 256 ** (digits - count)
            first = -(-self.low // unit)
            if (first + 1) * unit <= self.low + self.width:
                return first.to_bytes(count, "big")
        raise AssertionError("an interval holds at least its own low end")


def range_encode(bits: Sequence[bool], probabilities: Sequence[int]) -> bytes:
    interval = Interval()
    for bit, probability in zip(bits, probabilities, strict=True):
        interval.narrow(bit, probability)
    return interval.shortest(interval.shifts + 1)


def range_decode(data: bytes, probabilities: Sequence[int]) -> list[bool]:
    """Decisions that are the same for every number whose digits begin with ``data``."""
    interval, bits = Interval(), []
    for probability in probabilities:
        bit = next_decision(interval, data, probability)
        if bit is None:
            break
        bits.append(bit)
    return bits


def next_decision(interval: Interval, data: bytes, probability: int) -> bool | None:
    """The decision after those that led to ``interval``, which it narrows; None: left open."""
    value = int.from_bytes(data, "big")
    digits = max(len(data), 4 + interval.shifts)
    unit = 256 ** (digits - len(data))
    boundary = interval.boundary(probability) * 256 ** (digits - 4 - interval.shifts)
    if (value + 1) * unit <= boundary:
        bit = True
    elif value * unit >= boundary:
        bit = False
    else:
        return None
    interval.narrow(bit, probability)
    return bit


def half_planes(shape: Sequence[int]) -> Iterator[list[Place]]:
    """Places in coding order, one list per half-plane. ``shape``: as of `Codes`."""
    iterations, planes, rows, columns = shape
    for t in range(iterations):
        for plane in range(planes):
            for half in (0, 1):
                yield [
                    (t, plane, row, column)
                    for row in range(rows)
                    for column in range(columns)
                    if (row + column) % 2 == half
                ]


def nothing_known(shape: Sequence[int]) -> Codes:
    iterations, planes, rows, columns = shape
    return [
        [[[0] * columns for _ in range(rows)] for _ in range(planes)] for _ in range(iterations)
    ]


def probability(tables: Mapping[str, Any], known: Codes, place: Place) -> int:
    """``P(+1) * 65536`` of the code at ``place``; ``known`` holds 0 for every later code."""
    t, plane, row, column = place
    step = 2 * plane + (row + column) % 2
    rows, columns = len(known[0][0]), len(known[0][0][0])
    sums = [int(b) for b in tables["b1"][t][step]]
    for source in range(min(2, t) + 1):
        for m, codes in enumerate(known[t - source]):
            for tap in range(9):
                r, c = row + tap // 3 - 1, column + tap % 3 - 1
                if 0 <= r < rows and 0 <= c < columns and codes[r][c]:
                    weights = tables["w1"][t][source][m][tap]
                    sums = [s + int(w) * codes[r][c] for s, w in zip(sums, weights, strict=True)]
    hidden = [min(max(s, 0), 255) for s in sums]
    logit = int(tables["b2"][t][step])
    logit += sum(int(w) * h for w, h in zip(tables["w2"][t][step], hidden, strict=True))
    return int(tables["probability"][min(max(logit >> 3, -1024), 1023) + 1024])


def probabilities(tables: Mapping[str, Any], codes: Codes) -> tuple[list[int], list[bool]]:
    """Probability and value of every code, in coding order."""
    shape = (len(codes), len(codes[0]), len(codes[0][0]), len(codes[0][0][0]))
    known, probabilities, bits = nothing_known(shape), [], []
    for places in half_planes(shape):
        probabilities += [probability(tables, known, place) for place in places]
        for t, plane, row, column in places:
            known[t][plane][row][column] = codes[t][plane][row][column]
            bits.append(known[t][plane][row][column] > 0)
    return probabilities, bits


def stopping_probabilities(
    tables: Mapping[str, Any], codes: Codes
) -> tuple[list[int], list[bool], list[bool]]:
    """Probability and value of every decision where cells may stop, and which are codes.

    ``codes`` are 0 in cells that have stopped.
    """
    shape = (len(codes), len(codes[0]), len(codes[0][0]), len(codes[0][0][0]))
    known, probabilities, bits, are_codes = nothing_known(shape), [], [], []
    stopped: set[tuple[int, int]] = set()
    for t in range(shape[0]):
        decisions: list[tuple[int, bool]] = []
        if t:
            stopping = {cell for cell in cells(shape) if codes[t][0][cell[0]][cell[1]] == 0}
            decisions.append((4096, stopping != stopped))
            if stopping != stopped:
                for row, column in cells(shape):
                    if (row, column) not in stopped:
                        neighbours = {(row, column - 1), (row - 1, column)} & stopped
                        decisions.append((16384 * (1 + len(neighbours)), (row, column) in stopping))
                        if (row, column) in stopping:
                            stopped.add((row, column))
        probabilities += [probability for probability, _ in decisions]
        bits += [bit for _, bit in decisions]
        are_codes += [False] * len(decisions)
        for places in half_planes((1, *shape[1:])):
            coded = [(t, *place[1:]) for place in places if place[2:] not in stopped]
            probabilities += [probability(tables, known, place) for place in coded]
            for _, plane, row, column in coded:
                known[t][plane][row][column] = codes[t][plane][row][column]
                bits.append(known[t][plane][row][column] > 0)
                are_codes.append(True)
    return probabilities, bits, are_codes


def cells(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Row and column of every cell, in raster order."""
    return [(row, column) for row in range(shape[2]) for column in range(shape[3])]
