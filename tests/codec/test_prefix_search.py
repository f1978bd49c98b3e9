"""The search for the shortest prefix, on a decoder whose quality is whatever a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream.codec.bitstream import write_header
from thumbstream.codec.prefix_search import (
    GROWTH,
    MAX_REFINEMENTS,
    MIN_CANDIDATE,
    Target,
    candidate_lengths,
    shortest_prefix,
)
from thumbstream.codec.quality import psnr

PICTURE = np.full((8, 8, 3), 100, np.uint8)
HEADER = write_header(0, 32, 32)


class Decoder:
    """Draws a picture that is ``error(length)`` too bright; notes which lengths it drew."""

    def __init__(self, error: Callable[[int], int]) -> None:
        self.error = error
        self.drawn: list[int] = []

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for n in lengths:
            self.drawn.append(n)
            yield PICTURE + np.uint8(self.error(n))


def found(decoder: Decoder, length: int, error: int) -> int | None:
    """Bytes of the shortest prefix that is at most ``error`` off; None when there is none."""
    off_by_that = float(psnr(PICTURE, PICTURE + np.uint8(error)))
    stream = HEADER + bytes(length - len(HEADER))
    prefix = shortest_prefix(decoder, PICTURE, stream, Target("psnr", off_by_that))
    assert prefix is None or stream.startswith(prefix)
    return None if prefix is None else len(prefix)


@pytest.mark.parametrize("whole", [1, 3, 4, 5, 64, 200, 5000])
def test_candidates_grow_to_the_complete_stream(whole: int) -> None:
    rungs = candidate_lengths(whole)
    assert rungs[-1] == whole
    assert rungs[0] == min(MIN_CANDIDATE, whole)
    for below, above in pairwise(rungs):
        assert below < above <= max(below + 1, round(below * GROWTH))


@pytest.mark.parametrize("length", [1, 2, 4, 5, 37, 120, 199, 200])
def test_small_streams_are_searched_byte_by_byte(length: int) -> None:
    decoder = Decoder(lambda n: 5 if n >= length else 50)
    assert found(decoder, 200, 5) == length
    assert len(decoder.drawn) < 100


def test_large_streams_are_searched_with_bounded_work() -> None:
    decoder = Decoder(lambda n: 5 if n >= 7001 else 50)
    length = found(decoder, 12_000, 5)
    assert length is not None
    assert 7001 <= length <= 7001 * 1.01
    assert len(decoder.drawn) <= len(candidate_lengths(12_000)) + MAX_REFINEMENTS


def test_non_monotonic_quality() -> None:
    """Quality may fall by a little from one byte to the next."""
    decoder = Decoder(lambda n: 5 if n in (37, 38) or n >= 40 else 50)
    assert found(decoder, 200, 5) == 37


def test_unreachable_target() -> None:
    decoder = Decoder(lambda n: 50)
    assert found(decoder, 200, 5) is None
    assert decoder.drawn == candidate_lengths(200)
