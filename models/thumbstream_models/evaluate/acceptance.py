"""Acceptance criteria of the product codec, checked against a result.

Every number and every verdict is computed. All bytes of the product codec count, and only the
payload of the other codecs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from thumbstream.models import DEFAULT_MODEL
from thumbstream_models.evaluate import rate_curves
from thumbstream_models.evaluate.results import BEST, Results
from thumbstream_models.evaluate.tables import Rows, charge

PRODUCT = DEFAULT_MODEL
SSIM_AT = {32: 0.68, 64: 0.82, 128: 0.91}
"""Least mean SSIM at 32 x 32, by bytes."""
FEWER = -0.4
"""Bjontegaard difference of bytes against the best classical codec of each picture."""
EQUAL_SSIM = (0.60, 0.70, 0.80, 0.90)
"""Mean SSIM at which fewer bytes are needed than by the best classical codec."""
THUMBHASH, THUMBHASH_BYTES, THUMBHASH_SSIM = "thumbhash", 24, 0.62
DOUBLE = {64: (64, 128, 256), 128: (128, 256, 512)}
"""By size: bytes at which SSIM must be that of the best classical codec at twice the bytes."""


class Criterion(NamedTuple):
    """What is required, what was measured, and whether that is enough."""

    text: str
    measured: str
    met: bool


def acceptance_rows(result: Results) -> Rows:
    """A header and a row for each criterion that ``result`` has the codecs for."""
    if PRODUCT not in result["codecs"]:
        return []
    small = result["pictures"]["size"] == min(SSIM_AT)
    compared = result.get("reference") == PRODUCT
    found = [
        *(_fewer_bytes(result) if compared else ()),
        *(_equal(result) if BEST in result["codecs"] else ()),
    ]
    if small and result["pictures"]["grid"] == "crop":
        found = [*_qualities(result), *found, *_thumbhash(result)]
    found += _double(result)
    rows = [[c.text, c.measured, "yes" if c.met else "no"] for c in found]
    return [["criterion", "measured", "met"], *rows]


def means(result: Results, name: str) -> dict[int, float]:
    """Mean SSIM of a codec by budget: all bytes of a model count, the payload of other codecs."""
    codec = result["codecs"][name]
    return {p["bytes"]: p["ssim"] for p in codec["points"][charge(codec, "headline")]}


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


def _qualities(result: Results) -> Iterator[Criterion]:
    found = means(result, PRODUCT)
    for budget, least in SSIM_AT.items():
        if budget in found:
            yield Criterion(
                f"SSIM of {least:.2f} at {budget} bytes",
                f"{found[budget]:.3f}",
                found[budget] >= least,
            )


def _fewer_bytes(result: Results) -> Iterator[Criterion]:
    against = result.get("comparison", {}).get(BEST)
    rates = against["payload"]["bjontegaard_rate"] if against else {}
    for measure in ("ssim", "psnr"):
        if rates.get(measure) is not None:
            yield Criterion(
                f"{100 * FEWER:+.0f} % bytes against the best classical codec, by "
                f"{result['metrics'][measure]} (Bjontegaard)",
                f"{100 * rates[measure]:+.1f} %",
                rates[measure] <= FEWER,
            )


def _equal(result: Results) -> Iterator[Criterion]:
    ours, best = means(result, PRODUCT), means(result, BEST)
    for quality in EQUAL_SSIM:
        needed = [rate_curves.rate_at(quality, list(c), list(c.values())) for c in (ours, best)]
        if quality > min(best.values()) and needed[1] < float("inf"):
            ratio = needed[0] / needed[1]
            bound = "under " if quality <= min(ours.values()) else ""
            yield Criterion(
                f"fewer bytes than the best classical codec at SSIM {quality:.2f}",
                "not reached" if ratio == float("inf") else f"{bound}{ratio:.2f} of its bytes",
                ratio < 1,
            )


def _thumbhash(result: Results) -> Iterator[Criterion]:
    if THUMBHASH in result["codecs"]:
        ours = means(result, PRODUCT).get(THUMBHASH_BYTES)
        theirs = means(result, THUMBHASH).get(THUMBHASH_BYTES)
        if ours is not None and theirs is not None:
            yield Criterion(
                f"SSIM of {THUMBHASH_SSIM:.2f} at the {THUMBHASH_BYTES} bytes of ThumbHash",
                f"{ours:.3f}; ThumbHash {theirs:.3f}",
                ours >= THUMBHASH_SSIM,
            )


def _double(result: Results) -> Iterator[Criterion]:
    if BEST not in result["codecs"]:
        return
    ours, best = means(result, PRODUCT), means(result, BEST)
    for budget in DOUBLE.get(result["pictures"]["size"], ()):
        if budget in ours and 2 * budget in best:
            yield Criterion(
                f"at {budget} bytes as good as the best classical codec at {2 * budget}",
                f"SSIM {ours[budget]:.3f}; {best[2 * budget]:.3f}",
                ours[budget] >= best[2 * budget],
            )
