"""The table of the paper's claims, on results whose outcome is known."""

from __future__ import annotations

from typing import Any

import pytest

from thumbstream_models.claims import claims
from thumbstream_models.results import Results

BUDGETS = (32, 64, 128)


def points(*ssim: float) -> list[dict[str, Any]]:
    return [{"bytes": n, "ssim": s} for n, s in zip(BUDGETS, ssim, strict=True)]


def codec(kind: str, title: str, *ssim: float) -> dict[str, Any]:
    return {"kind": kind, "title": title, "points": {"payload": points(*ssim)}}


def against(rate: float | None, **ratios: float | None) -> dict[str, Any]:
    equal = [
        {"bytes": int(key.removeprefix("at_")), "ratio": ratio, "at_most": False}
        for key, ratio in ratios.items()
    ]
    return {"payload": {"bjontegaard_rate": {"ssim": rate}, "equal_ssim": equal}}


@pytest.fixture
def result() -> Results:
    return {
        "reference": "conv-lstm-1",
        "codecs": {
            "conv-lstm-1": codec("model", "thumbstream", 0.5, 0.7, 0.8),
            "conv-autoencoder-1": codec("model", "conv-autoencoder-1", 0.3, 0.65, 0.65),
            "jpeg": codec("baseline", "JPEG", 0.3, 0.6, 0.8),
            "webp": codec("baseline", "WebP", 0.1, 0.5, 0.85),
        },
        "comparison": {
            "conv-autoencoder-1": against(-0.2, at_32=0.9, at_64=0.95),
            "jpeg": against(-0.2, at_64=0.85, at_128=0.96),
            "webp": against(0.01, at_64=0.4, at_128=None),
        },
    }


def table(result: Results) -> dict[str, tuple[str, str]]:
    head, *rows = claims(result)
    assert head == ["claim", "measured here", "holds"]
    return {text: (found, holds) for text, found, holds in rows}


def test_every_claim_has_its_number_and_its_verdict(result: Results) -> None:
    found = table(result)
    assert found == {
        "progressive: more bits, a better picture": (
            "largest fall of mean SSIM from a budget to the next: 0.0000, in any model",
            "yes",
        ),
        "at least as good as an autoencoder trained for one rate, at that rate": (
            "`conv-lstm-1` needs 0.95 of the bytes of `conv-autoencoder-1` at its 64 bytes",
            "yes",
        ),
        "10 % fewer bytes than headerless JPEG": (
            "of its bytes: 0.85 at 64, 0.96 at 128",
            "at 1 of 2 rates",
        ),
        "10 % fewer bytes than headerless WebP": (
            "of its bytes: 0.40 at 64, not reached at 128",
            "at 1 of 2 rates",
        ),
        "the convolutional LSTM beats `conv-autoencoder-1`": (
            "-20.0 % bytes at equal SSIM (Bjontegaard's mean)",
            "yes",
        ),
    }


def test_a_model_that_falls_is_named(result: Results) -> None:
    result["codecs"]["conv-autoencoder-1"]["points"]["payload"] = points(0.3, 0.65, 0.64)
    measured, holds = table(result)["progressive: more bits, a better picture"]
    assert measured.endswith("0.0100 (`conv-autoencoder-1`)")
    assert holds == "no"


def test_claims_that_fail_say_so(result: Results) -> None:
    result["comparison"]["conv-autoencoder-1"] = against(0.1, at_64=1.2)
    result["comparison"]["jpeg"] = against(0.3, at_64=1.0, at_128=1.1)
    verdicts = {text: holds for text, (_, holds) in table(result).items()}
    assert verdicts["the convolutional LSTM beats `conv-autoencoder-1`"] == "no"
    assert verdicts["10 % fewer bytes than headerless JPEG"] == "no"
    key = "at least as good as an autoencoder trained for one rate, at that rate"
    assert verdicts[key] == "no"


def test_what_was_not_measured_is_not_claimed(result: Results) -> None:
    del result["codecs"]["conv-autoencoder-1"], result["comparison"]
    assert list(table(result)) == ["progressive: more bits, a better picture"]
