"""PNG: checksums, chunks that are not needed, and the transparent color."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError
from thumbstream.images import reduce_to_grid, thumbnail

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
    (2, 8, (10, 20, 30)),
    (2, 16, (0x0A0B, 0x1415, 0x1E1F)),
    (2, 16, (0x00C8, 0x1415, 0x1E1F)),
]


@pytest.mark.parametrize(
    ("kind", "depth", "key", "loaded"),
    [
        (*case, loaded)
        for case in KEYS
        for loaded in (None, False, True)
        if not (loaded and case[1] == 4)  # once decoded, nothing says that it had 4 bits
    ],
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
