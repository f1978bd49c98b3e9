"""Format 8 in plain Python integers, as docs/bitstream.md says it: slow, and no code is shared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tables = dict[str, Any]
Plane = list[list[int]]


def clip(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)


def sign(x: int) -> int:
    return (x > 0) - (x < 0)


def exact_logits(i: int, k: int) -> tuple[float, float, float]:
    """Entries ``k`` of the tables significant, positive and upper at scale ``i``, not rounded."""
    s = 2.0 ** ((i - 28) / 8)

    def tail(x: float) -> float:
        return 1 / (1 + math.exp(abs(x) / s))

    def mass(low: float, high: float) -> float:
        if low >= 0:
            return tail(low) - tail(high)
        return tail(high) - tail(low) if high <= 0 else 1 - tail(low) - tail(high)

    a, x = k / 8, k / 4
    above, below, zero = mass(1 - a, 2 - a), mass(-2 - a, -1 - a), mass(-1 - a, 1 - a)
    ratios = (above + below) / zero, above / below, mass(x, x + 1) / mass(x - 1, x)
    significant, positive, upper = (256 * math.log(ratio) for ratio in ratios)
    return significant, positive, upper


def decisions(q: int, i: int, mu: int) -> tuple[int, int, int]:
    """First and second logit, key."""

    def table(number: int, k: int) -> int:
        return clip(math.floor(exact_logits(i, min(k, 32))[number] + 0.5), -2839, 2839)

    if q:
        t = 8 * (2 * abs(q) + 1) - sign(q) * mu
        upper = table(2, abs(t) >> 1)
        return upper if t >= 0 else -upper, 0, -1024
    significant, positive = table(0, abs(mu)), table(1, abs(mu))
    return significant, positive if mu >= 0 else -positive, significant


def probability(z: int) -> int:
    return clip(math.floor(65536 / (1 + math.exp(-z / 256)) + 0.5), 1, 65535)


@dataclass
class Adapted:
    """Factors and offsets of a layer."""

    groups: int

    def __post_init__(self) -> None:
        self.w = [65536] * 3
        self.b = [[0] * self.groups for _ in range(3)]

    def p(self, d: int, group: int, logit: int) -> int:
        return probability(clip((self.w[d] * logit >> 16) + (self.b[d][group] >> 8), -2839, 2839))

    def change(self, group: int, coded: list[tuple[int, int, int, bool]]) -> None:
        """After a step; ``coded``: kind, logit, probability and truth of its decisions."""
        for d in range(3):
            ours = [one[1:] for one in coded if one[0] == d]
            if not ours:
                continue
            e = [(65536 if bit else 0) - p for _, p, bit in ours]
            v = [p * (65536 - p) >> 16 for _, p, _ in ours]
            logits = [logit for logit, _, _ in ours]
            shift = clip(65536 * sum(e) // (12 * 65536 + sum(v)), -(2**16), 2**16)
            self.b[d][group] = clip(self.b[d][group] + shift, -(2**20), 2**20)
            up = sum(one * logit for one, logit in zip(e, logits, strict=True)) >> 8
            down = sum(one * logit * logit for one, logit in zip(v, logits, strict=True)) >> 32
            self.w[d] = clip(self.w[d] + clip(up // (100 + down), -(2**14), 2**14), 0, 2**18)


def limited(x: int) -> int:
    return clip(x, -1023, 1023)


def in_steps(q: int, age: int) -> int:
    factor = (64, 76, 91, 108)[age % 4]
    return sign(q) * (((16 * abs(q) + 7) * factor) >> (7 - age // 4)) if q else 0


def magnitude(x: int) -> int:
    y = min(abs(x), 119) + 8
    n = y.bit_length() - 1
    return 4 * (n - 3) + ((y >> (n - 2)) & 3)


def cosine(n: int, k: int, i: int) -> int:
    w = math.sqrt((2 if k else 1) / n)
    return math.floor(4096 * w * math.cos(math.pi * k * (2 * i + 1) / (2 * n)) + 0.5)


@dataclass
class Layer:
    """One layer of one picture while it is decoded or encoded."""

    groups: list[int]
    look: int
    look_tables: Tables
    tables: Tables
    rows: int
    columns: int

    def __post_init__(self) -> None:
        self.q = [[[0] * self.columns for _ in range(self.rows)] for _ in range(sum(self.groups))]
        self.level = [
            [[self.kind(c, u, v) - 64 for v in range(self.columns)] for u in range(self.rows)]
            for c in range(sum(self.groups))
        ]
        self.bases = [
            [[self.base(c, u, v) for v in range(self.columns)] for u in range(self.rows)]
            for c in range(self.groups[0])
        ]

    def kind(self, c: int, u: int, v: int) -> int:
        return (c + 3 * u + 2 * v) % 4 if c < self.groups[0] else c % 4

    def base(self, c: int, u: int, v: int) -> int:
        total = 0
        pu, pv = (math.floor(16 * math.log2(1 + f) + 0.5) for f in (u, v))
        for k in range(6):
            for j in range(6):
                weight = max(0, 16 - abs(pu - 16 * k)) * max(0, 16 - abs(pv - 16 * j))
                total += weight * self.look_tables["scale"][c][k][j]
        size = math.floor(64 * math.log2(self.rows * self.columns) + 0.5) - 256
        return (total >> 4) + size

    def start(self, c: int, u: int, v: int) -> int:
        if c >= self.groups[0]:
            return self.tables["starts"][c - self.groups[0]]
        return next(
            p for p in range(self.kind(c, u, v), 999, 4) if self.bases[c][u][v] + 32 * p >= -320
        )

    def symbols(self, plane: int, group: int, parity: int) -> list[tuple[int, int, int]]:
        """Latents (channel, row, column) of a step."""
        first = sum(self.groups[:group])
        return [
            (c, u, v)
            for c in range(first, first + self.groups[group])
            for u in range(self.rows)
            for v in range(self.columns)
            if (group == 0 or (u + v) % 2 == parity)
            and self.kind(c, u, v) == plane % 4
            and self.start(c, u, v) <= plane
        ]

    def pass_over(self, plane: int, group: int, parity: int) -> None:
        """Levels after a step, of latents with and without symbols."""
        first = sum(self.groups[:group])
        for c in range(first, first + self.groups[group]):
            for u in range(self.rows):
                for v in range(self.columns):
                    ours = group == 0 or (u + v) % 2 == parity
                    if ours and self.kind(c, u, v) == plane % 4:
                        self.level[c][u][v] = plane

    def values(self, plane: int, c: int) -> Plane:
        return [
            [in_steps(q, plane - level) for q, level in zip(qs, levels, strict=True)]
            for qs, levels in zip(self.q[c], self.level[c], strict=True)
        ]

    def predict_first(
        self, values: list[Plane], plane: int, c: int, u: int, v: int
    ) -> tuple[int, int]:
        tables = self.look_tables

        def x(channel: int, row: int, column: int) -> int:
            if not (0 <= row < self.rows and 0 <= column < self.columns):
                return 0
            return clip(values[channel][row][column], -1023, 1023)

        scale = 4 * self.bases[c][u][v] + 128 * plane + tables["slope"][c] * plane
        activity = 0
        for e in range(self.groups[0]):
            total = sum(magnitude(x(e, r, s)) for r in range(4) for s in range(4))
            activity += tables["activity"][c][e] * total
        scale += activity >> 2
        for target, source, down, right, weight in tables["magnitudes"]:
            if target == c:
                scale += weight * magnitude(x(source, u + down, v + right))
        mean = 0
        for target, source, down, right, weight, low_weight in tables["values"]:
            if target == c:
                part = (258 + u + v) // (2 * (2 + u + v))
                mean += (64 * weight + low_weight * part) * x(source, u + down, v + right)
        return clip(scale >> 6, 0, 47), mean >> 12

    def cells(self, plane: int) -> list[Plane]:
        """``x`` of all channels in cells."""
        out = [self.values(plane, c) for c in range(sum(self.groups))]
        for c in range(self.groups[0]):
            x = out[c]
            out[c] = [
                [
                    (
                        (1 << 23)
                        + sum(
                            cosine(self.rows, u, r) * cosine(self.columns, v, s) * x[u][v]
                            for u in range(self.rows)
                            for v in range(self.columns)
                        )
                    )
                    >> 24
                    for s in range(self.columns)
                ]
                for r in range(self.rows)
            ]
        return out

    def predict(
        self, cells: list[Plane], plane: int, group: int, c: int, u: int, v: int
    ) -> tuple[int, int]:
        tables, parity, at = self.tables, (u + v) % 2, c - self.groups[0]

        def around(x: Plane, of: Callable[[int], int]) -> int:
            near = ((u - 1, v), (u + 1, v), (u, v - 1), (u, v + 1))
            return sum(of(x[r][s]) for r, s in near if 0 <= r < self.rows and 0 <= s < self.columns)

        features, inputs = [], []
        for x in cells:
            features += [
                magnitude(x[u][v]),
                magnitude(x[u][v]) * sign(x[u][v]),
                around(x, magnitude),
                around(x, lambda one: magnitude(one) * sign(one)),
            ]
            inputs += [limited(x[u][v]), around(x, limited)]
        shifts = tables["shifts"]
        hidden = []
        for j, bias in enumerate(tables["b1"][plane % 4][group - 1][parity]):
            total = bias + plane * tables["b1_plane"][j]
            total += sum(row[j] * f for row, f in zip(tables["w1"], features, strict=True))
            hidden.append(clip(total >> shifts[0], 0, 255))
        second = []
        for n, bias in enumerate(tables["bm"][group - 1]):
            total = bias + sum(row[n] * h for row, h in zip(tables["m"], hidden, strict=True))
            second.append(clip(total >> shifts[1], 0, 255))
        linear = sum(row[at] * r for row, r in zip(tables["predictor"], inputs, strict=True))
        linear = clip(linear >> 6, -1023, 1023)
        head = []
        for d in range(2):
            total = tables["b2"][parity][d][at] + plane * tables["b2_plane"][d][at]
            total += sum(w * h for w, h in zip(tables["w2"][d][at], hidden, strict=True))
            total += sum(w * h for w, h in zip(tables["w3"][d][at], second, strict=True))
            head.append(total)
        own = [row[at] for row in tables["own"]]
        scale = head[0] + own[0] * features[4 * c] + own[1] * features[4 * c + 2]
        scale += own[2] * min(abs(linear), 127)
        return clip(scale >> shifts[2], 0, 47), linear + (head[1] >> shifts[3])


def probabilities(vector: Tables, golden: Tables) -> list[list[int]]:
    """First and second probability of all symbols of a vector of lapped.json, in coding order."""
    params = golden["params"]
    layers = []
    for states in vector["states"]:
        layer = Layer(
            *(params["groups"], params["look"], golden["look"], golden["contexts"]),
            *(vector["rows"], vector["columns"]),
        )
        layers.append((layer, states, Adapted(len(params["groups"]))))
    steps = [(p, 0, 0) for p in range(params["look"])]
    for p in range(params["planes"]):
        groups = range(0 if p >= params["look"] else 1, len(params["groups"]))
        steps += [(p, g, z) for g in groups for z in ((0,) if g == 0 else (0, 1))]
    out: list[list[int]] = []
    for plane, group, parity in steps:
        for layer, states, adapted in layers:
            out += _step(layer, states, adapted, params["planes"], plane, group, parity)
    return out


def _step(
    layer: Layer,
    states: list[list[int]],
    adapted: Adapted,
    planes: int,
    plane: int,
    group: int,
    parity: int,
) -> list[list[int]]:
    symbols, coded = [], []
    latents = layer.symbols(plane, group, parity)
    cells = layer.cells(plane) if group and latents else []
    values = [layer.values(plane, c) for c in range(layer.groups[0])]
    logits = []
    for c, u, v in latents:
        if group:
            i, mu = layer.predict(cells, plane, group, c, u, v)
        else:
            i, mu = layer.predict_first(values, plane, c, u, v)
        logits.append(decisions(layer.q[c][u][v], i, mu))
    layer.pass_over(plane, group, parity)
    for (c, u, v), (first, second, key) in zip(latents, logits, strict=True):
        final, q = states[c][u * layer.columns + v], layer.q[c][u][v]
        after = sign(final) * (abs(final) >> (planes - 1 - plane) // 4)
        layer.q[c][u][v] = after
        p = adapted.p(2 if q else 0, group, first)
        p_positive = 0 if q else adapted.p(1, group, second)
        symbols.append((-key, p, p_positive))
        coded.append((2, first, p, abs(after) > 2 * abs(q)) if q else (0, first, p, after != 0))
        if not q and after:
            coded.append((1, second, p_positive, after > 0))
    adapted.change(group, coded)
    return [[p, p_positive] for _, p, p_positive in sorted(symbols, key=lambda one: one[0])]
