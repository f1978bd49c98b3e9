"""EXIF orientation: all eight, in every format that can hold it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import picture_files as files
import pytest
from PIL import ExifTags, Image

from thumbstream.images import reduce_to_grid, thumbnail
from thumbstream.images.exif import MAX_ENTRIES, read_orientation

STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Orientation -> how an upright picture has to be stored under it."""


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_turned_upright(
    photo_like: Callable[..., np.ndarray],
    save: Callable[..., bytes],
    orientation: int,
    format_: str,
) -> None:
    upright = Image.fromarray(photo_like(320, 200))
    turn = STORED_AS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    result = thumbnail(save(stored, format_, exif=exif, **options), 32)
    assert (result.width, result.height) == (320, 200)
    assert result.pixels.shape == (20, 32, 3)
    expected = reduce_to_grid(upright, 32).pixels
    assert np.abs(result.pixels.astype(int) - expected).mean() < 2.5


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_invalid_orientation_is_ignored(
    quarters: Image.Image, save: Callable[..., bytes], orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    plain = thumbnail(save(quarters, "PNG"), 32)
    assert np.array_equal(thumbnail(save(quarters, "PNG", exif=exif), 32).pixels, plain.pixels)


@pytest.mark.parametrize("exif", [b"", b"garbage", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_damaged_metadata_is_ignored(
    quarters: Image.Image, save: Callable[..., bytes], exif: bytes, format_: str
) -> None:
    assert thumbnail(save(quarters, format_, exif=exif), 32).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF"])
def test_orientation_in_xmp_is_ignored(format_: str, orientation: int) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    data = files.saved(files.RGB, format_, xmp=files.xmp(orientation), **options)
    plain = thumbnail(files.saved(files.RGB, format_, **options), 32)
    assert np.array_equal(thumbnail(data, 32).pixels, plain.pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(reduce_to_grid(image, 32).pixels, plain.pixels)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("header", [b"", b"Exif\0\0"])
def test_reads_the_entry_of_the_first_directory(order: str, header: bytes) -> None:
    for orientation in range(1, 9):
        assert read_orientation(header + files.exif(orientation, order)) == orientation
    assert read_orientation(header + files.exif(6, order, kind=4)) == 1
    assert read_orientation(header + files.exif(6, order, count=2)) == 1
    for end in range(22):
        assert read_orientation(header + files.exif(6, order)[:end]) == 1


def test_reads_a_bounded_number_of_entries() -> None:
    for before in (20, MAX_ENTRIES - 1, MAX_ENTRIES):
        entries = struct.pack("<HHII", 1, 3, 1, 1) * before + files.exif(6)[10:22]
        exif = b"II*\0" + struct.pack("<IH", 8, before + 1) + entries + bytes(4)
        assert read_orientation(exif) == (6 if before < MAX_ENTRIES else 1)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_millions_of_fractions_are_not_parsed(format_: str) -> None:
    exif = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, 5, 1_000_000, 26) + bytes(4)
    exif += struct.pack("<II", 1, 1) * 1_000_000
    if format_ == "PNG":
        data = files.png(files.RGB, 8, 2, files.chunk(b"eXIf", exif))
    else:
        data = files.saved(files.RGB, "WEBP", exif=exif)
    assert thumbnail(data, 32).width == 96
