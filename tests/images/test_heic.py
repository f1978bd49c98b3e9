"""HEIC: named where it is not supported, read where its package is installed."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError, TooManyPixelsError, UnsupportedFormatError
from thumbstream.images import ImageLimits, thumbnail

HEIC = (Path(__file__).parent / "data" / "quarters.heic").read_bytes()
"""96 x 64: (220, 30, 30), (30, 180, 60) / (40, 60, 220), (240, 220, 40)."""


def test_is_named_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for data in (
        HEIC,
        b"\0\0\0\x18ftypheix" + bytes(12),
        b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic" + bytes(4),
    ):
        with pytest.raises(UnsupportedFormatError, match=r"HEIC.*thumbstream\[heif\]"):
            thumbnail(data, 32)


def test_other_brands_are_not_heic() -> None:
    with pytest.raises(UnsupportedFormatError, match="none of JPEG"):
        thumbnail(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(9), 32)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that decodes every file to one picture, where the real one is not installed."""
    if find_spec("pillow_heif") is None:
        fake = ModuleType("pillow_heif")
        colors = np.array([(220, 30, 30), (30, 180, 60), (40, 60, 220), (240, 220, 40)], np.uint8)
        picture = np.kron(colors.reshape(2, 2, 3), np.ones((32, 48, 1), np.uint8))

        def open_file(file: io.BytesIO) -> Image.Image:
            assert b"Exif" not in file.getvalue()
            return Image.fromarray(picture)

        fake.HeifImageFile = open_file  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pillow_heif", fake)


@pytest.mark.usefixtures("package")
def test_is_read_with_the_package() -> None:
    found = thumbnail(HEIC, 32)
    assert (found.width, found.height) == (96, 64)
    assert np.abs(found.pixels[5, 8].astype(int) - (220, 30, 30)).max() <= 4
    assert np.abs(found.pixels[15, 24].astype(int) - (240, 220, 40)).max() <= 4


@pytest.mark.usefixtures("package")
def test_limits() -> None:
    with pytest.raises(TooManyPixelsError):
        thumbnail(HEIC, 32, ImageLimits(max_pixels=6000))
    long = HEIC + (300_008).to_bytes(4, "big") + b"meta" + bytes(300_000)
    with pytest.raises(InvalidImageError, match="described in more than"):
        thumbnail(long, 32)
