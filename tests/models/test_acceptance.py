"""The acceptance criteria, on results whose outcome is known."""

from __future__ import annotations

from typing import Any

import pytest

from thumbstream_models.evaluate import acceptance, paper_claims
from thumbstream_models.evaluate.results import Results

BUDGETS = (24, 32, 64, 128, 256)


def codec(kind: str, *ssim: float, unfit: int = 0, title: str = "x") -> dict[str, Any]:
    points = [
        {"bytes": n, "ssim": s, "mean_payload": float(n), "unfit": unfit if n < 64 else 0}
        for n, s in zip(BUDGETS, ssim, strict=True)
    ]
    return {"kind": kind, "title": title, "points": {"payload": points, "file": points}}


@pytest.fixture
def result() -> Results:
    against = {"bjontegaard_rate": {"ssim": -0.41, "psnr": -0.2}, "equal_ssim": []}
    return {
        "reference": acceptance.PRODUCT,
        "metrics": {"ssim": "SSIM", "psnr": "PSNR"},
        "pictures": {"size": 32, "grid": "crop", "count": 10},
        "codecs": {
            acceptance.PRODUCT: codec("model", 0.62, 0.68, 0.8, 0.9, 0.95),
            "conv-lstm-1": codec("model", 0.5, 0.6, 0.7, 0.8, 0.8, title="conv-lstm-1"),
            "jpeg": codec("baseline", 0.2, 0.4, 0.7, 0.8, 0.9, unfit=6, title="JPEG"),
            "thumbhash": codec("baseline", 0.35, 0.35, 0.35, 0.35, 0.35),
            "best": codec("composite", 0.4, 0.6, 0.72, 0.85, 0.94),
        },
        "comparison": {"best": {"payload": against}},
    }


def verdicts(result: Results) -> dict[str, tuple[str, str]]:
    head, *rows = acceptance.acceptance_rows(result)
    assert head == ["criterion", "measured", "met"]
    return {text: (found, reached) for text, found, reached in rows}


def test_every_goal_has_its_number_and_its_verdict(result: Results) -> None:
    found = verdicts(result)
    rate = "-40 % bytes against the best classical codec, by {} (Bjontegaard)"
    assert found[rate.format("SSIM")] == ("-41.0 %", "yes")
    assert found[rate.format("PSNR")] == ("-20.0 %", "no")
    assert found["SSIM of 0.68 at 32 bytes"] == ("0.680", "yes")
    assert found["SSIM of 0.82 at 64 bytes"] == ("0.800", "no")
    assert found["SSIM of 0.91 at 128 bytes"] == ("0.900", "no")
    thumbhash = "SSIM of 0.62 at the 24 bytes of ThumbHash"
    assert found[thumbhash] == ("0.620; ThumbHash 0.350", "yes")
    fewer = "fewer bytes than the best classical codec at SSIM {}"
    assert found[fewer.format("0.60")] == ("under 0.75 of its bytes", "yes")
    # 0.80 is ours at 64; the best is there between 64 and 128, at 64 * 2 ** (8 / 13).
    assert found[fewer.format("0.80")] == ("0.65 of its bytes", "yes")
    assert len(found) == 10


def test_a_quality_that_is_never_reached(result: Results) -> None:
    result["codecs"][acceptance.PRODUCT] = codec("model", 0.5, 0.6, 0.7, 0.8, 0.85)
    text = "fewer bytes than the best classical codec at SSIM 0.90"
    assert verdicts(result)[text] == ("not reached", "no")


def test_larger_grids_are_held_against_twice_the_bytes(result: Results) -> None:
    result["pictures"] |= {"size": 64, "grid": "aspect"}
    found = verdicts(result)
    text = "at {} bytes as good as the best classical codec at {}"
    assert found[text.format(64, 128)] == ("SSIM 0.800; 0.850", "no")
    assert found[text.format(128, 256)] == ("SSIM 0.900; 0.940", "no")
    assert not [goal for goal in found if goal.startswith("SSIM of")]


def test_without_the_product_there_are_no_goals(result: Results) -> None:
    other = {
        name: result["codecs"][name] for name in result["codecs"] if name != acceptance.PRODUCT
    }
    assert acceptance.acceptance_rows(result | {"codecs": other}) == []
    compared = "against the best classical codec, by"
    assert any(compared in text for text in verdicts(result))
    other_reference = verdicts(result | {"reference": "conv-lstm-1"})
    assert other_reference
    assert not any(compared in text for text in other_reference), (
        "the comparison is of another model"
    )
    del result["comparison"], result["codecs"]["best"], result["codecs"]["thumbhash"]
    assert len(verdicts(result)) == 3


def test_the_papers_claims_stay_those_of_its_best_system(result: Results) -> None:
    """Whatever model the result compares the others with."""
    rows = {text: (found, holds) for text, found, holds in paper_claims.claim_rows(result)[1:]}
    # Of JPEG, whose first budgets most pictures do not fit.
    assert rows["10 % fewer bytes than headerless JPEG"] == (
        "fraction of its bytes: 1.00 at 64, 1.00 at 128",
        "no",
    )
