"""From samples of more than 8 bits to 8 bits: which sample is black, and which is white."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Levels(NamedTuple):
    """The samples that are black and white; white may be the smaller one."""

    black: float
    white: float

    def in_8_bits(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        """``samples`` as uint8; those that are not a number are 0."""
        if samples.dtype.kind == "u" and samples.dtype.itemsize <= 2 < samples.size >> 15:
            table = self._scaled(np.arange(1 << 16))
            return table[samples.astype(np.uint16, copy=False)]
        return self._scaled(samples)

    def _scaled(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        scale = 255.0 / (self.white - self.black)
        scaled = np.nan_to_num((samples.astype(np.float64) - self.black) * scale)
        return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def levels_of_range(
    low: float, high: float, *, floating: bool, white: float | None = None
) -> Levels:
    """Levels of samples from ``low`` to ``high`` (``inf``, ``-inf``: there are none).

    Floating-point samples in [0, 1], and integers that fit 8 or 16 bits, have that range. Others
    have ``white``, or else are stretched to their own range.
    """
    for top in (1.0,) if floating else (255.0, 65535.0):
        if low >= 0.0 and high <= top:
            return Levels(0.0, top)
    if white is not None:
        return Levels(0.0, white)
    return Levels(low, high) if low < high else Levels(0.0, 1.0)
