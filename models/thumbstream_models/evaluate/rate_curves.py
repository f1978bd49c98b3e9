"""Rate-distortion curves: bytes at equal quality, Bjontegaard differences, confidence intervals.

A curve is ``(rates, qualities)``: increasing bytes, and the mean quality over the pictures at each.
Rates are interpolated on a logarithmic scale, because ratios of rates are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

RESAMPLES = 2000
_SEED = 0
_SAMPLES = 1001
"""Points of the numerical integral of a curve."""


def rising(rates: ArrayLike, qualities: ArrayLike) -> tuple[Floats, Floats]:
    """The points of a curve that are better than every cheaper one."""
    r, q = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(q)[:-1]])
    better = q > best_before
    return r[better], q[better]


def rate_at(quality: float, rates: ArrayLike, qualities: ArrayLike) -> float:
    """Bytes at which a curve reaches ``quality``.

    Linear between points in (log rate, quality). Mean quality is concave there, so the chord
    overestimates the bytes. Infinite if the curve does not reach ``quality``; the lowest rate if
    the curve starts above it.
    """
    r, q = rising(rates, qualities)
    if quality > q[-1]:
        return np.inf
    return float(np.exp(np.interp(quality, q, np.log(r))))


def pchip(x: Floats, y: Floats, at: Floats) -> Floats:
    """Monotone piecewise cubic interpolation (Fritsch and Butland 1984) of ``y(x)``.

    ``x`` increases and has two points at least; ``at`` lies within it.
    """
    h, slope = np.diff(x), np.diff(y) / np.diff(x)
    d = np.empty_like(y)
    if len(x) == 2:
        d[:] = slope[0]
    else:
        w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        same_sign = slope[:-1] * slope[1:] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            harmonic = (w1 + w2) / (w1 / slope[:-1] + w2 / slope[1:])
        d[1:-1] = np.where(same_sign, harmonic, 0.0)
        d[0] = _end_slope(h[0], h[1], slope[0], slope[1])
        d[-1] = _end_slope(h[-1], h[-2], slope[-1], slope[-2])
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t = (at - x[i]) / h[i]
    return np.asarray(
        y[i] * (1 + 2 * t) * (1 - t) ** 2
        + h[i] * d[i] * t * (1 - t) ** 2
        + y[i + 1] * t**2 * (3 - 2 * t)
        + h[i] * d[i + 1] * t**2 * (t - 1)
    )


def _end_slope(h0: float, h1: float, slope0: float, slope1: float) -> float:
    """Three-point slope at an end, limited so that the curve does not overshoot."""
    d = ((2 * h0 + h1) * slope0 - h0 * slope1) / (h0 + h1)
    if d * slope0 <= 0:
        return 0.0
    if slope0 * slope1 <= 0 and abs(d) > 3 * abs(slope0):
        return 3 * slope0
    return d


def bjontegaard_rate(
    reference: tuple[ArrayLike, ArrayLike], candidate: tuple[ArrayLike, ArrayLike]
) -> float | None:
    """Mean difference of the bytes of ``candidate`` to those of ``reference`` at equal quality.

    As a fraction: -0.1 is ten percent fewer bytes. Mean of the log-rate difference over the
    qualities that both curves reach, with log rates interpolated by `pchip`. None if the curves
    share no range or one has fewer than two rising points.
    """
    (r0, q0), (r1, q1) = rising(*reference), rising(*candidate)
    if min(len(q0), len(q1)) < 2:
        return None
    low, high = max(q0[0], q1[0]), min(q0[-1], q1[-1])
    if low >= high:
        return None
    at = np.linspace(low, high, _SAMPLES)
    difference = pchip(q1, np.log(r1), at) - pchip(q0, np.log(r0), at)
    mean = np.trapezoid(difference, at) / (high - low)
    return float(np.expm1(mean))


def resampled_means(values: Floats) -> Floats:
    """Means of ``values`` ``(pictures, ...)`` over bootstrap resamples: ``(RESAMPLES, ...)``.

    The resamples depend on the number of pictures only, so two codecs are compared on the same
    ones.
    """
    n = len(values)
    chosen = np.random.default_rng(_SEED).integers(n, size=(RESAMPLES, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in chosen]) / n
    return np.asarray(np.tensordot(weights, values, axes=1))


def interval(means: Floats, level: float = 0.95) -> Floats:
    """Percentile interval over resamples ``(RESAMPLES, ...)``: ``(2, ...)``."""
    tail = (1 - level) / 2
    return np.asarray(np.quantile(means, [tail, 1 - tail], axis=0))


def rate_ratio_interval(
    target: float, rates: Sequence[int], ours: Floats, theirs: Floats
) -> tuple[float, float]:
    """Interval of the bytes at equal quality, as a fraction of the ``target`` bytes.

    ``ours`` ``(pictures, rates)`` is the quality of our codec, ``theirs`` ``(pictures,)`` that of
    the other codec at ``target`` bytes, on the same pictures.
    """
    curves, qualities = resampled_means(ours), resampled_means(theirs)
    pairs = zip(qualities, curves, strict=True)
    needed = [rate_at(quality, rates, curve) for quality, curve in pairs]
    low, high = np.quantile(needed, [0.025, 0.975], method="nearest") / target
    return float(low), float(high)
