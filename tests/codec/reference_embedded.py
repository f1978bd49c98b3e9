"""Slow reference implementation of the embedded family, written from docs/bitstream.md alone.

Like ``reference_codec`` it shares no code with ``thumbstream.codec``: loops over plain integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reference_codec import Interval, next_decision, range_encode

Plane = list[list[int]]
"""``[row][column]``"""
States = list[list[Plane]]
"""``[layer][channel][row][column]``"""
Symbol = tuple[int, int, int, int]
"""Layer, channel, row, column."""
Decide = Callable[[Symbol, int, int], int | None]
"""A digit, by its probabilities of being nonzero and of being +1; None at the end of the data."""


@dataclass(frozen=True)
class Model:
    """Tables and manifest as plain lists and numbers."""

    tables: Mapping[str, Any]
    groups: list[int]
    starts: list[int]
    planes: int

    def steps(self) -> Iterator[tuple[int, int, list[int]]]:
        """Plane, group, and the started channels of the group."""
        for plane in range(self.planes):
            first = 0
            for group, size in enumerate(self.groups):
                started = [c for c in range(first, first + size) if self.starts[c] <= plane]
                first += size
                if started:
                    yield plane, group, started

    def probabilities(
        self, plane: int, group: int, states: States, symbol: Symbol
    ) -> tuple[int, int]:
        tables, (layer, channel, row, column) = self.tables, symbol
        first_shift, second_shift, last_shift = (int(shift) for shift in tables["shifts"])
        refined = sum(self.groups[:group])
        sums = [int(b) for b in tables["b1"][plane][group]]
        for c, of_channel in enumerate(states[layer]):
            weights = tables["b" if c < refined else "a"][4 * c : 4 * c + 4]
            for feature, row_of in zip(features(of_channel, row, column), weights, strict=True):
                sums = [h + int(w) * feature for h, w in zip(sums, row_of, strict=True)]
        h = [limited(value >> first_shift, 0, 255) for value in sums]
        sums = [
            int(b)
            + sum(int(weights[i]) * value for weights, value in zip(tables["m"], h, strict=True))
            for i, b in enumerate(tables["bm"][group])
        ]
        k = [limited(value >> second_shift, 0, 255) for value in sums]
        f0, f1, f2, f3 = features(states[layer][channel], row, column)
        own = [int(weights[channel]) for weights in tables["own"]]
        direct = [own[0] * (f0 > 0) + own[1] * f0 + own[2] * f2, own[3] * f1 + own[4] * f3]
        predicted = 0
        for c, of_channel in enumerate(states[layer]):
            # A state before its channel's first plane is 0 in any unit.
            finest = 3 ** (self.planes - plane - (c < refined))
            for i, value in enumerate(values(of_channel, row, column)):
                predicted += int(tables["predictor"][2 * c + i][channel]) * value * finest
        prediction = limited(predicted >> int(tables["prediction_shifts"][plane]), -127, 127)
        for d, residual in enumerate((abs(prediction), prediction)):
            direct[d] += int(tables["gain"][plane][d][channel]) * residual
        nonzero, positive = (
            int(tables["b2"][plane][d][channel])
            + dot(tables["w2"][d][channel], h)
            + dot(tables["w3"][d][channel], k)
            + direct[d]
            >> last_shift
            for d in (0, 1)
        )
        return self._probability(nonzero), self._probability(positive)

    def _probability(self, logit: int) -> int:
        return int(self.tables["probability"][limited(logit, -1024, 1023) + 1024])


def features(of_channel: Plane, row: int, column: int) -> tuple[int, int, int, int]:
    """Magnitude, state, and the sums of both over the neighbours."""

    own, *around = (limited(state, -4, 4) for state in cross(of_channel, row, column))
    return abs(own), own, sum(map(abs, around)), sum(around)


def values(of_channel: Plane, row: int, column: int) -> tuple[int, int]:
    """State, and the sum over the neighbours."""
    own, *around = cross(of_channel, row, column)
    return own, sum(around)


def cross(of_channel: Plane, row: int, column: int) -> list[int]:
    """States of a cell and of its neighbours; outside is 0."""
    places = [(row + dy, column + dx) for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))]
    return [
        of_channel[y][x] if 0 <= y < len(of_channel) and 0 <= x < len(of_channel[0]) else 0
        for y, x in places
    ]


def limited(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)


def dot(weights: list[int], values: list[int]) -> int:
    return sum(int(w) * value for w, value in zip(weights, values, strict=True))


@dataclass
class Walk:
    """The known part of a picture, step by step."""

    model: Model
    states: States
    levels: States
    decoded_count: int = 0
    ended_in: tuple[int, int] | None = None
    """Plane and group of the incomplete step."""
    probabilities: list[tuple[int, int]] = field(default_factory=list)
    """P(nonzero) and P(+1) of every symbol that was attempted, in stream order."""

    @classmethod
    def begin(cls, model: Model, layers: int, rows: int, columns: int) -> Walk:
        def filled(values: list[int]) -> States:
            return [
                [[[value] * columns for _ in range(rows)] for value in values]
                for _ in range(layers)
            ]

        return cls(model, filled([0] * len(model.starts)), filled(model.starts))

    def go(self, decide: Decide) -> None:
        rows, columns = len(self.states[0][0]), len(self.states[0][0][0])
        for plane, group, channels in self.model.steps():
            symbols: list[tuple[Symbol, int, int]] = []
            for layer in range(len(self.states)):
                of_layer = []
                for channel in channels:
                    for row in range(rows):
                        for column in range(columns):
                            symbol = (layer, channel, row, column)
                            probabilities = self.model.probabilities(
                                plane, group, self.states, symbol
                            )
                            of_layer.append((symbol, *probabilities))
                symbols += sorted(of_layer, key=lambda entry: -entry[1])  # ties keep their order
            self.probabilities += [probabilities for _, *probabilities in symbols]  # type: ignore[misc]
            found: list[tuple[Symbol, int]] = []
            for symbol, nonzero, positive in symbols:
                digit = decide(symbol, nonzero, positive)
                if digit is None:
                    self.ended_in = plane, group
                    break
                found.append((symbol, digit))
            for (layer, channel, row, column), digit in found:
                states = self.states[layer][channel][row]
                states[column] = 3 * states[column] + digit
                self.levels[layer][channel][row][column] += 1
            self.decoded_count += len(found)
            if self.ended_in:
                break


def balanced(state: int, digits: int) -> list[int]:
    """Digits of -1, 0 and +1, the most significant first."""
    result = []
    for _ in range(digits):
        digit = (state + 1) % 3 - 1
        result.insert(0, digit)
        state = (state - digit) // 3
    assert state == 0
    return result


def decisions(model: Model, finest: States) -> tuple[list[int], list[bool], list[int]]:
    """Probability and value of every decision, and how many decisions end each symbol."""
    probabilities: list[int] = []
    bits: list[bool] = []
    ends: list[int] = []
    walk = Walk.begin(model, len(finest), len(finest[0][0]), len(finest[0][0][0]))

    def decide(symbol: Symbol, nonzero: int, positive: int) -> int:
        layer, channel, row, column = symbol
        start = model.starts[channel]
        digits = balanced(finest[layer][channel][row][column], model.planes - start)
        digit = digits[walk.levels[layer][channel][row][column] - start]
        probabilities.append(nonzero)
        bits.append(digit != 0)
        if digit:
            probabilities.append(positive)
            bits.append(digit > 0)
        ends.append(len(bits))
        return digit

    walk.go(decide)
    return probabilities, bits, ends


def write(model: Model, finest: States) -> bytes:
    probabilities, bits, _ = decisions(model, finest)
    return range_encode(bits, probabilities)


def read(model: Model, data: bytes, layers: int, rows: int, columns: int) -> Walk:
    """What any bytes ``data`` determine."""
    walk, interval = Walk.begin(model, layers, rows, columns), Interval()

    def decide(symbol: Symbol, nonzero: int, positive: int) -> int | None:
        not_zero = next_decision(interval, data, nonzero)
        if not not_zero:
            return None if not_zero is None else 0
        is_positive = next_decision(interval, data, positive)
        return None if is_positive is None else 1 if is_positive else -1

    walk.go(decide)
    return walk
