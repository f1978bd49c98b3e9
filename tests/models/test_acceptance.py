"""The acceptance criteria, on results whose outcome is known."""

from __future__ import annotations

from typing import Any

import pytest

from thumbstream_models.evaluate import acceptance, paper_claims
from thumbstream_models.evaluate.results import Results

BUDGETS = (24, 32, 64, 128, 256, 600)


def codec(kind: str, *ssim: float, unfit: int = 0, title: str = "x") -> dict[str, Any]:
    points = [
        {
            "bytes": n,
            "ssim": s,
            "psnr": 20 + 10 * s,
            "chroma": 2 * (1 - s),
            "mean_payload": float(n),
            "unfit": unfit if n < 64 else 0,
        }
        for n, s in zip(BUDGETS, ssim, strict=True)
    ]
    return {"kind": kind, "title": title, "points": {"payload": points, "file": points}}


def share(budget: int, ratio: float | None, *, at_most: bool = False) -> dict[str, Any]:
    return {"bytes": budget, "ratio": ratio, "at_most": at_most}


@pytest.fixture
def result() -> Results:
    against = {
        "equal_ssim": [share(32, 0.6, at_most=True), share(64, 0.71), share(128, 0.85)],
        "equal_psnr": [share(32, 0.72), share(256, None)],
    }
    return {
        "reference": acceptance.PRODUCT,
        "metrics": {"ssim": "SSIM", "psnr": "PSNR", "chroma": "chroma error"},
        "pictures": {"size": 32, "grid": "crop", "count": 10, "sources": ["a", "b"]},
        "codecs": {
            acceptance.PRODUCT: codec("model", 0.62, 0.68, 0.8, 0.7, 0.95, 0.97),
            "conv-lstm-1": codec("model", 0.5, 0.6, 0.7, 0.8, 0.8, 0.8, title="conv-lstm-1"),
            "jpeg": codec("baseline", 0.2, 0.4, 0.7, 0.8, 0.9, 0.95, unfit=6, title="JPEG"),
            "thumbhash": codec("baseline", 0.35, 0.35, 0.35, 0.35, 0.35, 0.35),
            "best": codec("composite", 0.4, 0.6, 0.72, 0.85, 0.94, 0.98),
        },
        "comparison": {"best": {"payload": against}},
    }


def verdicts(result: Results) -> dict[str, tuple[str, str]]:
    head, *rows = acceptance.acceptance_rows(result)
    assert head == ["criterion", "measured", "met"]
    return {text: (found, reached) for text, found, reached in rows}


def of_best(limit: str, measure: str, budget: int) -> str:
    return (
        f"at most {limit} of the bytes of the best classical codec at its {measure} in "
        f"{budget} bytes"
    )


def test_every_criterion_has_its_number_and_its_verdict(result: Results) -> None:
    found = verdicts(result)
    assert found.pop(of_best("0.62", "SSIM", 32)) == ("under 0.60", "yes")
    assert found.pop(of_best("0.70", "SSIM", 64)) == ("0.71", "no")
    assert found.pop(of_best("0.85", "SSIM", 128)) == ("0.85", "yes")
    assert found.pop(of_best("0.72", "PSNR", 32)) == ("0.72", "yes")
    assert found.pop(of_best("1.00", "PSNR", 256)) == ("not reached", "no")
    assert found.pop("SSIM of 0.965 in 600 bytes") == ("0.970", "yes")
    assert found.pop("PSNR of 33.0 dB in 600 bytes") == ("29.7 dB", "no")
    assert found.pop("chroma error of 1.30 or less at 24 bytes") == ("0.76", "yes")
    assert found.pop("chroma error of 0.90 or less at 64 bytes") == ("0.40", "yes")
    assert found.pop("chroma error of 0.55 or less at 128 bytes") == ("0.60", "no")
    thumbhash = "better {} than ThumbHash at its 24 bytes"
    assert found.pop(thumbhash.format("SSIM")) == ("0.620; ThumbHash 0.350", "yes")
    assert found.pop(thumbhash.format("PSNR")) == ("26.2 dB; ThumbHash 23.5 dB", "yes")
    assert found.pop(thumbhash.format("chroma error")) == ("0.76; ThumbHash 1.30", "yes")
    assert not found


def test_larger_grids_are_compared_with_all_the_bytes(result: Results) -> None:
    result["pictures"] |= {"size": 64, "grid": "aspect"}
    found = verdicts(result)
    assert found.pop(of_best("1.00", "SSIM", 64)) == ("0.71", "yes")
    assert found.pop(of_best("1.00", "SSIM", 128)) == ("0.85", "yes")
    assert found.pop(of_best("1.00", "PSNR", 256)) == ("not reached", "no")
    assert not found


def test_larger_grids_are_compared_with_half_of_them(result: Results) -> None:
    result["pictures"] |= {"size": 64, "grid": "aspect"}
    result["codecs"]["half"] = codec("baseline", 0.65, 0.7, 0.8, 0.71, 0.9, 0.9)
    found = verdicts(result)
    text = "{} in {} bytes not below that of half the size"
    assert found[text.format("SSIM", 64)] == ("0.800; half the size 0.800", "yes")
    assert found[text.format("SSIM", 128)] == ("0.700; half the size 0.710", "no")
    assert found[text.format("PSNR", 256)] == ("29.5 dB; half the size 29.0 dB", "yes")


def test_graphics_have_a_criterion_of_their_own(result: Results) -> None:
    result["pictures"]["sources"] = [acceptance.GRAPHICS]
    found = verdicts(result)
    assert found.pop(of_best("0.90", "SSIM", 32)) == ("under 0.60", "yes")
    assert found.pop(of_best("0.90", "SSIM", 64)) == ("0.71", "yes")
    assert found.pop(of_best("0.90", "SSIM", 128)) == ("0.85", "yes")
    assert not found


def test_criteria_need_the_default_model_and_its_grid(result: Results) -> None:
    other = {
        name: result["codecs"][name] for name in result["codecs"] if name != acceptance.PRODUCT
    }
    assert acceptance.acceptance_rows(result | {"codecs": other}) == []
    shares = [text for text in verdicts(result | {"reference": "conv-lstm-1"}) if "at most" in text]
    assert not shares, "the comparison is of another model"
    del result["comparison"], result["codecs"]["best"], result["codecs"]["thumbhash"]
    assert len(verdicts(result)) == 5
    result["pictures"]["grid"] = "squash"
    assert acceptance.acceptance_rows(result) == []


def test_the_papers_claims_stay_those_of_its_best_system(result: Results) -> None:
    """Whatever model the result compares the others with."""
    rows = {text: (found, holds) for text, found, holds in paper_claims.claim_rows(result)[1:]}
    # Of JPEG, whose first budgets most pictures do not fit.
    assert rows["10 % fewer bytes than headerless JPEG"] == (
        "fraction of its bytes: 1.00 at 64, 1.00 at 128",
        "no",
    )
