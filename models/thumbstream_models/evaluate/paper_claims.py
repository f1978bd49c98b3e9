"""The claims of arXiv 1511.06085, checked against a result.

Every number and every verdict is computed. The claims are those of the paper's abstract, in short.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from thumbstream_models.evaluate import rate_curves
from thumbstream_models.evaluate.acceptance import equal_ssim
from thumbstream_models.evaluate.results import Results
from thumbstream_models.evaluate.tables import Rows, charge, model_ids

FEWER = 0.9
"""The paper needs at most this fraction of the bytes of the classical codecs."""
PAPERS_BEST = "conv-lstm-1"
"""The system that the paper's claims are about."""
PAPERS_BASELINES = ("jpeg", "jpeg2000", "webp")
AUTOENCODER = "conv-autoencoder-1"
RIVALS = {
    "conv-lstm-1": ("conv-residual-1", "conv-residual-shared-1", "fc-lstm-1"),
    "fc-lstm-1": ("fc-residual-1", "fc-residual-shared-1"),
}
"""Each recurrent system, and the systems that it beats in the paper."""
RATES = (24, 32, 48, 64, 96, 128)
"""Bytes of the paper's curves."""
TOLERANCE = 0.0005
"""Allowed fall of mean SSIM from one budget to the next: half of the last digit in the tables."""


class Claim(NamedTuple):
    """What the paper says, what was measured, and whether it holds here."""

    text: str
    measured: str
    holds: str


def claim_rows(result: Results) -> Rows:
    """A header and a row for each claim that ``result`` has the codecs for."""
    found = [*_progressive(result), *_autoencoder(result), *_fewer_bytes(result), *_lstm(result)]
    return [["claim", "measured", "holds"], *(list(claim) for claim in found)]


def _progressive(result: Results) -> Iterator[Claim]:
    worst, where = 0.0, ""
    for name in model_ids(result):
        codec = result["codecs"][name]
        qualities = [point["ssim"] for point in codec["points"][charge(codec, "payload")]]
        falls = [a - b for a, b in pairwise(qualities)]
        if max(falls, default=0.0) > worst:
            worst, where = max(falls), name
    measured = f"largest fall of mean SSIM from one budget to the next: {worst:.4f}"
    measured += f" (`{where}`)" if where else ""
    yield Claim(
        "progressive: more bits, a better picture", measured, _verdict([worst <= TOLERANCE])
    )


def _autoencoder(result: Results) -> Iterator[Claim]:
    if {AUTOENCODER, PAPERS_BEST} <= set(model_ids(result)):
        rates, qualities = _curve(result, AUTOENCODER)
        quality, spent = qualities[-1], rates[-1]
        ratio = rate_curves.rate_at(quality, *_curve(result, PAPERS_BEST)) / spent
        yield Claim(
            "at least as good as an autoencoder trained for one rate, at that rate",
            f"`{PAPERS_BEST}` needs {ratio:.2f} of the {spent:.0f} bytes of `{AUTOENCODER}` for "
            f"its SSIM of {quality:.3f}",
            _verdict([ratio <= 1]),
        )


def _fewer_bytes(result: Results) -> Iterator[Claim]:
    for name in PAPERS_BASELINES:
        points = _equal_ssim(result, name)
        if not points:
            continue
        ratios = ", ".join(f"{_ratio(point)} at {point['bytes']}" for point in points)
        yield Claim(
            f"10 % fewer bytes than headerless {result['codecs'][name]['title']}",
            f"fraction of its bytes: {ratios}",
            _verdict([point["ratio"] is not None and point["ratio"] <= FEWER for point in points]),
        )


def _lstm(result: Results) -> Iterator[Claim]:
    for lstm, others in RIVALS.items():
        for other in others:
            if {lstm, other} <= set(model_ids(result)):
                rate = rate_curves.bjontegaard_rate(_curve(result, other), _curve(result, lstm))
                if rate is not None:
                    yield Claim(
                        f"`{lstm}` beats `{other}`",
                        f"{100 * rate:+.1f} % bytes at equal SSIM (Bjontegaard)",
                        _verdict([rate < 0]),
                    )


def _curve(result: Results, model: str) -> tuple[list[float], list[float]]:
    """Mean payload and mean SSIM of a model at the budgets that buy more payload."""
    rates: list[float] = []
    qualities: list[float] = []
    for point in result["codecs"][model]["points"]["payload"]:
        if not rates or point["mean_payload"] > rates[-1]:
            rates.append(point["mean_payload"])
            qualities.append(point["ssim"])
    return rates, qualities


def _equal_ssim(result: Results, name: str) -> list[dict[str, Any]]:
    """Bytes of the paper's best system at the mean SSIM that another codec has at each budget."""
    if result["reference"] == PAPERS_BEST:
        against = result.get("comparison", {}).get(name)
        points = against["payload"]["equal_ssim"] if against else []
        return [point for point in points if point["bytes"] in RATES]
    if not {PAPERS_BEST, name} <= result["codecs"].keys():
        return []
    return equal_ssim(result, PAPERS_BEST, name, RATES)


def _ratio(point: dict[str, Any]) -> str:
    if point["ratio"] is None:
        return "not reached"
    return f"{'under ' if point['at_most'] else ''}{point['ratio']:.2f}"


def _verdict(held: list[bool]) -> str:
    if all(held):
        return "yes"
    return f"at {sum(held)} of {len(held)} rates" if any(held) else "no"
