"""Rate-distortion plots as SVG: mean SSIM against bytes, one line for each codec.

Colours of middle brightness on a transparent ground can be read on light and on dark pages. A file
holds a hash of the numbers in it, so a test can check that it is up to date without drawing it
again: another version of matplotlib writes other bytes.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from thumbstream_models.evaluate.results import BEST, Results
from thumbstream_models.evaluate.tables import charge, label, main_codecs, model_ids

_GREY = "#808080"
_COLORS = (
    *("#e0662a", "#808080", "#3b82c4", "#3a9d5d", "#9268c8"),
    *("#a98a2c", "#1d9aa3", "#cc4f87", "#8a8a8a"),
)
"""Of the lines in turn; the first two are those of the reference and the best classical codec."""
_STYLE: Any = {  # matplotlib types it with a literal for every key
    "svg.hashsalt": "thumbstream",  # otherwise ids in the file are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _GREY,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.alpha": 0.25,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}
_SIZE = 8.0, 4.4
"""Inches."""
_LABEL_GAP = 0.035
"""Least distance of two labels, as a fraction of the height of the axes."""
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
"""Coordinates are in points: digits after hundredths only make a file larger."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    title: str
    role: str
    """``reference``, ``best`` or empty."""
    points: list[tuple[int, float]]
    """``(bytes, SSIM)``."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that a plot shows."""

    budgets: list[int]
    curves: list[Curve]

    @property
    def digest(self) -> str:
        """Hash of the numbers and titles."""
        return f"sha256:{hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()}"

    def svg(self) -> str:
        """The file, with `digest` in its metadata."""
        out = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Description": self.digest}
        with matplotlib.rc_context(_STYLE):
            _figure(self).savefig(out, format="svg", transparent=True, metadata=metadata)
        text = _DECIMALS.sub(r"\1", out.getvalue())
        return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def plots(result: Results) -> dict[str, Plot]:
    """By suffix of the file name: the main plot, and one of the models if there are several."""
    out = {"": _plot(result, main_codecs(result), "headline")} if main_codecs(result) else {}
    if len(model_ids(result)) > 1:
        out["-models"] = _plot(result, model_ids(result), "payload")
    return out


def _plot(result: Results, names: Iterable[str], view: str) -> Plot:
    """The curves of these codecs; a codec of one quality has a point at its own size only.

    Budgets that no picture fits are left out.
    """
    count = result["pictures"]["count"]
    roles = {result.get("reference"): "reference", BEST: "best"}
    curves = []
    for name in names:
        codec = result["codecs"][name]
        points: list[tuple[int, float]] = []
        for point in codec["points"][charge(codec, view)]:
            if point["unfit"] < count and (not points or point["ssim"] != points[-1][1]):
                points.append((point["bytes"], point["ssim"]))
        if points:
            curves.append(Curve(label(result, name, view), roles.get(name, ""), points))
    return Plot(result["budgets"], curves)


def _figure(plot: Plot) -> Figure:
    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes((0.07, 0.11, 0.71, 0.84))
    lowest = math.floor(10 * min((q for c in plot.curves for _, q in c.points), default=0)) / 10
    axes.set_xscale("log")
    axes.set_xlim(plot.budgets[0], plot.budgets[-1])
    axes.set_xticks(plot.budgets, [str(budget) for budget in plot.budgets])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(lowest, 1)
    axes.set_xlabel("bytes")
    axes.set_ylabel("SSIM")
    heights = _label_heights([(c.points[-1][1] - lowest) / (1 - lowest) for c in plot.curves])
    for i, (curve, height) in enumerate(zip(plot.curves, heights, strict=True)):
        color, reference = _COLORS[i % len(_COLORS)], curve.role == "reference"
        axes.plot(
            *zip(*curve.points, strict=True),
            color=color,
            linewidth=2.4 if reference else 1.3,
            linestyle="--" if curve.role == "best" else "-",
            marker="o",
            markersize=3,
            clip_on=False,
        )
        axes.text(
            1.02,
            height,
            curve.title,
            color=color,
            fontweight="bold" if reference else "normal",
            transform=axes.transAxes,
            verticalalignment="center",
        )
    return figure


def _label_heights(ends: list[float]) -> list[float]:
    """Heights of the labels of lines that end at ``ends``, moved down where they would overlap."""
    order = sorted(range(len(ends)), key=lambda i: -ends[i])
    heights = dict(enumerate(ends))
    for above, below in itertools.pairwise(order):
        heights[below] = min(heights[below], heights[above] - _LABEL_GAP)
    return [heights[i] for i in range(len(ends))]
