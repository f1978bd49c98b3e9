"""Probabilities of a symbol's decisions, from the mean and the scale that the context predicts.

A latent is taken to be logistic. Three tables have the probability that it leaves the interval
around 0, that it is positive if it does, and that it is in the upper half of another interval.
Normative text: docs/bitstream.md, "Probabilities of a symbol".
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.range_coder import PROBABILITY_BITS, Probabilities

Integers: TypeAlias = NDArray[np.int32]

SCALES: Final = 48
"""Number of scales; eight of them double the width of the distribution."""
UNIT_SCALE: Final = 28
"""Scale whose logistic distribution has the scale parameter 1 in units of the step."""
MEAN_STEPS: Final = 8
"""Steps of a mean per quantisation step."""
OFFSETS: Final = 33
"""Number of distances between mean and interval for which the tables have entries."""
HALVING_KEY: Final = 1024
"""Key in coding order of a symbol that halves an interval."""
_ONE = 1 << PROBABILITY_BITS


def symbol_probabilities(
    q: Integers, scale: Integers, mean: Integers
) -> tuple[Probabilities, Probabilities, Integers]:
    """Return first and second probability, times 2^16, and key of symbols; shapes are equal.

    ``q``: latents before the symbols. ``scale``: 0 to 47. ``mean``: in eighths of the step. The
    first decision is that the latent becomes nonzero or, if it was, that its magnitude is in the
    upper half. The second, that it is positive, has probability 0 if there is none.
    """
    zero, magnitude = q == 0, np.minimum(np.abs(mean), OFFSETS - 1)
    off = MEAN_STEPS * (2 * np.abs(q) + 1) - np.sign(q) * mean
    upper = UPPER[scale, np.minimum(np.abs(off) >> 1, OFFSETS - 1)]
    significant = SIGNIFICANT[scale, magnitude]
    positive = POSITIVE[scale, magnitude]
    first = np.where(zero, significant, np.where(off >= 0, upper, _ONE - upper))
    second = np.where(zero, np.where(mean >= 0, positive, _ONE - positive), 0)
    key = np.where(zero, significant, HALVING_KEY)
    return first.astype(np.uint16), second.astype(np.uint16), key


def decision_tables() -> tuple[Integers, Integers, Integers]:
    """Return the tables `significant`, `positive` and `upper`, ``(48, 33)`` each."""
    scale = np.exp2((np.arange(SCALES)[:, None] - UNIT_SCALE) / 8)

    def tail(x: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = 1 / (1 + np.exp(np.abs(x) / scale))
        return result

    def mass(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = tail(low), tail(high)
        return np.where(low >= 0, a - b, np.where(high <= 0, b - a, 1 - a - b))

    def integers(p: NDArray[np.float64]) -> Integers:
        return np.clip(np.floor(_ONE * p + 0.5), 1, _ONE - 1).astype(np.int32)

    mean = np.arange(OFFSETS) / MEAN_STEPS
    zero, above, below = (
        mass(-1 - mean, 1 - mean),
        mass(1 - mean, 2 - mean),
        mass(-2 - mean, -1 - mean),
    )
    off = np.arange(OFFSETS) / (MEAN_STEPS // 2)
    return (
        integers((above + below) / (zero + above + below)),
        integers(above / (above + below)),
        integers(mass(off, off + 1) / mass(off - 1, off + 1)),
    )


SIGNIFICANT, POSITIVE, UPPER = decision_tables()
"""``(SCALES, OFFSETS)`` each, times 2^16."""
