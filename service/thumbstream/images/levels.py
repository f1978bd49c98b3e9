"""Converts samples of more than 8 bits, which have various ranges, to 8 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Levels(NamedTuple):
    """The sample values that mean black and white; ``white`` may be less than ``black``."""

    black: float
    white: float

    def in_8_bits(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Scale ``samples`` to uint8: black becomes 0 and white 255; NaN becomes 0."""
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
    """Return the levels of a picture whose least sample is ``low`` and whose greatest is ``high``.

    Floating-point samples in [0, 1] get the levels (0, 1). Integers in 0..255 get (0, 255), and
    other integers in 0..65535 get (0, 65535). Any other samples get (0, ``white``) if ``white`` is
    given, and (``low``, ``high``) otherwise, or (0, 1) if both are equal. For a picture without
    finite samples, pass ``inf`` and ``-inf``.
    """
    for top in (1.0,) if floating else (255.0, 65535.0):
        if low >= 0.0 and high <= top:
            return Levels(0.0, top)
    if white is not None:
        return Levels(0.0, white)
    return Levels(low, high) if low < high else Levels(0.0, 1.0)
