"""What a stream is to reach: so many bytes, or so much quality."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.quality import MEASURES

BYTES = "bytes"
_HIGHEST = {"ssim": 1.0, "psnr": 100.0, BYTES: math.inf}


@dataclass(frozen=True, slots=True)
class Target:
    """A goal in one measure."""

    measure: str
    """``ssim``, ``psnr`` or ``bytes``."""
    goal: float
    """SSIM up to 1, decibels up to 100, or a whole number of bytes."""

    def __post_init__(self) -> None:
        if self.measure not in _HIGHEST:
            known = ", ".join(_HIGHEST)
            raise ValueError(f"unknown measure {self.measure!r} of a target; known: {known}")
        if not (math.isfinite(self.goal) and 0 < self.goal <= _HIGHEST[self.measure]):
            raise ValueError(
                f"a target of {self.measure} must be over 0 and at most "
                f"{_HIGHEST[self.measure]:g}, not {self.goal:g}"
            )
        if self.measure == BYTES and self.goal != int(self.goal):
            raise ValueError(f"a target of bytes must be a whole number, not {self.goal:g}")

    @classmethod
    def parse(cls, text: str) -> Target:
        """``ssim:0.85``, ``psnr:28`` or ``bytes:64``; raises `ValueError`."""
        measure, colon, number = text.partition(":")
        try:
            goal = float(number) if measure != BYTES else int(number)
        except ValueError:
            goal = math.nan
        if not colon or math.isnan(goal):
            raise ValueError(f"a target is like ssim:0.85, psnr:28 or bytes:64, not {text!r}")
        return cls(measure, goal)

    def reached(self, pixels: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> bool:
        """Whether ``x_hat`` is as good a copy of ``pixels`` as this asks; of bytes it asks none."""
        return self.measure == BYTES or float(MEASURES[self.measure](pixels, x_hat)) >= self.goal


def check_limits(max_bytes: int | None, target: Target | None) -> None:
    """Raise `ValueError` unless a stream can be asked for with both of these."""
    if max_bytes is not None and target is not None:
        raise ValueError("max_bytes and a target exclude each other: bytes:N is a target")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError("max_bytes must be 1 or more")
