"""Rate-distortion curves: measured by decoding, stored in six bytes per point."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from codec_pictures import photo_like
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.codec.base import Codec
from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import psnr, ssim
from thumbstream.codec.rate_curve import RateCurve, measure_curve
from thumbstream.errors import CurveError, ThumbstreamError

CURVE = RateCurve((4, 5, 9), (0.25, 0.5, 0.4), (15.0, 20.5, 22.25))


@pytest.mark.parametrize("shape", [(32, 32), (24, 40), (8, 3)], ids=str)
def test_points_equal_decoded_quality(codec: Codec, shape: tuple[int, int]) -> None:
    pixels = photo_like(4, *shape)
    stream = codec.encode(pixels)
    curve = measure_curve(codec, pixels, stream)
    assert curve.lengths[0] == 4
    assert curve.lengths[-1] == len(stream)
    for n, a, b in zip(curve.lengths, curve.ssim, curve.psnr, strict=True):
        x_hat = codec.decode(stream[:n])
        assert a == pytest.approx(ssim(pixels, x_hat), abs=1e-12)
        assert b == pytest.approx(psnr(pixels, x_hat), abs=1e-12)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"max_bytes": 60},
        {"target": Target.parse("psnr:14")},
        {"target": Target.parse("bytes:40")},
    ],
    ids=str,
)
@pytest.mark.parametrize("aspect", [None, (4001, 3000)], ids=str)
def test_encoder_and_decoder_measure_the_same_curve(
    codec: Codec, chosen: dict[str, Any], aspect: tuple[int, int] | None
) -> None:
    """The same result as decoding the stream again."""
    pixels = photo_like(6, 24, 32)
    stream, prefixes = codec.encode_with_decoder(pixels, aspect=aspect, **chosen)
    assert stream == codec.encode(pixels, aspect=aspect, **chosen)
    assert measure_curve(prefixes, pixels, stream) == measure_curve(codec, pixels, stream)


@pytest.mark.parametrize("length", [57, 100, 300])
def test_lengths_grow_evenly_by_two_thirds_or_a_little_more(codec: Codec, length: int) -> None:
    pixels = photo_like(4, 32, 32)
    stream = codec.encode(pixels)[:length]
    lengths = np.array(measure_curve(codec, pixels, stream).lengths)
    assert (lengths[0], lengths[-1]) == (4, len(stream))
    ratio = (len(stream) / 4) ** (1 / (len(lengths) - 1))
    assert 2**0.75 <= ratio < 2**0.9
    assert np.abs(lengths - 4 * ratio ** np.arange(len(lengths))).max() <= 0.5


@pytest.mark.parametrize("lengths", [(1,), (3,), (4,), (4, 5), (4, 8), (4, 7, 12)], ids=str)
def test_curves_of_tiny_streams(codec: Codec, lengths: tuple[int, ...]) -> None:
    pixels = photo_like(4, 32, 32)
    stream = codec.encode(pixels, max_bytes=lengths[-1])
    assert measure_curve(codec, pixels, stream).lengths == lengths


def test_rejects_pixels_of_another_shape(codec: Codec) -> None:
    stream = codec.encode(photo_like(4, 32, 32))
    with pytest.raises(ValueError, match="another width"):
        measure_curve(codec, photo_like(4, 24, 32), stream)


@pytest.mark.parametrize(
    ("measure", "value", "length"),
    [
        *(("ssim", 0.2, 4), ("ssim", 0.25, 4), ("ssim", 0.41, 5), ("ssim", 0.51, None)),
        *(("psnr", 1, 4), ("psnr", 20.5, 5), ("psnr", 20.6, 6), ("psnr", 22.26, None)),
        *(("psnr", 21.5, 8), ("psnr", 22.25, 9)),
    ],
)
def test_shortest_length_that_reaches_a_quality(
    measure: str, value: float, length: int | None
) -> None:
    assert CURVE.shortest(measure, value) == length


def test_a_better_quality_never_needs_fewer_bytes() -> None:
    curve = RateCurve((4, 7, 12, 40), (0.1, 0.3, 0.25, 0.9), (10.0, 15.0, 15.0, 30.0))
    for measure, last in (("ssim", 0.9), ("psnr", 30.0)):
        lengths = [curve.shortest(measure, last * i / 300) for i in range(301)]
        assert lengths == sorted(lengths)
        assert (lengths[0], lengths[-1]) == (4, 40)


@pytest.mark.parametrize("measure", ["bytes", "SSIM", "lengths", ""])
def test_rejects_unknown_measure(measure: str) -> None:
    with pytest.raises(ValueError, match="use ssim or psnr"):
        CURVE.shortest(measure, 1)


def test_curve_format() -> None:
    """Rounded down, never below zero."""
    data = RateCurve((4, 300), (-0.3, 1.0), (7.001, 100.0)).to_bytes()
    assert data.hex() == "000400000e00012cffffc800"
    assert RateCurve.from_bytes(data) == RateCurve((4, 300), (0.0, 1.0), (7.0, 100.0))


def test_stored_values_round_trip() -> None:
    """Reading and writing again changes no value."""
    for begin in range(0, 65536, 4096):
        steps = range(begin, begin + 4096)
        data = b"".join(struct.pack(">HHH", i + 1, v, v) for i, v in enumerate(steps))
        assert RateCurve.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x00", bytes(5), bytes(7), bytes(6)),
        struct.pack(">6H", 4, 1, 1, 4, 2, 2),
        struct.pack(">6H", 5, 1, 1, 4, 2, 2),
    ],
    ids=["empty", "one byte", "five", "seven", "length zero", "the same length", "shorter"],
)
def test_rejects_invalid_bytes(data: bytes) -> None:
    with pytest.raises(CurveError, match="curve"):
        RateCurve.from_bytes(data)
    assert issubclass(CurveError, ThumbstreamError)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_curve_or_an_error(data: bytes) -> None:
    try:
        curve = RateCurve.from_bytes(data)
    except CurveError:
        return
    assert curve.to_bytes() == data
