"""The iterative codec with a published model: shapes, prefixes, threads, quality."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from codec_folders import ZOO
from codec_pictures import PICTURES, Pixels, photo_like, psnr, real_pictures

from thumbstream.codec.base import open_codec
from thumbstream.codec.bitstream import PLACEHOLDER_SAMPLE, parse_header, write_header
from thumbstream.codec.iterative.codec import IterativeCodec
from thumbstream.codec.prefix_search import Target
from thumbstream.errors import BitstreamError

SHAPES = [(32, 32), (8, 8), (8, 1), (1, 8), (24, 32), (32, 21), (1, 32), (40, 24), (24, 40)]
"""Height, width."""
LARGE_SHAPES = [(256, 3), (17, 128)]

LARGEST_FALL_DB = 0.01
"""Largest decrease of the mean PSNR of a set from one byte to the next.

A code that arrives replaces its expected value, which on average only helps; but a network that
saw few cut iterations in training may like a code less than its mean. In the mean over a set such
falls nearly cancel: what is allowed is far below what can be seen.
"""
LEAST_RISE_DB = 3.0
"""Least increase from the first byte to the last."""
SYNTHETIC_SET = 40
REAL_SET = 200
"""Most pictures of the folder named by `PICTURES`."""


@pytest.fixture(scope="module")
def streams(codec: IterativeCodec) -> dict[tuple[int, int], tuple[Pixels, bytes]]:
    """A picture of each shape and its stream."""
    pictures = {shape: photo_like(i, *shape) for i, shape in enumerate(SHAPES + LARGE_SHAPES)}
    return {shape: (pixels, codec.encode(pixels)) for shape, pixels in pictures.items()}


Streams = dict[tuple[int, int], tuple[Pixels, bytes]]


@pytest.mark.parametrize("shape", SHAPES + LARGE_SHAPES, ids=str)
def test_shapes_round_trip(codec: IterativeCodec, streams: Streams, shape: tuple[int, int]) -> None:
    _, stream = streams[shape]
    header = parse_header(stream)
    assert (header.height, header.width) == shape
    assert stream.startswith(write_header(codec.bitstream_id, shape[1], shape[0]))
    x_hat = codec.decode(stream)
    assert x_hat.shape == (*shape, 3)
    assert x_hat.dtype == np.uint8
    assert x_hat.flags.c_contiguous


@pytest.mark.parametrize("shape", SHAPES + LARGE_SHAPES, ids=str)
def test_complete_stream_determines_every_code(
    codec: IterativeCodec, streams: Streams, shape: tuple[int, int]
) -> None:
    manifest = codec.manifest
    found = codec.decode_codes(streams[shape][1])
    rows, columns = (-(-side // manifest["stride"]) for side in shape)
    assert found.codes.shape == (manifest["iterations"], manifest["planes"], rows, columns)
    assert found.decoded_count == found.codes.size
    assert set(np.unique(found.codes)) <= {-1.0, 1.0}


def test_decoded_picture_resembles_the_original(codec: IterativeCodec, streams: Streams) -> None:
    for pixels, stream in streams.values():
        grey = np.broadcast_to(pixels.mean((0, 1), keepdims=True), pixels.shape).astype(np.uint8)
        assert psnr(pixels, codec.decode(stream)) > psnr(pixels, grey)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8), (24, 16), (24, 40)], ids=str)
def test_every_prefix_decodes(codec: IterativeCodec, shape: tuple[int, int]) -> None:
    pixels = photo_like(5, *shape)
    stream = codec.encode(pixels)
    header = len(write_header(codec.bitstream_id, shape[1], shape[0]))
    step = 1 if shape[0] * shape[1] <= 64 else 7
    for n in [1, 2, *range(3, len(stream), step), len(stream)]:
        x_hat = codec.decode(stream[:n])
        assert x_hat.dtype == np.uint8
        # A header that is cut before the short side describes a square.
        assert x_hat.shape == (*(shape if n >= header else [max(shape)] * 2), 3)
    if header == 3:
        assert (codec.decode(stream[:1]) == PLACEHOLDER_SAMPLE).all()


def test_longer_prefixes_extend_the_codes(codec: IterativeCodec, streams: Streams) -> None:
    _, stream = streams[24, 40]
    complete = codec.decode_codes(stream).codes
    counts = []
    for n in range(3, len(stream) + 1, 9):
        found = codec.decode_codes(stream[:n])
        counts.append(found.decoded_count)
        certain = np.abs(found.codes) == 1
        assert np.count_nonzero(certain) >= found.decoded_count
        np.testing.assert_array_equal(
            found.codes[:-1], complete[: len(found.codes) - 1], "iterations before the last"
        )
    assert all(a <= b for a, b in pairwise(counts))


@pytest.mark.parametrize("tail", [b"\x00", b"\xff" * 40, b"thumbstream"])
@pytest.mark.parametrize("shape", [(32, 32), (40, 24), (1, 8)], ids=str)
def test_tails_are_ignored(
    codec: IterativeCodec, streams: Streams, shape: tuple[int, int], tail: bytes
) -> None:
    _, stream = streams[shape]
    np.testing.assert_array_equal(
        codec.decode_codes(stream + tail).codes, codec.decode_codes(stream).codes
    )
    np.testing.assert_array_equal(codec.decode(stream + tail), codec.decode(stream))


@pytest.mark.parametrize("shape", [(8, 8), (8, 1), (16, 16)], ids=str)
def test_max_bytes_cuts_at_every_length(codec: IterativeCodec, shape: tuple[int, int]) -> None:
    pixels = photo_like(7, *shape)
    stream = codec.encode(pixels)
    for n in range(1, len(stream) + 3):
        assert codec.encode(pixels, max_bytes=n) == stream[:n]


@pytest.mark.parametrize("shape", [(32, 32), (40, 24)], ids=str)
def test_max_bytes_cuts_the_stream(
    codec: IterativeCodec, streams: Streams, shape: tuple[int, int]
) -> None:
    pixels, stream = streams[shape]
    for n in [1, 2, 3, 4, *range(5, len(stream), 23), len(stream), len(stream) + 1, 10**6]:
        assert codec.encode(pixels, max_bytes=n) == stream[:n]


def test_encoding_is_deterministic(codec: IterativeCodec, streams: Streams) -> None:
    again = open_codec(ZOO / codec.model_id, device="cpu")
    for shape in SHAPES:
        pixels, stream = streams[shape]
        assert codec.encode(pixels) == again.encode(pixels.copy()) == stream
        np.testing.assert_array_equal(
            again.decode_codes(stream).codes, codec.decode_codes(stream).codes
        )


def test_memory_layout_has_no_influence(codec: IterativeCodec, streams: Streams) -> None:
    pixels, stream = streams[24, 32]
    assert codec.encode(np.asfortranarray(pixels)) == stream
    assert codec.encode(np.repeat(pixels, 2, axis=1)[:, ::2]) == stream
    pixels.flags.writeable = False
    assert codec.encode(pixels) == stream


def test_threads_do_not_interfere(codec: IterativeCodec, streams: Streams) -> None:
    chosen = [streams[shape] for shape in SHAPES[:6]] * 2
    decoded = [codec.decode(stream[: 3 + len(stream) // 2]) for _, stream in chosen]
    with ThreadPoolExecutor(4) as pool:
        encoding = [pool.submit(codec.encode, pixels) for pixels, _ in chosen]
        decoding = [pool.submit(codec.decode, s[: 3 + len(s) // 2]) for _, s in chosen]
        assert [job.result() for job in encoding] == [stream for _, stream in chosen]
        for expected, job in zip(decoded, decoding, strict=True):
            np.testing.assert_array_equal(job.result(), expected)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((32, 32), np.uint8),
        ((32, 32, 4), np.uint8),
        ((32, 32, 1), np.uint8),
        ((1, 32, 32, 3), np.uint8),
        ((32, 32, 3), np.float32),
        ((32, 32, 3), np.int64),
        ((32, 32, 3), np.bool_),
    ],
    ids=str,
)
def test_rejects_invalid_arrays(codec: IterativeCodec, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match=r"pixels must be \(H, W, 3\) uint8"):
        codec.encode(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(33, 20), (7, 7), (264, 10), (10, 31), (4, 4)], ids=str)
def test_rejects_shapes_off_the_grid(codec: IterativeCodec, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        codec.encode(np.zeros((*shape, 3), np.uint8))


@pytest.mark.parametrize("shape", [(0, 0), (0, 32), (32, 0)], ids=str)
def test_rejects_empty_pictures(codec: IterativeCodec, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"multiple of 8|must be positive"):
        codec.encode(np.zeros((*shape, 3), np.uint8))


@pytest.mark.parametrize("max_bytes", [0, -1, -(10**9)])
def test_rejects_max_bytes_below_one(codec: IterativeCodec, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="max_bytes must be 1 or more"):
        codec.encode(np.zeros((8, 8, 3), np.uint8), max_bytes=max_bytes)


@pytest.mark.parametrize("stream", [b"", b"\x3f", b"\xdf\x01", b"\xe3\x00\x1f", b"\xe0\x00\x08"])
def test_rejects_invalid_streams(codec: IterativeCodec, stream: bytes) -> None:
    for read in (codec.decode, codec.decode_codes):
        with pytest.raises(BitstreamError):
            read(stream)


@pytest.mark.parametrize("length", [2, 3, 40])
def test_rejects_streams_of_another_model(codec: IterativeCodec, length: int) -> None:
    other = write_header((codec.bitstream_id + 1) % 128, 40, 24)
    stream = (other + bytes(40))[:length]
    for read in (codec.decode, codec.decode_codes):
        with pytest.raises(BitstreamError, match="has bitstream id"):
            read(stream)


def test_rejects_alpha(codec: IterativeCodec) -> None:
    assert codec.alpha is False
    stream = write_header(8, 32, 24, alpha=True) + b"codes"
    for read in (codec.decode, codec.decode_codes, codec.inspect):
        for length in (1, 2, 7):
            with pytest.raises(BitstreamError, match="bitstream id 8"):
                read(stream[:length])


@pytest.mark.parametrize("target", [None, Target.parse("psnr:18"), Target.parse("bytes:50")])
def test_aspect_ratio_does_not_change_the_stream(
    codec: IterativeCodec, target: Target | None
) -> None:
    pixels = photo_like(5, 21, 32)
    plain = codec.encode(pixels, target=target)
    assert codec.encode(pixels, target=target, aspect=(300, 200)) == plain


def test_inspect(codec: IterativeCodec, streams: Streams) -> None:
    _, stream = streams[24, 40]
    found = codec.decode_codes(stream[:60])
    assert codec.inspect(stream[:60]) == {
        "model": codec.model_id,
        "bitstream_id": codec.bitstream_id,
        "width": 40,
        "height": 24,
        "alpha": False,
        "aspect_ratio": (40, 24),
        "length": 60,
        "header_length": 3,
        "bits_per_pixel": 0.5,
        "cells": 15,
        "codes": found.decoded_count,
        "codes_per_iteration": 15 * codec.manifest["planes"],
        "iterations": len(found.codes),
        "stopped_cells": 0,
        "raw_length": 3 + -(-found.decoded_count // 8),
    }
    cut = codec.inspect(stream[:1])
    assert (cut["model"], cut["bitstream_id"], cut["codes"]) == (None, None, 0)


def test_largest_picture_from_few_bytes(codec: IterativeCodec) -> None:
    """256 x 256 pixels from four bytes: a header alone allocates no more than the picture."""
    x_hat = codec.decode(write_header(codec.bitstream_id, 256, 256) + b"\x5a")
    assert x_hat.shape == (256, 256, 3)


# Quality.


@pytest.mark.parametrize("shape", [(32, 32), (32, 11), (24, 40)], ids=str)
def test_prefixes_together_equal_single_ones(codec: IterativeCodec, shape: tuple[int, int]) -> None:
    stream = codec.encode(photo_like(3, *shape))
    lengths = [1, 2, 3, *range(4, len(stream), 19), len(stream) - 1, len(stream), len(stream) + 9]
    for n, x_hat in zip(lengths, codec.decode_prefixes(stream, lengths), strict=True):
        np.testing.assert_array_equal(x_hat, codec.decode(stream[:n]))


def mean_quality(codec: IterativeCodec, pictures: list[Pixels]) -> list[float]:
    """Mean PSNR of the set at 1, 2, ... bytes; after its end a stream keeps its quality."""
    curves = []
    for pixels in pictures:
        stream = codec.encode(pixels)
        x_hats = codec.decode_prefixes(stream, range(1, len(stream) + 1))
        curves.append([psnr(pixels, x_hat) for x_hat in x_hats])
    longest = max(map(len, curves))
    return np.mean([c + [c[-1]] * (longest - len(c)) for c in curves], axis=0).tolist()


def synthetic_pictures() -> list[Pixels]:
    sizes = [(32, 32), (24, 32), (32, 21), (32, 32)]
    return [photo_like(100 + i, *sizes[i % 4]) for i in range(SYNTHETIC_SET)]


PICTURE_SETS = {"synthetic": synthetic_pictures}
if os.environ.get(PICTURES):
    PICTURE_SETS["real"] = lambda: real_pictures(32, REAL_SET)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURE_SETS)
def test_mean_quality_never_falls(codec: IterativeCodec, name: str) -> None:
    """At every byte; also on real pictures if `PICTURES` is set."""
    pictures = PICTURE_SETS[name]()
    assert len(pictures) >= 40
    quality = mean_quality(codec, pictures)
    falls = {n: a - b for n, (a, b) in enumerate(pairwise(quality), start=2)}
    worst = max(falls, key=falls.__getitem__)
    assert falls[worst] <= LARGEST_FALL_DB, f"byte {worst} costs {falls[worst]:.3f} dB"
    assert quality[-1] - quality[0] >= LEAST_RISE_DB
