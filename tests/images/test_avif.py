"""AVIF: clean apertures, rotation and mirroring, and metadata that does not count."""

from __future__ import annotations

import struct
from contextlib import suppress

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError
from thumbstream.images import thumbnail

PLAIN = files.avif()
WHOLE = thumbnail(PLAIN, 32).pixels


def with_clap(*extent: int) -> bytes:
    return files.with_property(PLAIN, b"clap", files.clap(*extent))


@pytest.mark.parametrize(("width", "height"), [(48, 32), (96, 30), (45, 31), (96, 64), (1, 1)])
def test_clean_aperture_is_shown(width: int, height: int) -> None:
    found = thumbnail(with_clap(width, height, 0, 0), 96)
    assert (found.width, found.height) == (width, height)
    whole = thumbnail(PLAIN, 96).pixels.astype(int)
    if width >= 45:
        part = found.pixels[: min(height, 24), : min(width, 40)]
        assert np.abs(part - whole[: len(part), : part.shape[1]]).max() <= 12


@pytest.mark.parametrize(
    "extent", [(48, 32, 24, 16), (48, 32, 48, 32), (100, 64, 0, 0), (96, 65, 0, 0), (0, 0, 0, 0)]
)
def test_other_apertures_are_ignored(extent: tuple[int, ...]) -> None:
    found = thumbnail(with_clap(*extent), 32)
    assert (found.width, found.height) == (96, 64)
    assert np.array_equal(found.pixels, WHOLE)


def test_fractions_and_zero_denominators_are_ignored() -> None:
    third = struct.pack(">IIIIiIiI", 100, 3, 32, 1, 0, 1, 0, 1)
    for fields in (bytes(32), files.clap(48, 32, 0, 0)[:4] + bytes(28), b"\xff" * 32, third):
        found = thumbnail(files.with_property(PLAIN, b"clap", fields), 32)
        assert np.array_equal(found.pixels, WHOLE)


def test_aperture_is_cut_before_the_picture_is_turned() -> None:
    found = thumbnail(files.with_property(with_clap(48, 30, 0, 0), b"irot", b"\1"), 96)
    assert (found.width, found.height) == (30, 48)


@pytest.mark.parametrize("kind", [b"irot", b"imir"])
def test_rotation_and_mirroring_are_followed(kind: bytes) -> None:
    found = thumbnail(files.with_property(PLAIN, kind, b"\2" if kind == b"irot" else b"\1"), 32)
    turned = WHOLE[::-1, ::-1] if kind == b"irot" else WHOLE[:, ::-1]
    assert np.abs(found.pixels.astype(int) - turned).mean() < 3


def test_exif_and_xmp_do_not_turn_it() -> None:
    exif = Image.Exif()
    exif[0x0113] = 6
    stored = files.avif(exif=exif, xmp=files.xmp(6))
    at = stored.index(b"Exif\0\0") if b"Exif\0\0" in stored else stored.index(b"MM\0*")
    turned = stored[:at] + stored[at:].replace(b"\x01\x13\0\3", b"\x01\x12\0\3", 1)
    turned = turned[:at] + turned[at:].replace(b"\x13\x01\3\0", b"\x12\x01\3\0", 1)
    assert turned != stored
    assert np.array_equal(thumbnail(turned, 32).pixels, WHOLE)


def test_number_of_boxes_is_limited() -> None:
    boxes = (struct.pack(">I", 8) + b"free") * 20_000
    with pytest.raises(InvalidImageError, match="more than 10000 boxes"):
        thumbnail(PLAIN + boxes, 32)
    assert np.array_equal(thumbnail(PLAIN + boxes[:70_000], 32).pixels, WHOLE)


def test_damaged_properties_do_not_cost_the_picture() -> None:
    start = PLAIN.index(b"ipma")
    for at in range(start + 4, start + 20):
        for value in (0, 0xFF):
            data = PLAIN[:at] + bytes([value]) + PLAIN[at + 1 :]
            with suppress(InvalidImageError):
                thumbnail(data, 8)
