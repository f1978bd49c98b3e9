"""Quality of pictures with alpha, measured over black and over white."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream.codec.quality import psnr, ssim

Pixels = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def opaque(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)


@pytest.mark.parametrize("shape", [(32, 21, 3), (5, 16, 16, 3), (2, 3, 8, 8, 3)], ids=str)
def test_opaque_alpha_has_no_influence(shape: tuple[int, ...]) -> None:
    a, b = noise(1, *shape), noise(2, *shape)
    for measure in (ssim, psnr):
        np.testing.assert_allclose(measure(opaque(a), opaque(b)), measure(a, b), rtol=1e-12)
        assert measure(a, b).shape == shape[:-3]


@pytest.mark.parametrize("measure", [ssim, psnr])
def test_broadcasts_one_picture_against_many(measure: type) -> None:
    """As for a rate curve."""
    for channels in (3, 4):
        picture, others = noise(3, 24, 24, channels), noise(4, 6, 24, 24, channels)
        expected = [float(measure(picture, other)) for other in others]
        np.testing.assert_allclose(measure(picture, others), expected)


def test_hidden_colours_have_no_influence() -> None:
    a = noise(5, 32, 32, 4)
    b = a.copy()
    a[8:, :, 3] = b[8:, :, 3] = 0
    b[8:, :, :3] = 77
    assert float(psnr(a, b)) == 100
    assert float(ssim(a, b)) == pytest.approx(1)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_wrong_alpha_lowers_quality_for_any_colour(colour: int) -> None:
    """Visible on at least one background; a single grey one could hide it."""
    a = np.full((32, 32, 4), colour, np.uint8)
    a[..., 3] = 255
    b = a.copy()
    b[8:24, 8:24, 3] = 0
    assert float(psnr(a, b)) < 15
    assert float(ssim(a, b)) < 0.95


def test_psnr_with_alpha_matches_its_definition() -> None:
    a, b = noise(6, 16, 24, 4), noise(7, 16, 24, 4)
    shown = [
        [
            p[..., :3] * (p[..., 3:] / 255) + background * (1 - p[..., 3:] / 255)
            for p in (a.astype(float), b.astype(float))
        ]
        for background in (0, 255)
    ]
    error = np.mean([np.square(x - y).mean() for x, y in shown])
    assert float(psnr(a, b)) == pytest.approx(10 * np.log10(255**2 / error))
    rounded = [[np.rint(p).astype(np.uint8) for p in pair] for pair in shown]
    expected = np.mean([float(ssim(x, y)) for x, y in rounded])
    assert float(ssim(a, b)) == pytest.approx(expected, abs=1e-3)
