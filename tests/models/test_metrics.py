from __future__ import annotations

import math

import flip_evaluator
import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream_models.evaluate import metrics

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
def test_ssim_matches_plain_loops(height: int, width: int) -> None:
    a = noise(1, height, width)
    for b in (noise(2, height, width), a // 2 + 40, 255 - a):
        assert metrics.ssim(a, b) == pytest.approx(plain_ssim(a, b), abs=1e-9)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equal_pictures(height: int, width: int) -> None:
    a = noise(3, height, width)
    assert metrics.ssim(a, a) == pytest.approx(1, abs=1e-12)
    assert metrics.psnr(a, a) == 100


def test_ssim_of_flat_pictures_depends_on_luminance_only() -> None:
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


def test_ssim_and_psnr_are_symmetric() -> None:
    a, b = noise(4, 5, 20, 24), noise(5, 5, 20, 24)
    np.testing.assert_allclose(metrics.ssim(a, b), metrics.ssim(b, a), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(metrics.psnr(a, b), metrics.psnr(b, a))


def test_batches_are_measured_per_picture() -> None:
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


# The perceptual ones


@pytest.mark.parametrize(("height", "width"), [(32, 32), (13, 20), (64, 40), (8, 8)])
def test_equal_pictures_have_the_best_value_of_every_metric(height: int, width: int) -> None:
    a = noise(3, 2, height, width)
    assert metrics.psnr_hvs_m(a, a).tolist() == [100, 100]
    assert metrics.flip(a, a).tolist() == [0, 0]


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_metric_degrades_with_noise(name: str) -> None:
    metric = metrics.METRICS[name]
    a = np.clip(noise(8, 4, 4), 60, 190).repeat(8, axis=0).repeat(8, axis=1)
    scale = np.random.default_rng(9).normal(size=a.shape)
    worse = np.stack([np.clip(a + s * scale, 0, 255).astype(np.uint8) for s in (2, 5, 12, 30)])
    together = metric.score(np.broadcast_to(a, worse.shape), worse)
    assert np.all(np.diff(together) * (-1 if metric.less_is_better else 1) < 0)
    alone = [float(metric.score(a[None], b[None])[0]) for b in worse]
    assert together == pytest.approx(alone)


def test_psnr_hvs_m_ignores_masked_errors() -> None:
    """The same error weighs less in fine patterns than in coarse ones."""
    grey = np.full((32, 32), 128.0)
    x = np.arange(32)
    scores = []
    for period in (16, 2):
        error = 12 * np.sign(np.sin(2 * np.pi * (x + 0.5) / period))[None]
        pictures = np.repeat(np.stack([grey, grey + error])[..., None], 3, axis=-1).astype(np.uint8)
        scores.append(float(metrics.psnr_hvs_m(pictures[:1], pictures[1:])[0]))
    assert scores[0] < scores[1] - 3


def test_psnr_hvs_m_of_a_constant_difference_uses_luminance() -> None:
    a = np.full((1, 16, 16, 3), 100, np.uint8)
    darker, redder = a - np.uint8(20), a.copy()
    redder[..., 0] += 20
    assert metrics.psnr_hvs_m(a, redder)[0] > metrics.psnr_hvs_m(a, darker)[0] + 6


def test_flip_of_black_and_white_is_near_one() -> None:
    black, white = np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32, 3), 255, np.uint8)
    assert metrics.flip(black, white)[0] > 0.9


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 32), (20, 64)])
def test_flip_views_thumbnails_four_degrees_wide(height: int, width: int) -> None:
    a, b = noise(5, 1, height, width), noise(6, 1, height, width) // 2 + 60
    x, y = (picture[0].astype(np.float32) / 255 for picture in (a, b))
    viewing = {"ppd": max(height, width) / 4}
    expected = flip_evaluator.evaluate(x, y, "LDR", parameters=viewing)[1]
    assert metrics.flip(a, b)[0] == pytest.approx(expected)
