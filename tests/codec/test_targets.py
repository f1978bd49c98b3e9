"""Targets: what may be asked for, and when it is reached."""

from __future__ import annotations

import numpy as np
import pytest
from codec_pictures import photo_like

from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import psnr, ssim

GREY = np.full((16, 16, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("text", "measure", "goal"),
    [
        ("ssim:0.85", "ssim", 0.85),
        ("ssim:1", "ssim", 1.0),
        ("psnr:28", "psnr", 28.0),
        ("psnr:1e2", "psnr", 100.0),
        ("bytes:64", "bytes", 64),
    ],
)
def test_parses_targets(text: str, measure: str, goal: float) -> None:
    assert Target.parse(text) == Target(measure, goal)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ssim", "ssim:", "0.85", ":0.85", "ssim=0.85", "ssim:good", "ssim:0.85:2"),
        *("ssim:0", "ssim:-1", "ssim:1.01", "ssim:nan", "ssim:inf", "SSIM:0.5"),
        *("psnr:0", "psnr:101", "psnr:-inf", "psnr:nan", "psnr:28 dB"),
        *("bytes:0", "bytes:-3", "bytes:6.5", "bytes:1e2", "bytes:inf", "bytes:nan", "bytes:"),
        "msssim:0.9",
    ],
)
def test_rejects_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("measure", "goal"), [("bytes", 6.5), ("bytes", 0), ("ssim", 2), ("psnr", float("nan"))]
)
def test_rejects_invalid_values(measure: str, goal: float) -> None:
    with pytest.raises(ValueError, match="target"):
        Target(measure, goal)


def test_target_is_reached_at_its_exact_value() -> None:
    a, b = photo_like(1, 24, 24), photo_like(2, 24, 24)
    for name, measure in (("ssim", ssim), ("psnr", psnr)):
        value = float(measure(a, b))
        assert Target(name, value).reached(a, b)
        assert not Target(name, np.nextafter(value, 99)).reached(a, b)


def test_byte_target_needs_no_quality() -> None:
    assert Target("bytes", 1).reached(GREY, 255 - GREY)
