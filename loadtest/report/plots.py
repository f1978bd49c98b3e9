"""Results as plots: SVG that reads on light and on dark ground, the same bytes from the same data.

A plot is a name, the numbers that it shows, and a function that draws them. The file carries a hash
of the numbers, so a check needs no drawing, and another version of matplotlib, which writes
other bytes, makes no difference.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from loadtest.report.goals import Goal, Report, Results, goals, number
from loadtest.report.tables import plot_name

GREY, BLUE, ORANGE, RED, GREEN = "#808080", "#3b82c4", "#d9822b", "#d64545", "#3a9d5d"
"""Of middle brightness: no ground hides them."""
STYLE: Any = {  # typed by matplotlib with a literal for every key
    "svg.hashsalt": "thumbstream",  # or the ids inside the file are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "figure.constrained_layout.use": True,
}
MOST_BAR = 2.0
"""Bars end here, and their figures say the rest."""
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
"""Digits after hundredths of a point are invisible, and half of a file."""
WIDTH = 8.0
"""Inches."""


@dataclass(frozen=True)
class Plot:
    """``data`` (what JSON can hold) is all that ``draw`` looks at."""

    name: str
    data: Any
    draw: Callable[[Any], Figure]

    @property
    def digest(self) -> str:
        """Of what is shown."""
        shown = json.dumps([self.name, self.data], sort_keys=True)
        return f"sha256:{hashlib.sha256(shown.encode()).hexdigest()}"

    def svg(self) -> str:
        """The file, with the digest in its metadata."""
        out = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.draw(self.data).savefig(
                out,
                format="svg",
                transparent=True,
                metadata={"Date": None, "Creator": None, "Description": self.digest},
            )
        short = _DECIMALS.sub(r"\1", out.getvalue())
        return "\n".join(line.rstrip() for line in short.splitlines()) + "\n"


def plots(results: Results) -> list[Plot]:
    """Every plot that the results there are give."""
    made = [
        Plot(block, bars, _bars)
        for block in ("service", "uploads", "client")
        if (bars := [_bar(goal) for goal in goals(results) if goal.of == block])
    ]
    if memory := results.get("memory"):
        points = [[sample["uploads"], sample["rss_mib"]] for sample in memory["memory"]]
        made.append(Plot("memory", points, _memory))
    for file in ("scenarios", "soak"):
        for name, result in results.get(file, {}).get("scenarios", {}).items():
            made.append(Plot(plot_name(name), _course(result), _scenario))
    return made


def _bar(goal: Goal) -> dict[str, Any]:
    def part(value: float) -> float:
        """1: as it should be; more is better. A limit may be 0, and so may what is limited."""
        above, below = (value, goal.bound) if goal.least else (goal.bound, value)
        if below == 0:
            return 1.0 if above == 0 else MOST_BAR
        return min(round(above / below, 4), MOST_BAR)

    ends = (goal.lowest, goal.highest)
    return {
        "label": goal.name,
        "text": f"{number(goal.measured)}, {goal.target}",
        "part": part(goal.measured),
        "spread": None if None in ends else [part(end) for end in ends if end is not None],
        "met": goal.met,
    }


def _bars(bars: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.7 + 0.42 * len(bars)))
    axes = figure.add_subplot()
    for place, bar in enumerate(bars):
        axes.barh(place, bar["part"], 0.55, color=GREEN if bar["met"] else RED, alpha=0.8)
        if bar["spread"]:
            axes.plot(bar["spread"], [place] * 2, color=GREY, marker="|")
        right = max([1.0, bar["part"], *(bar["spread"] or [])])  # clear of the target's line
        axes.text(right + 0.03, place, bar["text"], va="center")
    axes.axvline(1, color=GREY, linestyle="--")
    axes.set_yticks(range(len(bars)), [bar["label"] for bar in bars])
    axes.set_xlim(0, MOST_BAR * 1.5)
    axes.set_xticks([0, 0.5, 1, 1.5, MOST_BAR], ["0", "", "target", "", "twice as good or more"])
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    return figure


def _memory(points: list[list[float]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.4))
    axes = figure.add_subplot()
    axes.plot([at for at, _ in points], [mib for _, mib in points], color=BLUE)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("uploads")
    axes.set_ylabel("resident, MiB")
    return figure


def _course(result: Report) -> dict[str, Any]:
    """What happened, bin by bin: latencies, answers a second by kind, resident memory."""
    step, bins = result["bin_s"], result["bins"]
    names = sorted({name for one in bins for name in one})

    def series(name: str, key: str) -> list[float | None]:
        return [one.get(name, {}).get(key) for one in bins]

    return {
        "stages": [[stage["name"], stage["seconds"]] for stage in result["stages"]],
        "fault": result.get("fault_s"),
        "at": [place * step for place in range(len(bins))],
        "latency": {
            f"{name}s, {key.removesuffix('_ms')}": series(name, key)
            for name in names
            for key in ("p50_ms", "p99_ms")
        },
        "rate": {
            label: [
                round(sum(many for status, many in one.items() if kind(int(status))) / step, 2)
                for one in (answer.get(name, {}).get("statuses", {}) for answer in bins)
            ]
            for name in names
            for label, kind in ((f"{name}s", _served), (f"{name}s refused", _refused))
        }
        | {
            "failed": [
                sum(
                    many
                    for answers in one.values()
                    for status, many in answers["statuses"].items()
                    if not _served(int(status)) and not _refused(int(status))
                )
                for one in bins
            ]
        },
        "rss_mb": result["rss_mb"][::step],
    }


def _served(status: int) -> bool:
    return 200 <= status < 300


def _refused(status: int) -> bool:
    """The service says that it cannot now, as it should when it cannot."""
    return status in (429, 503)


def _scenario(course: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(WIDTH, 5.0))
    latency, rate, memory = figure.subplots(3, 1, sharex=True, height_ratios=[2, 2, 1])
    colours = {"reads": BLUE, "uploads": ORANGE}
    for label, values in course["latency"].items():
        kind, _, which = label.partition(", ")
        points = [float("nan") if value is None else value for value in values]
        dashes = "-" if which == "p50" else ":"
        latency.plot(course["at"], points, dashes, color=colours[kind], label=label)
    for label, values in course["rate"].items():
        if not any(values):
            continue
        kind, _, refused = label.partition(" ")
        dashes, colour = ("--", colours[kind]) if refused else ("-", colours.get(kind, RED))
        rate.plot(course["at"], values, dashes, color=colour, label=label)
    step = course["at"][1] - course["at"][0] if len(course["at"]) > 1 else 1
    memory.plot([at * step for at in range(len(course["rss_mb"]))], course["rss_mb"], color=GREY)
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axes, label in ((latency, "latency, ms"), (rate, "a second"), (memory, "resident, MB")):
        axes.set_ylabel(label)
    for axes in (latency, rate):
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axes, most in ((rate, _most(course["rate"].values())), (memory, _most([course["rss_mb"]]))):
        axes.set_ylim(0, 1.15 * most)
    memory.set_xlabel("seconds")
    _mark(course, (latency, rate, memory))
    return figure


def _most(series: Iterable[list[float]]) -> float:
    return max((value for values in series for value in values), default=0) or 1


def _mark(course: dict[str, Any], all_axes: tuple[Axes, ...]) -> None:
    """Where a stage begins, and while the store was gone."""
    top = all_axes[0]
    for name, start in _starts(course["stages"]):
        top.text(start, 1.02, name, transform=top.get_xaxis_transform())
        for axes in all_axes:
            axes.axvline(start, color=GREY, linewidth=0.8)
    if course["fault"]:
        down, up = course["fault"]
        top.text(down, 1.02, "no store", color=RED, transform=top.get_xaxis_transform())
        for axes in all_axes:
            axes.axvspan(down, up, color=RED, alpha=0.15, linewidth=0)


def _starts(stages: list[list[Any]]) -> Iterator[tuple[str, float]]:
    start = 0.0
    for name, seconds in stages:
        yield name, start
        start += seconds
