"""EXIF orientation: all eight, in every format that can hold it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from thumbstream.images import reduce_to_grid, thumbnail

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
def test_every_orientation_comes_out_upright(
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
def test_an_orientation_that_does_not_exist_is_upright(
    quarters: Image.Image, save: Callable[..., bytes], orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    plain = thumbnail(save(quarters, "PNG"), 32)
    assert np.array_equal(thumbnail(save(quarters, "PNG", exif=exif), 32).pixels, plain.pixels)


@pytest.mark.parametrize("exif", [b"", b"garbage", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_broken_metadata_does_not_cost_the_picture(
    quarters: Image.Image, save: Callable[..., bytes], exif: bytes, format_: str
) -> None:
    assert thumbnail(save(quarters, format_, exif=exif), 32).pixels.shape == (24, 32, 3)
