from __future__ import annotations

import numpy as np
import pytest

from thumbstream_models.evaluate import rate_curves

RATES = np.array([16.0, 32.0, 64.0, 128.0])
QUALITIES = np.array([0.3, 0.5, 0.65, 0.75])


def test_a_curve_equals_itself() -> None:
    assert rate_curves.bjontegaard_rate((RATES, QUALITIES), (RATES, QUALITIES)) == pytest.approx(0)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.3])
def test_bjontegaard_recovers_scaled_rates(factor: float) -> None:
    found = rate_curves.bjontegaard_rate((RATES, QUALITIES), (factor * RATES, QUALITIES))
    assert found == pytest.approx(factor - 1)


def test_bjontegaard_inverts_when_arguments_swap() -> None:
    other = (RATES, np.array([0.35, 0.48, 0.7, 0.74]))
    there = rate_curves.bjontegaard_rate((RATES, QUALITIES), other)
    back = rate_curves.bjontegaard_rate(other, (RATES, QUALITIES))
    assert there is not None
    assert back is not None
    assert (1 + there) * (1 + back) == pytest.approx(1)


def test_bjontegaard_needs_a_common_range() -> None:
    assert rate_curves.bjontegaard_rate((RATES, QUALITIES), (RATES, QUALITIES + 1)) is None
    assert rate_curves.bjontegaard_rate((RATES, QUALITIES), (RATES[:1], QUALITIES[:1])) is None


def test_bjontegaard_uses_the_overlap_only() -> None:
    # Beyond the reference's best quality the candidate may cost anything.
    dear = (np.append(0.8 * RATES, 1e9), np.append(QUALITIES, 0.9))
    found = rate_curves.bjontegaard_rate((RATES, QUALITIES), dear)
    assert found == pytest.approx(-0.2, abs=0.02)


def test_pchip_is_the_monotone_interpolant() -> None:
    x, y = np.array([0.0, 1, 3, 4]), np.array([0.0, 1, 2, 5])
    at = np.array([0, 0.5, 1, 2, 2.5, 3.5, 4])
    # By scipy.interpolate.PchipInterpolator.
    expected = [0, 0.5592948717948718, 1, 1.4403183023872677]
    expected += [1.6468003978779842, 3.1372126436781613, 5]
    assert rate_curves.pchip(x, y, at) == pytest.approx(expected)


def test_pchip_does_not_overshoot() -> None:
    x, y = np.arange(6.0), np.array([0.0, 0, 1, 1, 5, 5])
    found = rate_curves.pchip(x, y, np.linspace(0, 5, 501))
    assert np.all(np.diff(found) >= -1e-12)


def test_two_points_make_a_line() -> None:
    found = rate_curves.pchip(np.array([0.0, 2]), np.array([1.0, 5]), np.array([0.5, 1]))
    assert found == pytest.approx([2, 3])


def test_rate_at_a_measured_point_is_the_measured_rate() -> None:
    for rate, quality in zip(RATES, QUALITIES, strict=True):
        assert rate_curves.rate_at(quality, RATES, QUALITIES) == pytest.approx(rate)


def test_rate_between_points_is_interpolated_geometrically() -> None:
    assert rate_curves.rate_at(0.4, RATES, QUALITIES) == pytest.approx((16 * 32) ** 0.5)


def test_rate_outside_the_curve() -> None:
    assert rate_curves.rate_at(0.76, RATES, QUALITIES) == np.inf
    assert rate_curves.rate_at(0.1, RATES, QUALITIES) == pytest.approx(16)


def test_points_without_gain_are_ignored() -> None:
    rates, qualities = rate_curves.rising([16, 32, 64, 128], [0.2, 0.2, 0.5, 0.4])
    assert rates.tolist() == [16, 64]
    assert qualities.tolist() == [0.2, 0.5]


def test_interval_holds_the_mean_and_shrinks_with_more_pictures() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for n in (20, 500):
        values = rng.normal(0.7, 0.1, (n, 2))
        low, high = rate_curves.interval(rate_curves.resampled_means(values))
        assert np.all(low < values.mean(axis=0))
        assert np.all(values.mean(axis=0) < high)
        widths.append(high - low)
    assert np.all(widths[1] < widths[0] / 3)


def test_interval_of_a_ratio_is_paired() -> None:
    rng = np.random.default_rng(4)
    ours = QUALITIES + rng.normal(0, 0.2, (50, 1))  # pictures differ much, codecs do not
    low, high = rate_curves.rate_ratio_interval(32, [16, 32, 64, 128], ours, ours[:, 1])
    assert low == pytest.approx(1)
    assert high == pytest.approx(1)
