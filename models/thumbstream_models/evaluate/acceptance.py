"""What the product codec is to reach, line by line, against what was measured.

Like the paper's `claims`, every number and verdict is computed from a result. The product codec is
held with its whole streams against the payloads of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from thumbstream_models.evaluate import rate_curves
from thumbstream_models.evaluate.results import BEST, Results
from thumbstream_models.evaluate.tables import Rows, charge

PRODUCT = "thumbstream-1"
SSIM_AT = {32: 0.68, 64: 0.82, 128: 0.91}
"""Least mean SSIM at 32 x 32 for these bytes."""
FEWER = -0.4
"""Bjontegaard rate against the best classical codec of each picture."""
EQUAL_SSIM = (0.60, 0.70, 0.80, 0.90)
"""Qualities at which the bytes are to be fewer than those of the best classical codec."""
THUMBHASH, THUMBHASH_BYTES, THUMBHASH_SSIM = "thumbhash", 24, 0.62
DOUBLE = {64: (64, 128, 256), 128: (128, 256, 512)}
"""At these sizes and bytes it is to be as good as the best classical codec at twice the bytes."""


class Goal(NamedTuple):
    """What is wanted, what was found, and whether that is enough."""

    text: str
    found: str
    reached: bool


def goals(result: Results) -> Rows:
    """A header and a row for each goal that ``result`` can say something about."""
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
    told = [[goal.text, goal.found, "yes" if goal.reached else "no"] for goal in found]
    return [["goal", "measured here", "reached"], *told]


def means(result: Results, name: str) -> dict[int, float]:
    """Mean SSIM of a codec at each budget: of a model's whole streams, of others' payloads."""
    codec = result["codecs"][name]
    return {p["bytes"]: p["ssim"] for p in codec["points"][charge(codec, "headline")]}


def equal_ssim(
    result: Results, ours: str, theirs: str, budgets: Sequence[int]
) -> list[dict[str, Any]]:
    """Bytes that one codec needs for the mean SSIM that another has within each budget.

    Of budgets that half of the pictures fit and that buy more than the one before. As
    `results.equal_quality`, without its intervals.
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


def _qualities(result: Results) -> Iterator[Goal]:
    found = means(result, PRODUCT)
    for budget, least in SSIM_AT.items():
        if budget in found:
            yield Goal(
                f"SSIM of {least:.2f} at {budget} bytes",
                f"{found[budget]:.3f}",
                found[budget] >= least,
            )


def _fewer_bytes(result: Results) -> Iterator[Goal]:
    against = result.get("comparison", {}).get(BEST)
    rates = against["payload"]["bjontegaard_rate"] if against else {}
    for measure in ("ssim", "psnr"):
        if rates.get(measure) is not None:
            yield Goal(
                f"{100 * FEWER:+.0f} % bytes against the best classical codec, by "
                f"{result['metrics'][measure]} (Bjontegaard's mean)",
                f"{100 * rates[measure]:+.1f} %",
                rates[measure] <= FEWER,
            )


def _equal(result: Results) -> Iterator[Goal]:
    ours, best = means(result, PRODUCT), means(result, BEST)
    for quality in EQUAL_SSIM:
        needed = [rate_curves.rate_at(quality, list(c), list(c.values())) for c in (ours, best)]
        if quality > min(best.values()) and needed[1] < float("inf"):
            ratio = needed[0] / needed[1]
            bound = "under " if quality <= min(ours.values()) else ""
            yield Goal(
                f"fewer bytes than the best classical codec at SSIM {quality:.2f}",
                "not reached" if ratio == float("inf") else f"{bound}{ratio:.2f} of its bytes",
                ratio < 1,
            )


def _thumbhash(result: Results) -> Iterator[Goal]:
    if THUMBHASH in result["codecs"]:
        ours = means(result, PRODUCT).get(THUMBHASH_BYTES)
        theirs = means(result, THUMBHASH).get(THUMBHASH_BYTES)
        if ours is not None and theirs is not None:
            yield Goal(
                f"SSIM of {THUMBHASH_SSIM:.2f} at the {THUMBHASH_BYTES} bytes of ThumbHash",
                f"{ours:.3f}; ThumbHash {theirs:.3f}",
                ours >= THUMBHASH_SSIM,
            )


def _double(result: Results) -> Iterator[Goal]:
    if BEST not in result["codecs"]:
        return
    ours, best = means(result, PRODUCT), means(result, BEST)
    for budget in DOUBLE.get(result["pictures"]["size"], ()):
        if budget in ours and 2 * budget in best:
            yield Goal(
                f"at {budget} bytes as good as the best classical codec at {2 * budget}",
                f"SSIM {ours[budget]:.3f}; {best[2 * budget]:.3f}",
                ours[budget] >= best[2 * budget],
            )
