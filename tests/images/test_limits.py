"""Hostile sizes: refused by the header, at once and with little memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError, TooManyBytesError, TooManyPixelsError
from thumbstream.images import ImageLimits, thumbnail
from thumbstream.images.formats import png
from thumbstream.images.formats.jpeg import MAX_SCANS, read_scans

Save = Callable[..., bytes]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def stripped(data: bytes) -> bytes:
    return png.strip_metadata(data, list(png.read_chunks(data)))


def scans_of(data: bytes) -> int:
    return read_scans(data, 0)[1]


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def gif_header(width: int, height: int) -> bytes:
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0)
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + bytes(6)
        + frame
        + b"\x02\x02\x4c\x01\0;"
    )


def bmp_header(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def jpeg_header(save: Save, width: int, height: int) -> bytes:
    data = bytearray(save(Image.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<IBI", 20, 0x2F, bits) + bytes(15)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff_header(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


HEADERS: dict[str, Callable[[Save], bytes]] = {
    "png": lambda save: png_header(50_000, 50_000),
    "png-area": lambda save: png_header(20_000, 20_000),
    "png-line": lambda save: png_header(2_000_000_000, 1),
    "gif": lambda save: gif_header(65_535, 65_535),
    "bmp": lambda save: bmp_header(50_000, 50_000),
    "jpeg": lambda save: jpeg_header(save, 65_500, 65_500),
    "webp": lambda save: webp_header(16_384, 16_384),
    "tiff": lambda save: tiff_header(50_000, 50_000),
}


@pytest.mark.parametrize("name", HEADERS)
def test_huge_picture_is_refused_with_little_memory(name: str, save: Save) -> None:
    data = HEADERS[name](save)
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TooManyPixelsError):
            thumbnail(data, 32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


REFUSE_ALL = """
import resource, sys
from thumbstream.images import (thumbnail)
from thumbstream.errors import (TooManyPixelsError)
from PIL import Image, PngImagePlugin
names = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in names:
    with open(name, "rb") as source:
        try:
            thumbnail(source, 32)
        except TooManyPixelsError:
            continue
    raise SystemExit(name + " was not refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
def test_memory_of_decoders_stays_small_too(tmp_path: object, save: Save) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    names = []
    for name, make in HEADERS.items():
        (tmp_path / name).write_bytes(make(save))
        names.append(str(tmp_path / name))
    environment = {"PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", REFUSE_ALL, *names],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    grown = int(ran.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 32 << 20


def test_limits_are_inclusive(save: Save) -> None:
    data = save(Image.new("RGB", (40, 30)), "PNG")
    thumbnail(data, 32, ImageLimits(max_pixels=1200, max_side=40, max_bytes=len(data)))
    with pytest.raises(TooManyPixelsError, match="1199 pixels"):
        thumbnail(data, 32, ImageLimits(max_pixels=1199))
    with pytest.raises(TooManyPixelsError, match="39 pixels"):
        thumbnail(data, 32, ImageLimits(max_side=39))
    for source in (data, io.BytesIO(data)):
        with pytest.raises(TooManyBytesError):
            thumbnail(source, 32, ImageLimits(max_bytes=len(data) - 1))


def test_stream_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        requested = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= 1001
            self.requested += size
            return bytes(size)

    source = Endless()
    with pytest.raises(TooManyBytesError):
        thumbnail(source, 32, ImageLimits(max_bytes=1000))  # type: ignore[arg-type]
    assert source.requested == 1001


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "GIF", "BMP", "JPEG"])
def test_limit_of_pillow_neither_counts_nor_changes(
    quarters: Image.Image, save: Save, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    data = save(quarters, format_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for own in (100, None, 10**9):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", own)
            assert thumbnail(data, 32).pixels.shape == (24, 32, 3)
            with pytest.raises(TooManyPixelsError):
                thumbnail(data, 32, ImageLimits(max_pixels=6911))
            after = Image.MAX_IMAGE_PIXELS
            assert after == own


@pytest.mark.parametrize("size", [0, 7, 9, 33, 264, -8, 1000])
def test_rejects_invalid_size(quarters: Image.Image, save: Save, size: int) -> None:
    from thumbstream.images import grid_shape, reduce_to_grid

    for call in (
        lambda: thumbnail(b"", size),
        lambda: reduce_to_grid(quarters, size),
        lambda: grid_shape(3, 2, size),
    ):
        with pytest.raises(ValueError, match="multiple of 8"):
            call()


def test_compressed_text_never_reaches_pillow(quarters: Image.Image, save: Save) -> None:
    plain = save(quarters, "PNG")
    bomb = zlib.compress(bytes(100 << 20))
    texts = [
        chunk(b"zTXt", b"a\0\0" + bomb),
        chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
        chunk(b"tEXt", b"a\0" + bytes(10_000)),
    ]
    end = plain.rindex(b"IEND") - 4
    data = plain[:33] + b"".join(texts) + plain[33:end] + b"".join(texts) + plain[end:]
    assert stripped(data) == plain
    tracemalloc.start()
    result = thumbnail(data, 32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    assert np.array_equal(result.pixels, thumbnail(plain, 32).pixels)


def test_plain_png_is_not_copied(quarters: Image.Image, save: Save) -> None:
    plain = save(quarters, "PNG")
    assert stripped(plain) is plain


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_cut_chunks_are_left_to_the_decoder(quarters: Image.Image, save: Save, cut: int) -> None:
    data = save(quarters, "PNG")[: 8 + cut]
    assert stripped(data) == data


def test_scans_are_counted(quarters: Image.Image, save: Save) -> None:
    assert scans_of(save(quarters, "JPEG")) == 1
    progressive = save(quarters, "JPEG", progressive=True)
    assert scans_of(progressive) == 10
    # Markers inside metadata, or after the picture, do not count.
    hidden = progressive[:2] + b"\xff\xe1\0\x0e" + b"\xff\xda" * 6 + progressive[2:]
    assert scans_of(hidden + progressive) == 10
    assert scans_of(b"") == scans_of(b"\xff\xd8\xff") == 0


def test_too_many_scans_are_refused(quarters: Image.Image, save: Save) -> None:
    data = save(quarters, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    repeated = data[:last] + data[last:-2] * (MAX_SCANS + 1) + b"\xff\xd9"
    with pytest.raises(InvalidImageError, match="scans"):
        thumbnail(repeated, 32)
