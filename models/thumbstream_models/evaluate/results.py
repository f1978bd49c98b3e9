"""From scores of single pictures to the JSON that is published.

One file is one set of pictures on one grid. Everything that tables and plots show comes from such
files, so what these functions write is the format: bump `FORMAT` when a key changes its meaning.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from thumbstream_models.evaluate import metrics, rate_curves
from thumbstream_models.evaluate.baselines import CLASSICAL, Codec
from thumbstream_models.evaluate.baselines.base import package_versions
from thumbstream_models.evaluate.measure import CHARGES, Charged, Scores, best_of
from thumbstream_models.evaluate.metrics import METRICS
from thumbstream_models.evaluate.pictures import GRIDS, Pictures

Results: TypeAlias = dict[str, Any]

FORMAT = 2
BEST = "best"
"""Name of the row that is made of the best classical codec for each picture and budget."""
EQUAL_QUALITY_BUDGETS = (24, 32, 48, 64, 96, 128)
"""Bytes given to a codec when asking how many the reference needs to match it."""
ENTROPY_BUDGETS = (64, 128)
MOST_UNFIT = 0.1
"""Budgets that more than this part of the pictures do not fit are left out of Bjontegaard rates."""


def points(scores: Scores, budgets: Sequence[int]) -> list[dict[str, Any]]:
    """Means over the pictures at each budget, with 95 % bootstrap intervals."""
    intervals = {
        name: rate_curves.interval(rate_curves.resampled_means(values))
        for name, values in scores.quality.items()
    }
    out = []
    for i, budget in enumerate(budgets):
        fits = scores.fits[:, i]
        point: dict[str, Any] = {"bytes": budget}
        for name, values in scores.quality.items():
            digits = METRICS[name].digits
            point[name] = _round(values[:, i].mean(), digits)
            point[f"{name}_95"] = [_round(bound[i], digits) for bound in intervals[name]]
        point["unfit"] = int((~fits).sum())
        for name, sizes in (("mean_payload", scores.payload), ("mean_file", scores.whole)):
            point[name] = _round(sizes[fits, i].mean(), 1) if fits.any() else None
        out.append(point)
    return out


def comparison(ours: Scores, theirs: Scores, budgets: Sequence[int]) -> dict[str, Any]:
    """What the reference saves against another codec on the same pictures."""
    return {
        "bjontegaard_rate": {
            name: _bjontegaard(ours, theirs, budgets, name) for name in theirs.quality
        },
        "equal_ssim": [
            equal_quality(ours, theirs, budgets, budget)
            for budget in _worth_matching(theirs, budgets)
        ],
    }


def _bjontegaard(ours: Scores, theirs: Scores, budgets: Sequence[int], name: str) -> float | None:
    sign = -1 if METRICS[name].less_is_better else 1
    rates = np.asarray(budgets, np.float64)
    sides = []
    for scores in (theirs, ours):
        fit = scores.fits.mean(axis=0) >= 1 - MOST_UNFIT
        if not fit.any():
            return None
        sides.append((rates[fit], sign * scores.quality[name].mean(axis=0)[fit]))
    rate = rate_curves.bjontegaard_rate(*sides)
    return None if rate is None else _round(rate, 4)


def _worth_matching(theirs: Scores, budgets: Sequence[int]) -> list[int]:
    """Budgets that half of the pictures fit, and that buy more than the one before."""
    out: list[int] = []
    spent = np.zeros_like(theirs.payload[:, 0])
    for budget in EQUAL_QUALITY_BUDGETS:
        if budget in budgets:
            i = budgets.index(budget)
            if theirs.fits[:, i].mean() >= 0.5 and not np.array_equal(theirs.payload[:, i], spent):
                out.append(budget)
            spent = theirs.payload[:, i]
    return out


def equal_quality(
    ours: Scores, theirs: Scores, budgets: Sequence[int], budget: int
) -> dict[str, Any]:
    """Bytes that the reference needs for the mean SSIM that another codec reaches in ``budget``.

    ``reference_bytes`` is None where the reference gets there with no budget that was measured, and
    ``at_most`` is true where it is there with the smallest one already.
    """
    i = budgets.index(budget)
    ssim, goals = ours.quality["ssim"], theirs.quality["ssim"][:, i]
    goal, curve = goals.mean(), ssim.mean(axis=0)
    needed = rate_curves.rate_at(goal, budgets, curve)
    low, high = rate_curves.rate_ratio_interval(budget, budgets, ssim, goals)
    return {
        "bytes": budget,
        "ssim": _round(goal, 4),
        "unfit": int((~theirs.fits[:, i]).sum()),
        "reference_bytes": _round(needed, 1),
        "ratio": _round(needed / budget, 3),
        "ratio_95": [_round(low, 3), _round(high, 3)],
        "at_most": bool(goal <= curve[0]),
    }


def entropy_saving(ours: Scores, budgets: Sequence[int]) -> dict[str, float]:
    """Mean part of the bytes saved against sending the codes of a prefix as raw bits.

    Of the whole stream: its header counts as a loss, raw bits are taken to travel without one.
    Pictures whose whole stream is shorter than the budget are left out.
    """
    out = {}
    for budget in ENTROPY_BUDGETS:
        if budget in budgets:
            i = budgets.index(budget)
            full = ours.whole[:, i] == budget
            if full.any():
                raw = ours.codes[full, i] / 8
                out[str(budget)] = _round(1 - (budget / raw).mean(), 4)
    return out


def environment(codecs: Sequence[Codec]) -> dict[str, Any]:
    """The machine, and versions of all that has a say in the numbers."""
    versions = {**package_versions("numpy"), **metrics.versions()}
    for codec in codecs:
        versions.update(codec.versions())
    return {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


def reference_of(codecs: Sequence[Codec], wanted: str | None) -> str | None:
    """Name of the codec that the others are compared with: ``wanted``, or the first model."""
    if wanted:
        return wanted
    return next((codec.name for codec in codecs if codec.kind == "model"), None)


def summary(
    pictures: Pictures,
    sources: Sequence[str],
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    scores: Mapping[str, Charged],
    surroundings: dict[str, Any],
    reference: str | None = None,
) -> Results:
    """The whole published result; others are compared with the codec named ``reference``."""
    rows = {codec.name: _row(codec, scores[codec.name], budgets) for codec in codecs}
    everything = dict(scores)
    classical = [name for name in CLASSICAL if name in scores]
    if len(classical) > 1:
        everything[BEST] = best_of([scores[name] for name in classical])
        titles = ", ".join(rows[name]["title"] for name in classical)
        rows[BEST] = {
            "title": "best classical",
            "kind": "composite",
            "counted": f"For each picture and budget, by SSIM, the best of {titles}.",
            "points": _points(everything[BEST], budgets),
        }
    out: Results = {
        "format": FORMAT,
        "environment": surroundings,
        "pictures": {
            "sources": list(sources),
            "count": len(pictures.pixels),
            "too_small": pictures.too_small,
            "sha256": pictures.sha256,
            "size": pictures.size,
            "grid": pictures.grid,
            "reduction": GRIDS[pictures.grid],
        },
        "budgets": list(budgets),
        "metrics": {name: metric.title for name, metric in METRICS.items()},
        "codecs": rows,
    }
    if reference is not None:
        ours, kind = everything[reference], rows[reference]["kind"]
        out["reference"] = reference
        out["comparison"] = {
            name: compared(ours, other, budgets, (kind == "model", rows[name]["kind"] == "model"))
            for name, other in everything.items()
            if name != reference
        }
        if kind == "model":
            out["entropy_saving"] = entropy_saving(ours["whole"], budgets)
    return out


def compared(
    ours: Charged, theirs: Charged, budgets: Sequence[int], models: tuple[bool, bool]
) -> Results:
    """`comparison` under both charges; ``models`` says whether we and they are models.

    A model is held with its whole stream against the payload of another codec: the header that it
    needs is never given away. Between two models it is payload against payload.
    """
    ours_charged, theirs_charged = (
        "whole" if model and not all(models) else "payload" for model in models
    )
    return {
        "payload": comparison(ours[ours_charged], theirs[theirs_charged], budgets),
        "whole": comparison(ours["whole"], theirs["whole"], budgets),
    }


def _row(codec: Codec, charged: Charged, budgets: Sequence[int]) -> dict[str, Any]:
    return {
        "title": codec.title,
        "kind": codec.kind,
        "counted": codec.counted,
        "points": _points(charged, budgets),
    }


def _points(charged: Charged, budgets: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    return {charge: points(charged[charge], budgets) for charge in CHARGES}


def dumps(result: Results) -> str:
    """Write a result as JSON, a line for each point."""
    text = json.dumps(result, indent=1)
    for innermost in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(innermost, lambda match: " ".join(match.group().split()), text)
    return text + "\n"


def load(path: Path) -> Results:
    """Read a result; raises `ValueError` when it is of another format."""
    result: Results = json.loads(path.read_text(encoding="utf-8"))
    if result.get("format") != FORMAT:
        raise ValueError(f"{path} is of format {result.get('format')}, not {FORMAT}: measure again")
    return result


def _round(value: float, digits: int) -> Any:
    """Rounded for JSON; None for what is not finite."""
    return round(float(value), digits) if math.isfinite(value) else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
