"""Defines targets, and finds the shortest prefix of a stream that reaches a target.

Quality is measured by decoding prefixes. The search first tries candidate lengths that grow by
about a fifth from one to the next. Then it tries the lengths between the last candidate that missed
the target and the first that reached it. Quality is almost monotonic in the number of bytes, so the
search rarely misses a shorter prefix.

The work is bounded: pictures above 96 x 96 pixels have fewer candidates, further apart, and the
lengths between two candidates are bisected. The limits count decoded pixels, not seconds, so the
same picture has the same stream on every machine. Above 128 x 128 pixels the limit is lower, and
the pixels of a picture with alpha count twice, because it has two layers to decode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.quality import MEASURES, ssim_to

BYTES = "bytes"
_MAX_VALUE = {"ssim": 1, "psnr": 100, BYTES: 10**6}

MIN_CANDIDATE = 4
"""Length of the first candidate in bytes: a header and at least one byte of symbols."""
GROWTH = 2**0.25
"""Least ratio of one candidate length to the previous candidate length."""
MAX_REFINEMENTS = 64
"""Limit of the lengths tried between two candidates; evenly spaced if more lengths exist."""
MAX_DECODED_PIXELS = 600_000
"""Limit of the pixels decoded for all candidates together: half a second of processor time."""
LARGE_PIXELS = 128 * 128
"""Pictures of more pixels than this are large."""
MAX_DECODED_LARGE_PIXELS = 400_000
"""`MAX_DECODED_PIXELS` of large pictures, in pixels of all layers. Encoding and measuring the curve
of a large picture also take long: all together at most 2 seconds of processor time."""
MIN_CANDIDATES = 3
"""Approximate number of candidates for the largest pictures with alpha."""
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
                f"a target of {self.measure} must be over 0 and at most "
                f"{_MAX_VALUE[self.measure]}, got {self.value}"
            )
        if self.measure == BYTES and self.value != int(self.value):
            raise ValueError(f"a target of bytes must be an integer, got {self.value:g}")

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

    def reached_by(self, pixels: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], bool]:
        """Return the function ``x_hat -> reached(pixels, x_hat)``, for many ``x_hat``."""
        if self.measure != "ssim":
            return lambda x_hat: self.reached(pixels, x_hat)
        compare = ssim_to(pixels)
        return lambda x_hat: float(compare(x_hat)) >= self.value


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


def candidate_lengths(
    length: int, pixels: int, growth: float = GROWTH, *, layers: int = 1
) -> list[int]:
    """Return increasing lengths in bytes to try for a stream of ``length`` bytes.

    The first is `MIN_CANDIDATE` (unless the stream is shorter), the last is ``length``. The ratio
    of successive lengths is about ``growth``, or larger if decoding all of them would exceed
    `MAX_DECODED_PIXELS`. ``pixels``: number of pixels of the picture. ``layers``: 2 with alpha.
    """
    growth = max(growth, (length / MIN_CANDIDATE) ** (1 / max_candidates(pixels, layers)))
    candidates, n = [], MIN_CANDIDATE
    while n < length:
        candidates.append(n)
        n = max(n + 1, round(n * growth))
    return [*candidates, length]


def count_layers(pixels: NDArray[np.uint8]) -> int:
    """Return 2 for a picture ``(H, W, 4)`` with alpha, else 1."""
    return 2 if pixels.shape[2] == 4 else 1


def max_candidates(pixels: int, layers: int) -> int:
    """Return how many prefixes of a picture of ``pixels`` pixels may be decoded for a search."""
    if pixels > LARGE_PIXELS:
        return max(MIN_CANDIDATES, MAX_DECODED_LARGE_PIXELS // (pixels * layers))
    return MAX_DECODED_PIXELS // pixels


def shortest_prefix(
    codec: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes, target: Target
) -> bytes | None:
    """Return the shortest prefix found that reaches ``target``; None if no candidate does.

    ``pixels``: the original picture. ``stream`` and the result include the header.
    """
    count = pixels.shape[0] * pixels.shape[1]
    layers = count_layers(pixels)
    candidates = candidate_lengths(len(stream), count, layers=layers)
    is_reached = target.reached_by(pixels)
    reached = _first_reaching(codec, stream, candidates, is_reached)
    if reached is None:
        return None
    header = parse_header(stream).length
    below = max((n for n in candidates if n < reached), default=header - 1)
    if max_candidates(count, layers) < MAX_REFINEMENTS:
        return stream[: _bisect(codec, stream, below, reached, is_reached)]
    between = range(below + 1, reached)
    spacing = -(-len(between) // MAX_REFINEMENTS) or 1
    shorter = _first_reaching(codec, stream, between[::spacing], is_reached)
    return stream[: reached if shorter is None else shorter]


def _bisect(
    codec: PrefixDecoder,
    stream: bytes,
    below: int,
    reached: int,
    is_reached: Callable[[NDArray[np.uint8]], bool],
) -> int:
    """Narrow down, in at most `BISECTIONS` tries, the shortest length that reaches the target.

    ``reached`` is known to reach it, ``below`` not to. The result is between them.
    """
    for _ in range(BISECTIONS):
        middle = round(math.sqrt(below * reached))
        if not below < middle < reached:
            break
        if _first_reaching(codec, stream, [middle], is_reached):
            reached = middle
        else:
            below = middle
    return reached


def _first_reaching(
    codec: PrefixDecoder,
    stream: bytes,
    lengths: Sequence[int],
    is_reached: Callable[[NDArray[np.uint8]], bool],
) -> int | None:
    """Return the first of ``lengths`` that reaches the target; None if no length does."""
    if not lengths:
        return None
    pictures = codec.decode_prefixes(stream, lengths)
    tried = zip(lengths, pictures, strict=True)
    return next((n for n, x_hat in tried if is_reached(x_hat)), None)
