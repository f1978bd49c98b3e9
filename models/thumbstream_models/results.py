"""From scores of single pictures to the JSON that is published.

One file is one set of pictures. Everything that tables and plots show comes from such files, so
what these functions write is the format: bump `FORMAT` when a key changes its meaning.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import features

from thumbstream import zoo
from thumbstream_models import curves
from thumbstream_models.baselines import Codec
from thumbstream_models.measure import Scores
from thumbstream_models.pictures import GRIDS, Pictures

Results: TypeAlias = dict[str, Any]

FORMAT = 1
OURS = "thumbstream"
EQUAL_QUALITY_BUDGETS = (24, 32, 48, 64, 96, 128)
"""Bytes given to a baseline when asking how many thumbstream needs to match it."""
ENTROPY_BUDGETS = (64, 128)
MOST_UNFIT = 0.1
"""Budgets that more than this part of the pictures do not fit are left out of Bjontegaard rates."""


def points(scores: Scores, budgets: Sequence[int]) -> list[dict[str, Any]]:
    """Means over the pictures at each budget, with 95 % bootstrap intervals."""
    ssim_low, ssim_high = curves.interval(curves.resampled_means(scores.ssim))
    psnr_low, psnr_high = curves.interval(curves.resampled_means(scores.psnr))
    out = []
    for i, budget in enumerate(budgets):
        fits = scores.fits[:, i]
        out.append(
            {
                "bytes": budget,
                "ssim": _round(scores.ssim[:, i].mean(), 4),
                "ssim_95": [_round(ssim_low[i], 4), _round(ssim_high[i], 4)],
                "psnr": _round(scores.psnr[:, i].mean(), 2),
                "psnr_95": [_round(psnr_low[i], 2), _round(psnr_high[i], 2)],
                "unfit": int((~fits).sum()),
                "mean_payload": _round(scores.payload[fits, i].mean(), 1) if fits.any() else None,
                "mean_file": _round(scores.whole[fits, i].mean(), 1) if fits.any() else None,
            }
        )
    return out


def comparison(ours: Scores, theirs: Scores, budgets: Sequence[int]) -> dict[str, Any]:
    """What thumbstream saves against another codec on the same pictures."""
    fit = theirs.fits.mean(axis=0) >= 1 - MOST_UNFIT
    ours_fit = ours.fits.mean(axis=0) >= 1 - MOST_UNFIT
    rates = np.asarray(budgets, np.float64)
    out: dict[str, Any] = {}
    for measure in ("ssim", "psnr"):
        a, b = getattr(theirs, measure).mean(axis=0), getattr(ours, measure).mean(axis=0)
        rate = None
        if fit.any() and ours_fit.any():
            rate = curves.bjontegaard_rate((rates[fit], a[fit]), (rates[ours_fit], b[ours_fit]))
        out[f"bjontegaard_rate_{measure}"] = None if rate is None else _round(rate, 4)
    out["equal_ssim"] = [
        equal_quality(ours, theirs, budgets, budget) for budget in _worth_matching(theirs, budgets)
    ]
    return out


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
    """Bytes that thumbstream needs for the mean SSIM that another codec reaches in ``budget``.

    ``thumbstream_bytes`` is None where thumbstream gets there with no budget that was measured, and
    ``at_most`` is true where it is there with the smallest one already.
    """
    i = budgets.index(budget)
    goal, curve = theirs.ssim[:, i].mean(), ours.ssim.mean(axis=0)
    needed = curves.rate_at(goal, budgets, curve)
    low, high = curves.rate_ratio_interval(budget, budgets, ours.ssim, theirs.ssim[:, i])
    return {
        "bytes": budget,
        "ssim": _round(goal, 4),
        "unfit": int((~theirs.fits[:, i]).sum()),
        "thumbstream_bytes": _round(needed, 1),
        "ratio": _round(needed / budget, 3),
        "ratio_95": [_round(low, 3), _round(high, 3)],
        "at_most": bool(goal <= curve[0]),
    }


def entropy_saving(ours: Scores, budgets: Sequence[int]) -> dict[str, float]:
    """Mean part of the bytes saved against sending the codes of a prefix as raw bits.

    The header of the stream counts as a loss: raw bits are taken to travel without one. Pictures
    whose whole stream is shorter than the budget are left out.
    """
    out = {}
    for budget in ENTROPY_BUDGETS:
        if budget in budgets:
            i = budgets.index(budget)
            full = ours.payload[:, i] == budget
            if full.any():
                raw = ours.codes[full, i] / 8
                out[str(budget)] = _round(1 - (budget / raw).mean(), 4)
    return out


def environment(model: str | None, device: str) -> dict[str, Any]:
    """Versions of all that has a say in the numbers.

    ``model`` is the model that was measured, if one was.
    """
    out: dict[str, Any] = {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "numpy": metadata.version("numpy"),
        "pillow": metadata.version("pillow"),
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "openjpeg": features.version("jpg_2000"),
        "libwebp": features.version("webp"),
        "libavif": features.version("avif"),
    }
    if model is not None:
        codec = zoo.load(model, device=device)
        out["model"] = codec.model_id
        out["providers"] = list(codec.providers)
        out["model_files"] = zoo.describe(codec.model_id)["files"]
    return out


def summary(
    pictures: Pictures,
    sources: Sequence[Path],
    size: int,
    grid: str,
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    scores: Mapping[str, Scores],
    surroundings: dict[str, Any],
) -> Results:
    """The whole published result."""
    out: Results = {
        "format": FORMAT,
        "environment": surroundings,
        "pictures": {
            "sources": [source.name for source in sources],
            "count": len(pictures.pixels),
            "sha256": pictures.sha256,
            "size": size,
            "grid": grid,
            "reduction": GRIDS[grid],
        },
        "budgets": list(budgets),
        "codecs": {
            codec.name: {
                "title": codec.title,
                "counted": codec.counted,
                "points": points(scores[codec.name], budgets),
            }
            for codec in codecs
        },
    }
    if OURS in scores:
        ours = scores[OURS]
        out["comparison"] = {
            name: comparison(ours, other, budgets) for name, other in scores.items() if name != OURS
        }
        out["entropy_saving"] = entropy_saving(ours, budgets)
    return out


def dumps(result: Results) -> str:
    """Write a result as JSON, a line for each point."""
    text = json.dumps(result, indent=1)
    for innermost in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(innermost, lambda match: " ".join(match.group().split()), text)
    return text + "\n"


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
