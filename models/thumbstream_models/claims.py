"""The claims of arXiv 1511.06085, one by one, against what was measured here.

Every sentence and every verdict is computed from a result; nothing is written by hand. Claims and
their wording are those of the paper's abstract, in short.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from thumbstream_models.results import Results
from thumbstream_models.tables import Rows, charge, systems

FEWER = 0.9
"""The paper needs at most this part of the bytes of the classical codecs."""
PAPERS_BASELINES = ("jpeg", "jpeg2000", "webp")
AUTOENCODER = "conv-autoencoder-1"
AUTOENCODER_BYTES = 64
"""Raw bytes of its codes at 32x32: the one rate it was trained for."""
FALL = 0.0005
"""Mean SSIM may fall by this much between two budgets: half of the last digit that is shown."""


class Claim(NamedTuple):
    """What the paper says, what was found, and whether it holds here."""

    text: str
    found: str
    holds: str


def claims(result: Results) -> Rows:
    """A header and a row for each claim that ``result`` can say something about."""
    found = [*_progressive(result), *_autoencoder(result), *_fewer_bytes(result), *_lstm(result)]
    return [["claim", "measured here", "holds"], *(list(claim) for claim in found)]


def _progressive(result: Results) -> Iterator[Claim]:
    worst, where = 0.0, ""
    for name in systems(result):
        codec = result["codecs"][name]
        qualities = [point["ssim"] for point in codec["points"][charge(codec, "payload")]]
        falls = [a - b for a, b in pairwise(qualities)]
        if max(falls, default=0.0) > worst:
            worst, where = max(falls), name
    told = f"largest fall of mean SSIM from a budget to the next: {worst:.4f}"
    told += f" (`{where}`)" if where else ", in any model"
    yield Claim("progressive: more bits, a better picture", told, _verdict([worst <= FALL]))


def _autoencoder(result: Results) -> Iterator[Claim]:
    for point in _equal_ssim(result, AUTOENCODER):
        if point["bytes"] == AUTOENCODER_BYTES and point["ratio"] is not None:
            yield Claim(
                "at least as good as an autoencoder trained for one rate, at that rate",
                f"`{result['reference']}` needs {point['ratio']:.2f} of the bytes of "
                f"`{AUTOENCODER}` at its {AUTOENCODER_BYTES} bytes",
                _verdict([point["ratio"] <= 1]),
            )


def _fewer_bytes(result: Results) -> Iterator[Claim]:
    for name in PAPERS_BASELINES:
        points = _equal_ssim(result, name)
        if not points:
            continue
        ratios = ", ".join(f"{_ratio(point)} at {point['bytes']}" for point in points)
        yield Claim(
            f"10 % fewer bytes than headerless {result['codecs'][name]['title']}",
            f"of its bytes: {ratios}",
            _verdict([point["ratio"] is not None and point["ratio"] <= FEWER for point in points]),
        )


def _lstm(result: Results) -> Iterator[Claim]:
    others = [name for name in systems(result) if name != result["reference"]]
    for name in others:
        rate = result["comparison"][name]["payload"]["bjontegaard_rate"]["ssim"]
        if rate is not None:
            yield Claim(
                f"the convolutional LSTM beats `{name}`",
                f"{100 * rate:+.1f} % bytes at equal SSIM (Bjontegaard's mean)",
                _verdict([rate < 0]),
            )


def _equal_ssim(result: Results, name: str) -> list[dict[str, Any]]:
    against = result.get("comparison", {}).get(name)
    return list(against["payload"]["equal_ssim"]) if against else []


def _ratio(point: dict[str, Any]) -> str:
    if point["ratio"] is None:
        return "not reached"
    return f"{'under ' if point['at_most'] else ''}{point['ratio']:.2f}"


def _verdict(held: list[bool]) -> str:
    if all(held):
        return "yes"
    return f"at {sum(held)} of {len(held)} rates" if any(held) else "no"
