"""Probabilities of a symbol's decisions, from the mean and the scale that the context predicts.

A latent is taken to be logistic. Three tables have the logits of the decisions that it leaves the
interval around 0, that it is positive if it does, and that it is in the upper half of another
interval. What adapts to a picture is in `thumbstream.codec.lapped.adaptation`.
Normative text: docs/bitstream.md, "Probabilities of a symbol".
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.range_coder import PROBABILITY_BITS

Integers: TypeAlias = NDArray[np.int32]

SCALES: Final = 48
"""Number of scales; eight of them double the width of the distribution."""
UNIT_SCALE: Final = 28
"""Scale whose logistic distribution has the scale parameter 1 in units of the step."""
MEAN_STEPS: Final = 8
"""Steps of a mean per quantisation step."""
OFFSETS: Final = 33
"""Number of distances between mean and interval for which the tables have entries."""
LOGIT_STEPS: Final = 256
"""Steps of a logit per nat."""
MAX_LOGIT: Final = 2839
"""Limit of a logit: its probability is 1 / 2^16."""
HALVING_KEY: Final = -1024
"""Key in coding order of a symbol that halves an interval."""
_ONE = 1 << PROBABILITY_BITS


def symbol_logits(q: Integers, scale: Integers, mean: Integers) -> tuple[Integers, Integers]:
    """Return the logits of first and second decision of symbols; shapes are equal.

    ``q``: latents before the symbols. ``scale``: 0 to 47. ``mean``: in eighths of the step. The
    first decision is that the latent becomes nonzero or, if it was, that its magnitude is in the
    upper half. The second, that it is positive, is 0 if there is none.
    """
    zero, magnitude = q == 0, np.minimum(np.abs(mean), OFFSETS - 1)
    off = MEAN_STEPS * (2 * np.abs(q) + 1) - np.sign(q) * mean
    upper = UPPER[scale, np.minimum(np.abs(off) >> 1, OFFSETS - 1)]
    positive = POSITIVE[scale, magnitude]
    first = np.where(zero, SIGNIFICANT[scale, magnitude], np.where(off >= 0, upper, -upper))
    second = np.where(zero, np.where(mean >= 0, positive, -positive), 0)
    return first, second


def decision_tables() -> tuple[Integers, Integers, Integers]:
    """Return the tables of logits `significant`, `positive` and `upper`, ``(48, 33)`` each."""
    scale = np.exp2((np.arange(SCALES)[:, None] - UNIT_SCALE) / 8)

    def tail(x: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = 1 / (1 + np.exp(np.abs(x) / scale))
        return result

    def mass(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = tail(low), tail(high)
        return np.where(low >= 0, a - b, np.where(high <= 0, b - a, 1 - a - b))

    def logits(ratio: NDArray[np.float64]) -> Integers:
        rounded = np.floor(LOGIT_STEPS * np.log(ratio) + 0.5)
        return np.clip(rounded, -MAX_LOGIT, MAX_LOGIT).astype(np.int32)

    mean = np.arange(OFFSETS) / MEAN_STEPS
    zero, above, below = (
        mass(-1 - mean, 1 - mean),
        mass(1 - mean, 2 - mean),
        mass(-2 - mean, -1 - mean),
    )
    off = np.arange(OFFSETS) / (MEAN_STEPS // 2)
    return (
        logits((above + below) / zero),
        logits(above / below),
        logits(mass(off, off + 1) / mass(off - 1, off)),
    )


def logistic_table() -> Integers:
    """Return the probabilities, times 2^16, of the logits from -`MAX_LOGIT` to `MAX_LOGIT`."""
    logits = np.arange(-MAX_LOGIT, MAX_LOGIT + 1)
    rounded = np.floor(_ONE / (1 + np.exp(-logits / LOGIT_STEPS)) + 0.5)
    return np.clip(rounded, 1, _ONE - 1).astype(np.int32)


SIGNIFICANT, POSITIVE, UPPER = decision_tables()
"""``(SCALES, OFFSETS)`` each, in 1/256 of a nat."""
LOGISTIC = logistic_table()
"""``(2 * MAX_LOGIT + 1,)``, times 2^16."""
