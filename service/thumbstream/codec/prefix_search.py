"""The shortest prefix of a stream that reaches a goal, by really decoding prefixes.

First up a ladder of lengths, each a fifth longer than the last, to the first that reaches the goal;
then up every byte between the last rung that did not and this one. Quality rises with the bytes but
for single ones, so hardly anything is missed, and large pictures take seconds, not minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.targets import Target

SHORTEST = 4
"""Bytes of the first rung: the least that holds a header and something behind it."""
GROWTH = 2**0.25
"""From a rung to the next."""
MOST_BETWEEN = 64
"""Lengths that are tried between two rungs, evenly spread where there are more."""


class PrefixDecoder(Protocol):
    """What a search asks of a codec."""

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The picture of ``stream[:n]`` for every ``n`` of ``lengths``, which must not fall."""


def ladder(whole: int) -> list[int]:
    """Lengths in bytes that grow by `GROWTH` from `SHORTEST` to ``whole``."""
    rungs, n = [], SHORTEST
    while n < whole:
        rungs.append(n)
        n = max(n + 1, round(n * GROWTH))
    return [*rungs, whole]


def shortest_prefix(
    codec: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes, target: Target
) -> bytes | None:
    """The first prefix, header included, that reaches ``target``; None when none does."""
    rungs = ladder(len(stream))
    reached = _first(codec, pixels, stream, rungs, target)
    if reached is None:
        return None
    header = parse_header(stream).length
    below = max((n for n in rungs if n < reached), default=header - 1)
    between = range(below + 1, reached)
    step = -(-len(between) // MOST_BETWEEN) or 1
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
