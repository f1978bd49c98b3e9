"""The shortest prefix of a stream that reaches a goal, by really decoding prefixes.

First over lengths that grow by a fifth each, to the first that reaches the target;
then up every byte between the last rung that did not and this one. Quality rises with the bytes but
for single ones, so hardly anything is missed, and large pictures take seconds, not minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.quality import MEASURES

BYTES = "bytes"
_HIGHEST = {"ssim": 1.0, "psnr": 100.0, BYTES: math.inf}


@dataclass(frozen=True, slots=True)
class Target:
    """A goal in one measure."""

    measure: str
    """``ssim``, ``psnr`` or ``bytes``."""
    value: float
    """SSIM up to 1, decibels up to 100, or a whole number of bytes."""

    def __post_init__(self) -> None:
        if self.measure not in _HIGHEST:
            known = ", ".join(_HIGHEST)
            raise ValueError(f"unknown measure {self.measure!r} of a target; known: {known}")
        if not (math.isfinite(self.value) and 0 < self.value <= _HIGHEST[self.measure]):
            raise ValueError(
                f"a target of {self.measure} must be over 0 and at most "
                f"{_HIGHEST[self.measure]:g}, not {self.value:g}"
            )
        if self.measure == BYTES and self.value != int(self.value):
            raise ValueError(f"a target of bytes must be a whole number, not {self.value:g}")

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
        return self.measure == BYTES or float(MEASURES[self.measure](pixels, x_hat)) >= self.value


def check_limits(max_bytes: int | None, target: Target | None) -> None:
    """Raise `ValueError` unless a stream can be asked for with both of these."""
    if max_bytes is not None and target is not None:
        raise ValueError("max_bytes and a target exclude each other: bytes:N is a target")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError("max_bytes must be 1 or more")


MIN_CANDIDATE = 4
"""Bytes of the first rung: the least that holds a header and something behind it."""
GROWTH = 2**0.25
"""From a rung to the next."""
MAX_REFINEMENTS = 64
"""Lengths that are tried between two rungs, evenly spread where there are more."""


class PrefixDecoder(Protocol):
    """What a search asks of a codec."""

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The picture of ``stream[:n]`` for every ``n`` of ``lengths``, which must not fall."""


def candidate_lengths(whole: int) -> list[int]:
    """Lengths in bytes that grow by `GROWTH` from `MIN_CANDIDATE` to ``whole``."""
    rungs, n = [], MIN_CANDIDATE
    while n < whole:
        rungs.append(n)
        n = max(n + 1, round(n * GROWTH))
    return [*rungs, whole]


def shortest_prefix(
    codec: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes, target: Target
) -> bytes | None:
    """The first prefix, header included, that reaches ``target``; None when none does."""
    rungs = candidate_lengths(len(stream))
    reached = _first(codec, pixels, stream, rungs, target)
    if reached is None:
        return None
    header = parse_header(stream).length
    below = max((n for n in rungs if n < reached), default=header - 1)
    between = range(below + 1, reached)
    step = -(-len(between) // MAX_REFINEMENTS) or 1
    shorter = _first(codec, pixels, stream, between[::step], target)
    return stream[: reached if shorter is None else shorter]


def _first(
    codec: PrefixDecoder,
    pixels: NDArray[np.uint8],
    stream: bytes,
    lengths: Sequence[int],
    target: Target,
) -> int | None:
    """The first of ``lengths`` that reaches ``target``."""
    if not lengths:
        return None
    pictures = codec.decode_prefixes(stream, lengths)
    tried = zip(lengths, pictures, strict=True)
    return next((n for n, x_hat in tried if target.reached(pixels, x_hat)), None)
