"""Rate-distortion plots as SVG written by hand: SSIM against bytes, one line for each codec.

A file carries its own style sheet with a dark variant, so one file serves both kinds of page.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

from thumbstream_models.evaluate.results import BEST, Results
from thumbstream_models.evaluate.tables import charge, label, shown, systems

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 180, 34, 44
_LABEL_GAP = 16
"""Pixels between the base lines of two labels."""
_LIGHT = (
    *("#c2410c", "#111827", "#1d6fb8", "#2f7d4f", "#7c4fb0"),
    *("#8a6d1f", "#0f7f86", "#b0306a", "#666666"),
)
_DARK = (
    *("#fb923c", "#f3f4f6", "#7db4f0", "#72c795", "#bd9bea"),
    *("#d9bd6a", "#5cc9cf", "#f088b6", "#aaaaaa"),
)
"""One colour for each line, in turn; the first two are those of the reference and the best."""


def _colours(palette: Iterable[str]) -> str:
    return " ".join(f".c{i} {{ --c: {colour} }}" for i, colour in enumerate(palette))


_STYLE = f"""
text {{ font: 13px system-ui, sans-serif; fill: #333 }}
.grid {{ stroke: #ddd; stroke-width: 1 }}
.line {{ fill: none; stroke: var(--c); stroke-width: 1.6 }}
.ours {{ stroke-width: 3 }} .best {{ stroke-dasharray: 5 4 }}
circle, .label {{ fill: var(--c) }} .ours.label {{ font-weight: 600 }}
{_colours(_LIGHT)}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #ccc }} .grid {{ stroke: #3a3a3a }}
  circle, .label {{ fill: var(--c) }}
  {_colours(_DARK)}
}}"""


@dataclass(frozen=True, slots=True)
class _Curve:
    title: str
    style: str
    """Classes of the style sheet."""
    points: list[tuple[int, float]]
    """``(bytes, SSIM)``."""


def plots(result: Results) -> dict[str, str]:
    """By suffix of the file name: the main plot, and one of the models if there are several."""
    drawn = {"": svg(result, shown(result), "headline")} if shown(result) else {}
    if len(systems(result)) > 1:
        drawn["-models"] = svg(result, systems(result), "payload")
    return drawn


def svg(result: Results, names: Iterable[str], view: str) -> str:
    """Draw these codecs; points at which no picture can be coded are left out."""
    curves = _curves(result, names, view)
    budgets = result["budgets"]
    lowest = math.floor(10 * min((q for c in curves for _, q in c.points), default=0)) / 10

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
    for curve in curves:
        path = " ".join(f"{x(rate):.1f},{y(quality):.1f}" for rate, quality in curve.points)
        parts.append(f'<polyline class="line {curve.style}" points="{path}"/>')
        parts += [
            f'<circle class="{curve.style}" cx="{x(rate):.1f}" cy="{y(quality):.1f}" r="2.5"/>'
            for rate, quality in curve.points
        ]
    parts += _labels(curves, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _curves(result: Results, names: Iterable[str], view: str) -> list[_Curve]:
    """One for each codec; one of a single quality is drawn at its own size only."""
    count = result["pictures"]["count"]
    marks = {result.get("reference"): " ours", BEST: " best"}
    out = []
    for i, name in enumerate(names):
        codec = result["codecs"][name]
        points: list[tuple[int, float]] = []
        for point in codec["points"][charge(codec, view)]:
            if point["unfit"] < count and (not points or point["ssim"] != points[-1][1]):
                points.append((point["bytes"], point["ssim"]))
        if points:
            style = f"c{i % len(_LIGHT)}{marks.get(name, '')}"
            out.append(_Curve(label(result, name, view), style, points))
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
    curves: list[_Curve], x: Callable[[float], float], y: Callable[[float], float]
) -> list[str]:
    """Titles beside the ends of the lines, in one column, pushed apart where they would overlap."""
    at = [[y(curve.points[-1][1]) + 4, i] for i, curve in enumerate(curves)]
    at.sort()
    for above, below in itertools.pairwise(at):
        below[0] = max(below[0], above[0] + _LABEL_GAP)
    parts = []
    for height, index in at:
        curve = curves[int(index)]
        end, title = x(curve.points[-1][0]), escape(curve.title)
        left = max(end, _WIDTH - _RIGHT) + 8
        parts.append(
            f'<text class="{curve.style} label" x="{left:.1f}" y="{height:.1f}">{title}</text>'
        )
    return parts
