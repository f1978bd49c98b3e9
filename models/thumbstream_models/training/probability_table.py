"""The probability table of the integer context models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.model_folder import TABLE_SIZE
from thumbstream.codec.range_coder import PROBABILITY_BITS


def probability_table(steps: int) -> NDArray[np.uint16]:
    """``P(+1) * 2^16`` for all log odds of a context model with ``steps`` entries per nat."""
    odds = (np.arange(TABLE_SIZE) - TABLE_SIZE // 2 + 0.5) / steps
    one = 1 << PROBABILITY_BITS
    return np.clip(np.rint(one / (1 + np.exp(-odds))), 1, one - 1).astype(np.uint16)
