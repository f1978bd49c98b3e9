"""Acceptance criteria of the product codec, checked against a result.

Every number and every verdict is computed. All bytes of the product codec count, and only the
payload of the other codecs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from thumbstream.models import DEFAULT_MODEL
from thumbstream_models.evaluate import rate_curves
from thumbstream_models.evaluate.metrics import METRICS
from thumbstream_models.evaluate.results import BEST, Results
from thumbstream_models.evaluate.streams import HALF
from thumbstream_models.evaluate.tables import Rows, charge

PRODUCT = DEFAULT_MODEL
SMALL = 32
"""Default size of the grid."""
SHARES = {
    SMALL: {
        "ssim": {32: 0.62, 64: 0.70, 128: 0.85, 256: 0.95},
        "psnr": {32: 0.72, 64: 0.80, 128: 0.90, 256: 1.0},
    },
    64: {measure: dict.fromkeys((64, 128, 256), 1.0) for measure in ("ssim", "psnr")},
    128: {measure: dict.fromkeys((128, 256, 512), 1.0) for measure in ("ssim", "psnr")},
}
"""By size, measure and bytes: largest fraction of the bytes of the best classical codec of each
picture at which its mean quality is reached."""
GRAPHICS = "graphics"
"""Source of screenshots and plots."""
GRAPHICS_SHARES = {"ssim": dict.fromkeys((32, 64, 128, 256), 0.9)}
LONGEST = 600
WHOLE = {"psnr": 33.0, "ssim": 0.965}
"""Least mean quality at 32 x 32 of streams of at most `LONGEST` bytes."""
CHROMA = {24: 1.3, 64: 0.9, 128: 0.55}
"""Largest mean chroma error at 32 x 32, by bytes."""
THUMBHASH, THUMBHASH_BYTES = "thumbhash", 24
_QUALITY_FORMATS = {"ssim": "{:.3f}", "psnr": "{:.1f} dB", "chroma": "{:.2f}"}


class Criterion(NamedTuple):
    """What is required, what was measured, and whether that is enough."""

    text: str
    measured: str
    met: bool


def acceptance_rows(result: Results) -> Rows:
    """A header and a row for each criterion that ``result`` has the codecs for."""
    pictures = result["pictures"]
    size, grid = pictures["size"], pictures["grid"]
    if PRODUCT not in result["codecs"] or grid == "squash":
        return []
    found: list[Criterion] = []
    if pictures["sources"] == [GRAPHICS]:
        found += _shares(result, GRAPHICS_SHARES)
    elif size > SMALL:
        found += [*_shares(result, SHARES.get(size, {})), *_half_size(result)]
    elif size == SMALL and grid == "crop":
        found += [*_shares(result, SHARES[size]), *_whole(result)]
        found += [*_chroma(result), *_thumbhash(result)]
    rows = [[c.text, c.measured, "yes" if c.met else "no"] for c in found]
    return [["criterion", "measured", "met"], *rows]


def means(result: Results, name: str, measure: str = "ssim") -> dict[int, float]:
    """Mean quality of a codec by budget: all bytes of a model count, the payload of others."""
    codec = result["codecs"][name]
    return {p["bytes"]: p[measure] for p in codec["points"][charge(codec, "headline")]}


def equal_ssim(
    result: Results, ours: str, theirs: str, budgets: Sequence[int]
) -> list[dict[str, Any]]:
    """Bytes of codec ``ours`` at the mean SSIM that codec ``theirs`` has within each budget.

    For budgets that half of the pictures fit and that buy more than the budget before. Like
    `results.equal_quality`, without intervals.
    """
    curve, codec = means(result, ours), result["codecs"][theirs]
    out = []
    spent = 0.0
    for point in codec["points"][charge(codec, "headline")]:
        payload = point["mean_payload"] or 0.0
        fits = 2 * point["unfit"] <= result["pictures"]["count"]
        if point["bytes"] in budgets and fits and payload > spent:
            needed = rate_curves.rate_at(point["ssim"], list(curve), list(curve.values()))
            ratio = needed / point["bytes"]
            out.append(
                {
                    "bytes": point["bytes"],
                    "ratio": None if ratio == float("inf") else round(ratio, 3),
                    "at_most": point["ssim"] <= next(iter(curve.values())),
                }
            )
        spent = payload
    return out


def _shares(result: Results, limits: dict[str, dict[int, float]]) -> Iterator[Criterion]:
    against = result.get("comparison", {}).get(BEST)
    if against is None or result.get("reference") != PRODUCT:
        return
    for measure, by_bytes in limits.items():
        points = {p["bytes"]: p for p in against["payload"][f"equal_{measure}"]}
        for budget, limit in by_bytes.items():
            if point := points.get(budget):
                ratio, bound = point["ratio"], "under " if point["at_most"] else ""
                yield Criterion(
                    f"at most {limit:.2f} of the bytes of the best classical codec at its "
                    f"{result['metrics'][measure]} in {budget} bytes",
                    "not reached" if ratio is None else f"{bound}{ratio:.2f}",
                    ratio is not None and ratio <= limit,
                )


def _half_size(result: Results) -> Iterator[Criterion]:
    """A larger grid must not be worse than half of it, enlarged."""
    if HALF not in result["codecs"]:
        return
    for measure, by_bytes in SHARES.get(result["pictures"]["size"], {}).items():
        form = _QUALITY_FORMATS[measure]
        ours, half = (means(result, name, measure) for name in (PRODUCT, HALF))
        for budget in (budget for budget in by_bytes if budget in ours):
            yield Criterion(
                f"{result['metrics'][measure]} in {budget} bytes not below that of half the size",
                f"{form.format(ours[budget])}; half the size {form.format(half[budget])}",
                ours[budget] >= half[budget],
            )


def _whole(result: Results) -> Iterator[Criterion]:
    for measure, least in WHOLE.items():
        quality = means(result, PRODUCT, measure).get(LONGEST)
        if quality is not None:
            form = _QUALITY_FORMATS[measure]
            yield Criterion(
                f"{result['metrics'][measure]} of {form.format(least)} in {LONGEST} bytes",
                form.format(quality),
                quality >= least,
            )


def _chroma(result: Results) -> Iterator[Criterion]:
    found = means(result, PRODUCT, "chroma")
    for budget, most in CHROMA.items():
        if budget in found:
            yield Criterion(
                f"chroma error of {most:.2f} or less at {budget} bytes",
                f"{found[budget]:.2f}",
                found[budget] <= most,
            )


def _thumbhash(result: Results) -> Iterator[Criterion]:
    if THUMBHASH not in result["codecs"]:
        return
    for measure, form in _QUALITY_FORMATS.items():
        ours = means(result, PRODUCT, measure).get(THUMBHASH_BYTES)
        theirs = means(result, THUMBHASH, measure).get(THUMBHASH_BYTES)
        if ours is not None and theirs is not None:
            yield Criterion(
                f"better {result['metrics'][measure]} than ThumbHash at its "
                f"{THUMBHASH_BYTES} bytes",
                f"{form.format(ours)}; ThumbHash {form.format(theirs)}",
                ours < theirs if METRICS[measure].less_is_better else ours > theirs,
            )
