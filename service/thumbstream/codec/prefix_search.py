"""Defines targets, and finds the shortest prefix of a stream that reaches a target.

Quality is measured by decoding prefixes. The search first tries candidate lengths that grow by
about a fifth from one to the next. Then it tries the lengths between the last candidate that missed
the target and the first that reached it. Quality is almost monotonic in the number of bytes, so the
search rarely misses a shorter prefix.

The work is bounded: pictures above 96 x 96 pixels have fewer candidates, further apart, and the
lengths between two candidates are bisected. The limits count decoded pixels, not seconds, so the
same picture has the same stream on every machine.
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
_MAX_VALUE = {"ssim": 1, "psnr": 100, BYTES: 10**6}

MIN_CANDIDATE = 4
"""Length of the first candidate in bytes: a header and at least one byte of symbols."""
GROWTH = 2**0.25
"""Least ratio of one candidate length to the previous candidate length."""
MAX_REFINEMENTS = 64
"""Limit of the lengths tried between two candidates; evenly spaced if more lengths exist."""
MAX_DECODED_PIXELS = 600_000
"""Limit of the pixels decoded for all candidates together: about a second of processor time."""
MIN_CANDIDATES = 9
"""Approximate number of candidates for the largest pictures."""
BISECTIONS = 4
"""Limit of the lengths tried between two candidates of a picture that has fewer candidates."""


@dataclass(frozen=True, slots=True)
class Target:
    """The quality or the number of bytes that a stream should reach."""

    measure: str
    """``ssim``, ``psnr`` or ``bytes``."""
    value: float
    """SSIM up to 1, PSNR in dB up to 100, or an integer number of bytes up to 1,000,000."""

    def __post_init__(self) -> None:
        if self.measure not in _MAX_VALUE:
            known = ", ".join(_MAX_VALUE)
            raise ValueError(f"unknown target measure {self.measure!r}; use one of {known}")
        if not 0 < self.value <= _MAX_VALUE[self.measure]:
            raise ValueError(
                f"a {self.measure} target must be over 0 and at most "
                f"{_MAX_VALUE[self.measure]}, got {self.value}"
            )
        if self.measure == BYTES and self.value != int(self.value):
            raise ValueError(f"a bytes target must be an integer, got {self.value:g}")

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parse a target: ``ssim:0.85``, ``psnr:28`` or ``bytes:64``; raises `ValueError`."""
        measure, _, number = text.partition(":")
        try:
            value = float(number) if measure != BYTES else int(number)
        except ValueError:
            raise ValueError(
                f"expected a target such as ssim:0.85, psnr:28 or bytes:64, got {text!r}"
            ) from None
        return cls(measure, value)

    def reached(self, pixels: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> bool:
        """Return whether the decoded picture ``x_hat`` of the original ``pixels`` has the quality.

        Always true for a target in bytes.
        """
        return self.measure == BYTES or float(MEASURES[self.measure](pixels, x_hat)) >= self.value


def check_limits(max_bytes: int | None, target: Target | None) -> None:
    """Raise `ValueError` if both options are given, or if ``max_bytes`` is below 1."""
    if max_bytes is not None and target is not None:
        raise ValueError("max_bytes and target exclude each other; bytes:N is a target")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError("max_bytes must be 1 or more")


class PrefixDecoder(Protocol):
    """Decoder of a stream's prefixes: the part of a codec that the search needs."""

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the picture of ``stream[:n]`` for every ``n`` of ``lengths``.

        The lengths must not decrease.
        """


def candidate_lengths(length: int, pixels: int, growth: float = GROWTH) -> list[int]:
    """Return increasing lengths in bytes to try for a stream of ``length`` bytes.

    The first is `MIN_CANDIDATE` (unless the stream is shorter), the last is ``length``. The ratio
    of successive lengths is about ``growth``, or larger if decoding all of them would exceed
    `MAX_DECODED_PIXELS`. ``pixels``: number of pixels of the picture.
    """
    growth = max(growth, (length / MIN_CANDIDATE) ** (1 / _max_candidates(pixels)))
    candidates, n = [], MIN_CANDIDATE
    while n < length:
        candidates.append(n)
        n = max(n + 1, round(n * growth))
    return [*candidates, length]


def _max_candidates(pixels: int) -> int:
    return max(MIN_CANDIDATES, MAX_DECODED_PIXELS // pixels)


def shortest_prefix(
    codec: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes, target: Target
) -> bytes | None:
    """Return the shortest prefix found that reaches ``target``; None if no candidate does.

    ``pixels``: the original picture. ``stream`` and the result include the header.
    """
    count = pixels.shape[0] * pixels.shape[1]
    candidates = candidate_lengths(len(stream), count)
    reached = _first_reaching(codec, pixels, stream, candidates, target)
    if reached is None:
        return None
    header = parse_header(stream).length
    below = max((n for n in candidates if n < reached), default=header - 1)
    if _max_candidates(count) < MAX_REFINEMENTS:
        return stream[: _bisect(codec, pixels, stream, below, reached, target)]
    between = range(below + 1, reached)
    spacing = -(-len(between) // MAX_REFINEMENTS) or 1
    shorter = _first_reaching(codec, pixels, stream, between[::spacing], target)
    return stream[: reached if shorter is None else shorter]


def _bisect(
    codec: PrefixDecoder,
    pixels: NDArray[np.uint8],
    stream: bytes,
    below: int,
    reached: int,
    target: Target,
) -> int:
    """Narrow down, in at most `BISECTIONS` tries, the shortest length that reaches ``target``.

    ``reached`` is known to reach it, ``below`` not to. The result is between them.
    """
    for _ in range(BISECTIONS):
        middle = round(math.sqrt(below * reached))
        if not below < middle < reached:
            break
        if _first_reaching(codec, pixels, stream, [middle], target):
            reached = middle
        else:
            below = middle
    return reached


def _first_reaching(
    codec: PrefixDecoder,
    pixels: NDArray[np.uint8],
    stream: bytes,
    lengths: Sequence[int],
    target: Target,
) -> int | None:
    """Return the first of ``lengths`` that reaches ``target``; None if no length does."""
    if not lengths:
        return None
    pictures = codec.decode_prefixes(stream, lengths)
    tried = zip(lengths, pictures, strict=True)
    return next((n for n, x_hat in tried if target.reached(pixels, x_hat)), None)
