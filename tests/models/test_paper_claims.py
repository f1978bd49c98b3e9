"""The claims of the paper, on results whose outcome is known."""

from __future__ import annotations

from typing import Any

import pytest

from thumbstream_models.evaluate.paper_claims import claim_rows
from thumbstream_models.evaluate.results import Results

BUDGETS = (32, 64, 128)


def points(*ssim: float, each: float = 1.0, most: float = float("inf")) -> list[dict[str, Any]]:
    """``each`` byte of payload for a byte of budget, ``most`` in all."""
    return [
        {"bytes": n, "mean_payload": min(each * n, most), "ssim": s}
        for n, s in zip(BUDGETS, ssim, strict=True)
    ]


def codec(kind: str, title: str, *ssim: float, **spent: float) -> dict[str, Any]:
    return {"kind": kind, "title": title, "points": {"payload": points(*ssim, **spent)}}


def against(**ratios: float | None) -> dict[str, Any]:
    equal = [
        {"bytes": int(key.removeprefix("at_")), "ratio": ratio, "at_most": False}
        for key, ratio in ratios.items()
    ]
    return {"payload": {"equal_ssim": equal}}


@pytest.fixture
def result() -> Results:
    return {
        "reference": "conv-lstm-1",
        "codecs": {
            "conv-lstm-1": codec("model", "thumbstream", 0.5, 0.7, 0.8),
            "conv-autoencoder-1": codec("model", "conv-autoencoder-1", 0.3, 0.6, 0.6, most=64),
            "conv-residual-1": codec("model", "conv-residual-1", 0.5, 0.7, 0.8, each=2),
            "jpeg": codec("baseline", "JPEG", 0.3, 0.6, 0.8),
            "webp": codec("baseline", "WebP", 0.1, 0.5, 0.85),
        },
        "comparison": {
            "jpeg": against(at_64=0.85, at_128=0.96),
            "webp": against(at_64=0.4, at_128=None),
        },
    }


def table(result: Results) -> dict[str, tuple[str, str]]:
    head, *rows = claim_rows(result)
    assert head == ["claim", "measured", "holds"]
    return {text: (found, holds) for text, found, holds in rows}


def test_every_claim_has_its_number_and_its_verdict(result: Results) -> None:
    found = table(result)
    assert found == {
        "progressive: more bits, a better picture": (
            "largest fall of mean SSIM from one budget to the next: 0.0000",
            "yes",
        ),
        "at least as good as an autoencoder trained for one rate, at that rate": (
            "`conv-lstm-1` needs 0.71 of the 64 bytes of `conv-autoencoder-1` "
            "for its SSIM of 0.600",
            "yes",
        ),
        "10 % fewer bytes than headerless JPEG": (
            "fraction of its bytes: 0.85 at 64, 0.96 at 128",
            "at 1 of 2 rates",
        ),
        "10 % fewer bytes than headerless WebP": (
            "fraction of its bytes: 0.40 at 64, not reached at 128",
            "at 1 of 2 rates",
        ),
        "`conv-lstm-1` beats `conv-residual-1`": (
            "-50.0 % bytes at equal SSIM (Bjontegaard)",
            "yes",
        ),
    }


def test_a_model_that_falls_is_named(result: Results) -> None:
    result["codecs"]["conv-autoencoder-1"]["points"]["payload"] = points(0.3, 0.65, 0.64)
    measured, holds = table(result)["progressive: more bits, a better picture"]
    assert measured.endswith("0.0100 (`conv-autoencoder-1`)")
    assert holds == "no"


def test_claims_that_fail_say_so(result: Results) -> None:
    result["codecs"]["conv-autoencoder-1"]["points"]["payload"] = points(0.4, 0.75, 0.75, most=64)
    result["codecs"]["conv-residual-1"]["points"]["payload"] = points(0.55, 0.75, 0.85)
    result["comparison"]["jpeg"] = against(at_64=1.0, at_128=1.1)
    verdicts = {text: holds for text, (_, holds) in table(result).items()}
    assert verdicts["`conv-lstm-1` beats `conv-residual-1`"] == "no"
    assert verdicts["10 % fewer bytes than headerless JPEG"] == "no"
    key = "at least as good as an autoencoder trained for one rate, at that rate"
    assert verdicts[key] == "no"


def test_what_was_not_measured_is_not_claimed(result: Results) -> None:
    del result["codecs"]["conv-autoencoder-1"], result["codecs"]["conv-residual-1"]
    del result["comparison"]
    assert list(table(result)) == ["progressive: more bits, a better picture"]
