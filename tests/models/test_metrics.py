from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream_models import metrics

SIZES = [(32, 32), (11, 11), (13, 20), (12, 5), (10, 40), (4, 4), (3, 2), (1, 9), (1, 1)]


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def window(n: int) -> list[float]:
    """Gaussian taps, as many of the eleven as fit into ``n`` samples, an odd number of them."""
    half = min(5, (n - 1) // 2)
    taps = [math.exp(-(i * i) / (2 * 1.5**2)) for i in range(-half, half + 1)]
    return [tap / sum(taps) for tap in taps]


def plain_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Equation 13 of Wang et al. 2004, window by window and sample by sample."""
    height, width, channels = a.shape
    rows, columns = window(height), window(width)
    scores = []
    for channel in range(channels):
        for top in range(height - len(rows) + 1):
            for left in range(width - len(columns) + 1):
                w = np.outer(rows, columns)
                span = np.s_[top : top + len(rows), left : left + len(columns), channel]
                x, y = a[span].astype(float), b[span].astype(float)
                mu_x, mu_y = (w * x).sum(), (w * y).sum()
                var_x, var_y = (w * (x - mu_x) ** 2).sum(), (w * (y - mu_y) ** 2).sum()
                cov = (w * (x - mu_x) * (y - mu_y)).sum()
                c1, c2 = 2.55**2, 7.65**2
                likeness = (2 * mu_x * mu_y + c1) * (2 * cov + c2)
                scores.append(likeness / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2)))
    return float(np.mean(scores))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_ssim_is_what_plain_loops_give(height: int, width: int) -> None:
    a = noise(1, height, width)
    for b in (noise(2, height, width), a // 2 + 40, 255 - a):
        assert metrics.ssim(a, b) == pytest.approx(plain_ssim(a, b), abs=1e-9)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equal_pictures(height: int, width: int) -> None:
    a = noise(3, height, width)
    assert metrics.ssim(a, a) == pytest.approx(1, abs=1e-12)
    assert metrics.psnr(a, a) == 100


def test_ssim_of_flat_pictures_compares_their_light_only() -> None:
    a, b = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 150, np.uint8)
    c1 = 2.55**2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert metrics.ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_a_negative_is_negative() -> None:
    checks = np.indices((16, 16)).sum(0)[..., None] % 2 * np.full(3, 200, np.uint8)
    assert metrics.ssim(checks.astype(np.uint8), (200 - checks).astype(np.uint8)) < -0.9


@pytest.mark.parametrize("difference", [1, 5, 51, 255])
def test_psnr_of_a_constant_difference(difference: int) -> None:
    a = np.zeros((9, 7, 3), np.uint8)
    expected = 20 * math.log10(255 / difference)
    assert metrics.psnr(a, a + np.uint8(difference)) == pytest.approx(expected, abs=1e-9)


def test_psnr_is_over_all_samples() -> None:
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 1, 2] = 120  # one sample of twelve
    assert metrics.psnr(a, b) == pytest.approx(10 * math.log10(255**2 / (120**2 / 12)), abs=1e-9)


def test_both_are_symmetric() -> None:
    a, b = noise(4, 5, 20, 24), noise(5, 5, 20, 24)
    np.testing.assert_allclose(metrics.ssim(a, b), metrics.ssim(b, a), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(metrics.psnr(a, b), metrics.psnr(b, a))


def test_a_batch_is_measured_picture_by_picture() -> None:
    a, b = noise(6, 2, 3, 20, 17), noise(7, 2, 3, 20, 17)
    for measure in (metrics.ssim, metrics.psnr):
        together = measure(a, b)
        assert together.shape == (2, 3)
        for i in np.ndindex(2, 3):
            assert together[i] == pytest.approx(float(measure(a[i], b[i])), abs=1e-12)


def test_more_noise_scores_lower() -> None:
    a = np.clip(noise(8, 4, 4), 60, 190).repeat(8, axis=0).repeat(8, axis=1)
    scale = np.random.default_rng(9).normal(size=a.shape)
    worse = [np.clip(a + s * scale, 0, 255).astype(np.uint8) for s in (2, 5, 12, 30)]
    for measure in (metrics.ssim, metrics.psnr):
        assert np.all(np.diff([float(measure(a, b)) for b in worse]) < 0)
