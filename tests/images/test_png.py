"""PNG: checksums, chunks that are not needed, and the transparent color."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError, TooManyPixelsError
from thumbstream.images import ImageLimits, reduce_to_grid, thumbnail
from thumbstream.images.formats.png import INTERLACED

WHOLE = thumbnail(files.png(files.RGB), 32).pixels
BAD = {file.name: file.data for file in files.pngs() if file.name.startswith("crc-")}


@pytest.mark.parametrize("name", BAD)
def test_wrong_checksum_of_an_ancillary_chunk_costs_the_chunk(name: str) -> None:
    assert np.array_equal(thumbnail(BAD[name], 32).pixels, WHOLE)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE"])
def test_wrong_checksum_of_a_critical_chunk_costs_the_picture(kind: bytes) -> None:
    indices = np.zeros((8, 8), np.uint8)
    data = bytearray(files.png(indices, 8, 3, files.chunk(b"PLTE", bytes(768))))
    at = data.index(kind)
    data[at + 4 + int.from_bytes(data[at - 4 : at], "big")] ^= 1
    with pytest.raises(InvalidImageError):
        thumbnail(bytes(data), 32)


def test_one_profile_is_used() -> None:
    def profile(name: str) -> bytes:
        return files.chunk(b"iCCP", b"p\0\0" + zlib.compress(files.PROFILES[name]))

    first = thumbnail(files.png(files.RGB, 8, 2, profile("p3-1.0")), 32).pixels
    both = files.png(files.RGB, 8, 2, profile("p3-1.0"), *[profile("709-1.8")] * 1000)
    assert np.array_equal(thumbnail(both, 32).pixels, first)


KEYS = [
    (0, 16, 0x1234),
    (0, 4, 7),
    (0, 4, 2),
    (0, 2, 2),
    (0, 8, 7),
    (2, 8, (10, 20, 30)),
    (2, 16, (0x0A0B, 0x1415, 0x1E1F)),
    (2, 16, (0x00C8, 0x1415, 0x1E1F)),
]


@pytest.mark.parametrize(
    ("kind", "depth", "key", "loaded"),
    [(*case, loaded) for case in KEYS for loaded in (None, False, True)],
)
def test_transparent_color(
    kind: int, depth: int, key: int | tuple[int, ...], loaded: bool | None
) -> None:
    shape = (64, 96, 3) if kind == 2 else (64, 96)
    samples = np.full(shape, 2**depth - 1, np.uint16)
    samples[:, :48] = key
    chunk = files.chunk(b"tRNS", np.atleast_1d(key).astype(">u2").tobytes())
    data = files.png(samples, depth, kind, chunk)
    if loaded is None:
        pixels = thumbnail(data, 32, alpha=True).pixels
    else:
        with Image.open(io.BytesIO(data)) as image:
            before = image.info["transparency"]
            if loaded:
                image.load()
            pixels = reduce_to_grid(image, 32, alpha=True).pixels
            assert image.info["transparency"] == before
    assert not pixels[:, :13, 3].any()
    assert (pixels[:, 19:, 3] == 255).all()


def test_transparent_color_of_16_bits_is_compared_in_all_of_them() -> None:
    key = (0x0A0B, 0x1415, 0x1E1F)
    chunk = files.chunk(b"tRNS", np.array(key, ">u2").tobytes())
    for channel in range(3):
        for change in (1, 0x100):
            samples = np.full((64, 96, 3), key, np.uint16)
            samples[:, 48:, channel] += change
            pixels = thumbnail(files.png(samples, 16, 2, chunk), 32, alpha=True).pixels
            assert not pixels[:, :13, 3].any()
            assert (pixels[:, 19:, 3] == 255).all()
            assert pixels[5, 25, :3].tolist() == [v >> 8 for v in samples[0, 60]]


def test_damaged_transparency_is_ignored() -> None:
    for content in (b"", b"\0", bytes(5), struct.pack(">HHHH", 1, 2, 3, 4)):
        data = files.png(files.RGB, 8, 2, files.chunk(b"tRNS", content))
        try:
            assert thumbnail(data, 32).pixels.shape == WHOLE.shape
        except InvalidImageError:
            assert len(content) < 6


@pytest.mark.parametrize(("kind", "depth"), [(0, 1), (0, 4), (0, 16), (2, 8), (2, 16), (6, 8)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_last_bytes_missing_is_the_rest_of_the_picture(
    kind: int, depth: int, *, interlaced: bool
) -> None:
    rng = np.random.default_rng(2)
    shape = (256, 384, {0: 1, 2: 3, 6: 4}[kind])
    samples = rng.integers(0, 2**depth, shape).astype(np.uint16)
    data = files.png(samples[..., 0] if kind == 0 else samples, depth, kind)
    if interlaced:
        if kind != 2 or depth != 8:
            return
        data = interlaced_file(samples)
    whole = thumbnail(data, 64, alpha=True)
    assert not whole.truncated
    assert not thumbnail(data[:-12], 64).truncated  # only the end chunk is missing
    pixels = data.index(b"IDAT") - 4
    for missing in (0.02, 0.2):
        cut = data[: len(data) - round(missing * (len(data) - pixels))]
        found = thumbnail(cut, 64, alpha=True)
        assert found.truncated
        assert (found.width, found.height) == (384, 256)
        rows = 0 if interlaced else int(len(whole.pixels) * (1 - missing)) - 4
        gap = found.pixels[:rows].astype(int) - whole.pixels[:rows, :, : found.pixels.shape[2]]
        assert rows == 0 or np.abs(gap).max() <= 2
        with pytest.raises(InvalidImageError, match="cut off"):
            thumbnail(cut, 64, ImageLimits(max_missing=0.01))
    with pytest.raises(InvalidImageError, match=r"cut off or damaged: [45]\d % of it cannot"):
        thumbnail(data[: (len(data) + pixels) // 2], 64)


def interlaced_file(samples: np.ndarray) -> bytes:
    rows = b""
    for left, right, top, down in INTERLACED:
        part = samples[top::down, left::right].astype(np.uint8)
        rows += b"".join(b"\0" + row.tobytes() for row in part)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 8, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return files.SIGNATURE + b"".join(files.chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_size_is_checked_before_missing_pixels_are_counted(side: int) -> None:
    header = files.chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    pixels = files.chunk(b"IDAT", zlib.compress(bytes(50_000_000)))
    begun = time.process_time()
    with pytest.raises(TooManyPixelsError):
        thumbnail(files.SIGNATURE + header + pixels[:-8], 32)
    assert time.process_time() - begun < 0.5
