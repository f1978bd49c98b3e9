"""Targets, and the search for the shortest prefix with a simulated decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from codec_pictures import photo_like
from numpy.typing import NDArray

from thumbstream.codec.bitstream import write_header
from thumbstream.codec.prefix_search import (
    BISECTIONS,
    GROWTH,
    MAX_REFINEMENTS,
    MIN_CANDIDATE,
    Target,
    candidate_lengths,
    shortest_prefix,
)
from thumbstream.codec.quality import psnr, ssim

PICTURE = np.full((8, 8, 3), 100, np.uint8)
PIXELS = 64
HEADER = write_header(0, 32, 32)


class Decoder:
    """Decodes to a picture that is ``error(length)`` too bright; records the lengths."""

    def __init__(self, error: Callable[[int], int], picture: NDArray[np.uint8] = PICTURE) -> None:
        self.error = error
        self.picture = picture
        self.decoded: list[int] = []

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for n in lengths:
            self.decoded.append(n)
            yield self.picture + np.uint8(self.error(n))


def found(decoder: Decoder, length: int, error: int) -> int | None:
    """Bytes of the shortest prefix with at most this error; None if there is none."""
    picture = decoder.picture
    psnr_of_error = float(psnr(picture, picture + np.uint8(error)))
    stream = HEADER + bytes(length - len(HEADER))
    prefix = shortest_prefix(decoder, picture, stream, Target("psnr", psnr_of_error))
    assert prefix is None or stream.startswith(prefix)
    return None if prefix is None else len(prefix)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 64, 200, 5000])
def test_candidates_grow_to_the_complete_stream(length: int) -> None:
    candidates = candidate_lengths(length, PIXELS)
    assert candidates[-1] == length
    assert candidates[0] == min(MIN_CANDIDATE, length)
    for below, above in pairwise(candidates):
        assert below < above <= max(below + 1, round(below * GROWTH))


@pytest.mark.parametrize("length", [1, 2, 4, 5, 37, 120, 199, 200])
def test_small_streams_are_searched_byte_by_byte(length: int) -> None:
    decoder = Decoder(lambda n: 5 if n >= length else 50)
    assert found(decoder, 200, 5) == length
    assert len(decoder.decoded) < 100


def test_large_streams_are_searched_with_bounded_work() -> None:
    decoder = Decoder(lambda n: 5 if n >= 7001 else 50)
    length = found(decoder, 12_000, 5)
    assert length is not None
    assert 7001 <= length <= 7001 * 1.01
    assert len(decoder.decoded) <= len(candidate_lengths(12_000, PIXELS)) + MAX_REFINEMENTS


@pytest.mark.parametrize(("side", "most"), [(112, 48), (128, 38), (256, 8)])
def test_large_pictures_have_fewer_candidates(side: int, most: int) -> None:
    candidates = candidate_lengths(70_000, side * side)
    assert (candidates[0], candidates[-1]) == (MIN_CANDIDATE, 70_000)
    assert len(candidates) <= most
    assert all(below < above for below, above in pairwise(candidates))


def test_large_pictures_are_searched_with_bounded_work() -> None:
    decoder = Decoder(lambda n: 5 if n >= 7001 else 50, np.full((256, 256, 3), 100, np.uint8))
    length = found(decoder, 70_000, 5)
    assert length is not None
    assert 7001 <= length <= 7001 * 1.1
    assert len(decoder.decoded) <= 8 + BISECTIONS


def test_alpha_counts_as_a_layer_of_large_pictures() -> None:
    assert len(candidate_lengths(145_000, 256 * 256, layers=2)) <= 5
    sizes = [32 * 32, 96 * 96, 128 * 128]
    assert all(
        candidate_lengths(20_000, n, layers=2) == candidate_lengths(20_000, n) for n in sizes
    )
    decoder = Decoder(lambda n: 5 if n >= 7001 else 50, np.full((256, 256, 4), 100, np.uint8))
    length = found(decoder, 145_000, 5)
    assert length is not None
    assert 7001 <= length <= 7001 * 1.3
    assert len(decoder.decoded) <= 5 + BISECTIONS


def test_non_monotonic_quality() -> None:
    """Quality may decrease from one byte to the next."""
    decoder = Decoder(lambda n: 5 if n in (37, 38) or n >= 40 else 50)
    assert found(decoder, 200, 5) == 37


def test_unreachable_target() -> None:
    decoder = Decoder(lambda n: 50)
    assert found(decoder, 200, 5) is None
    assert decoder.decoded == candidate_lengths(200, PIXELS)


GREY = np.full((16, 16, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("text", "measure", "value"),
    [
        ("ssim:0.85", "ssim", 0.85),
        ("ssim:1", "ssim", 1.0),
        ("psnr:28", "psnr", 28.0),
        ("psnr:1e2", "psnr", 100.0),
        ("bytes:64", "bytes", 64),
    ],
)
def test_parses_targets(text: str, measure: str, value: float) -> None:
    assert Target.parse(text) == Target(measure, value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ssim", "ssim:", "0.85", ":0.85", "ssim=0.85", "ssim:good", "ssim:0.85:2"),
        *("ssim:0", "ssim:-1", "ssim:1.01", "ssim:nan", "ssim:inf", "SSIM:0.5"),
        *("psnr:0", "psnr:101", "psnr:-inf", "psnr:nan", "psnr:28 dB"),
        *("bytes:0", "bytes:-3", "bytes:6.5", "bytes:1e2", "bytes:inf", "bytes:nan", "bytes:"),
        "bytes:" + 400 * "9",
        "msssim:0.9",
    ],
)
def test_rejects_invalid_text(text: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("measure", "value"),
    [("bytes", 6.5), ("bytes", 0), ("bytes", 10**400), ("ssim", 2), ("psnr", float("nan"))],
)
def test_rejects_invalid_values(measure: str, value: float) -> None:
    with pytest.raises(ValueError, match="target"):
        Target(measure, value)


def test_target_is_reached_at_its_exact_value() -> None:
    a, b = photo_like(1, 24, 24), photo_like(2, 24, 24)
    for name, measure in (("ssim", ssim), ("psnr", psnr)):
        value = float(measure(a, b))
        assert Target(name, value).reached(a, b)
        assert not Target(name, np.nextafter(value, 99)).reached(a, b)


def test_byte_target_needs_no_quality() -> None:
    assert Target("bytes", 1).reached(GREY, 255 - GREY)
