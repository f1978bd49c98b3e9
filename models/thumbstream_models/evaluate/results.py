"""From scores of single pictures to the published JSON.

One file is one set of pictures on one grid. Tables and plots read these files, so what these
functions write is the format: raise `FORMAT` when a key changes its meaning.
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

FORMAT = 4
BEST = "best"
"""Name of the row of the best classical codec for each picture and budget."""
EQUAL_QUALITY_BUDGETS = (24, 32, 48, 64, 96, 128, 256, 512)
"""Budgets of a codec at which the bytes of the reference at equal quality are computed."""
ENTROPY_BUDGETS = (64, 128)
MAX_UNFIT = 0.1
"""Budgets that more than this fraction of the pictures exceed do not enter Bjontegaard rates."""


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
        for name, sizes in (("mean_payload", scores.payload), ("mean_file", scores.file)):
            point[name] = _round(sizes[fits, i].mean(), 1) if fits.any() else None
        out.append(point)
    return out


def comparison(ours: Scores, theirs: Scores, budgets: Sequence[int]) -> dict[str, Any]:
    """Bytes of the reference compared with those of another codec on the same pictures."""
    return {
        "bjontegaard_rate": {
            name: _bjontegaard(ours, theirs, budgets, name) for name in theirs.quality
        },
        **{
            f"equal_{measure}": [
                equal_quality(ours, theirs, budgets, budget, measure)
                for budget in _worth_matching(theirs, budgets)
            ]
            for measure in ("ssim", "psnr")
        },
    }


def _bjontegaard(ours: Scores, theirs: Scores, budgets: Sequence[int], name: str) -> float | None:
    sign = -1 if METRICS[name].less_is_better else 1
    rates = np.asarray(budgets, np.float64)
    sides = []
    for scores in (theirs, ours):
        fit = scores.fits.mean(axis=0) >= 1 - MAX_UNFIT
        if not fit.any():
            return None
        sides.append((rates[fit], sign * scores.quality[name].mean(axis=0)[fit]))
    rate = rate_curves.bjontegaard_rate(*sides)
    return None if rate is None else _round(rate, 4)


def _worth_matching(theirs: Scores, budgets: Sequence[int]) -> list[int]:
    """Budgets that half of the pictures fit and that buy more bytes than the budget before."""
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
    ours: Scores, theirs: Scores, budgets: Sequence[int], budget: int, measure: str
) -> dict[str, Any]:
    """Bytes of the reference at the mean quality that another codec reaches within ``budget``.

    ``reference_bytes`` is None if the reference does not reach it within any budget measured;
    ``at_most`` is true if it reaches it within the smallest one.
    """
    i = budgets.index(budget)
    qualities, targets = ours.quality[measure], theirs.quality[measure][:, i]
    target, curve = targets.mean(), qualities.mean(axis=0)
    needed = rate_curves.rate_at(target, budgets, curve)
    low, high = rate_curves.rate_ratio_interval(budget, budgets, qualities, targets)
    return {
        "bytes": budget,
        measure: _round(target, METRICS[measure].digits),
        "unfit": int((~theirs.fits[:, i]).sum()),
        "reference_bytes": _round(needed, 1),
        "ratio": _round(needed / budget, 3),
        "ratio_95": [_round(low, 3), _round(high, 3)],
        "at_most": bool(target <= curve[0]),
    }


def entropy_saving(ours: Scores, budgets: Sequence[int]) -> dict[str, float]:
    """Mean fraction of the bytes saved, compared with sending the codes of a prefix as raw bits.

    Of a model that has binary codes; empty for others. The header of the stream counts, raw bits
    have none. Pictures whose stream is shorter than the budget are omitted.
    """
    out = {}
    for budget in ENTROPY_BUDGETS:
        if budget in budgets:
            i = budgets.index(budget)
            full = (ours.file[:, i] == budget) & (ours.codes[:, i] > 0)
            if full.any():
                raw = ours.codes[full, i] / 8
                out[str(budget)] = _round(1 - (budget / raw).mean(), 4)
    return out


def environment(codecs: Sequence[Codec]) -> dict[str, Any]:
    """The machine, and the versions of everything that the numbers depend on."""
    versions = {**package_versions("numpy"), **metrics.versions()}
    for codec in codecs:
        versions.update(codec.versions())
    return {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


def reference_of(codecs: Sequence[Codec], requested: str | None) -> str | None:
    """Name of the codec that the others are compared with: ``requested``, or the first model."""
    if requested:
        return requested
    return next((codec.name for codec in codecs if codec.kind == "model"), None)


def summary(
    pictures: Pictures,
    sources: Sequence[str],
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    scores: Mapping[str, Charged],
    machine: dict[str, Any],
    reference: str | None = None,
) -> Results:
    """The published result; the other codecs are compared with the one named ``reference``.

    ``machine`` is what `environment` returns.
    """
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
        "environment": machine,
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
    saved = {
        codec.name: entropy_saving(scores[codec.name]["file"], budgets)
        for codec in codecs
        if codec.kind == "model"
    }
    out["entropy_saving"] = {name: saving for name, saving in saved.items() if saving}
    return out


def compared(
    ours: Charged, theirs: Charged, budgets: Sequence[int], models: tuple[bool, bool]
) -> Results:
    """`comparison` by payload and by file; ``models``: whether ours and theirs are models.

    By payload, all bytes of a model count against the payload of another codec; between two models
    it is payload against payload.
    """
    ours_charged, theirs_charged = (
        "file" if model and not all(models) else "payload" for model in models
    )
    return {
        "payload": comparison(ours[ours_charged], theirs[theirs_charged], budgets),
        "file": comparison(ours["file"], theirs["file"], budgets),
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
    """A result as JSON, with one line per point."""
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
    """Rounded for JSON; None if not finite."""
    return round(float(value), digits) if math.isfinite(value) else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
