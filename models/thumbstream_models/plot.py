"""A rate-distortion plot as an SVG written by hand: SSIM against bytes, one line for each codec.

The file carries its own style sheet with a dark variant, so one file serves both kinds of page.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from html import escape
from typing import Any

from thumbstream_models.results import OURS, Results

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 120, 34, 44
_LABEL_GAP = 15
"""Pixels between the base lines of two labels."""
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.grid { stroke: #ddd; stroke-width: 1 }
.line { fill: none; stroke-width: 1.6 }
.ours { stroke-width: 3 }
.c0 { --c: #c2410c } .c1 { --c: #2563a8 } .c2 { --c: #2f7d4f }
.c3 { --c: #7c4fb0 } .c4 { --c: #8a6d1f } .c5 { --c: #666 }
.line { stroke: var(--c) } circle, .label { fill: var(--c) } .c0.label { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc } .grid { stroke: #3a3a3a }
  .c0 { --c: #fb923c } .c1 { --c: #7db4f0 } .c2 { --c: #72c795 }
  .c3 { --c: #bd9bea } .c4 { --c: #d9bd6a } .c5 { --c: #aaa }
}"""


def svg(result: Results) -> str:
    """Draw one result; points at which no picture can be coded are left out."""
    curves = _curves(result)
    budgets = result["budgets"]
    lowest = math.floor(10 * min(q for _, points in curves for _, q in points)) / 10

    def x(rate: float) -> float:
        span = math.log(budgets[-1] / budgets[0]) or 1.0
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(rate / budgets[0]) / span

    def y(quality: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - quality) / (1 - lowest)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        "<title>Mean SSIM against bytes</title>",
        f"<style>{_STYLE}\n</style>",
        *_axes(budgets, lowest, x, y),
    ]
    for i, (title, points) in enumerate(curves):
        path = " ".join(f"{x(rate):.1f},{y(quality):.1f}" for rate, quality in points)
        ours = " ours" if title == result["codecs"].get(OURS, {}).get("title") else ""
        parts.append(f'<polyline class="line c{i % 6}{ours}" points="{path}"/>')
        parts += [
            f'<circle class="c{i % 6}" cx="{x(rate):.1f}" cy="{y(quality):.1f}" r="2.5"/>'
            for rate, quality in points
        ]
    parts += _labels(curves, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _curves(result: Results) -> list[tuple[str, list[tuple[int, float]]]]:
    """``(title, [(bytes, ssim)])``; a codec of a single quality is drawn at its own size only."""
    count = result["pictures"]["count"]
    out = []
    for codec in result["codecs"].values():
        fitting = [p for p in codec["points"] if p["unfit"] < count]
        points: list[tuple[int, float]] = []
        for point in fitting:
            if not points or point["ssim"] != points[-1][1]:
                points.append((point["bytes"], point["ssim"]))
        if points:
            out.append((codec["title"], points))
    return out


def _axes(
    budgets: list[int], lowest: float, x: Callable[[float], float], y: Callable[[float], float]
) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for tenth in range(round(10 * lowest), 11):
        at = y(tenth / 10)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tenth / 10}</text>'
        )
    parts += [
        f'<text x="{x(budget):.1f}" y="{bottom + 18}" text-anchor="middle">{budget}</text>'
        for budget in budgets
    ]
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">bytes</text>')
    parts.append(f'<text x="4" y="{_TOP - 18}">SSIM</text>')
    return parts


def _labels(
    curves: list[tuple[str, list[tuple[int, float]]]],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> list[str]:
    """Titles at the ends of the lines, pushed apart where they would overlap.

    A single point has its title on the left, where fewer lines pass.
    """
    ends: list[dict[str, Any]] = [
        {
            "i": i,
            "title": title,
            "x": x(points[-1][0]) + (8 if len(points) > 1 else -8),
            "y": y(points[-1][1]) + 4,
            "anchor": "start" if len(points) > 1 else "end",
        }
        for i, (title, points) in enumerate(curves)
    ]
    ends.sort(key=lambda end: end["y"])
    for above, below in itertools.pairwise(ends):
        if below["x"] == above["x"]:
            below["y"] = max(below["y"], above["y"] + _LABEL_GAP)
    return [
        f'<text class="c{end["i"] % 6} label" x="{end["x"]:.1f}" y="{end["y"]:.1f}" '
        f'text-anchor="{end["anchor"]}">'
        f"{escape(end['title'])}</text>"
        for end in ends
    ]
