"""Files that are a picture and something else at once, or pretend to be: only pixels pass.

What is kept of an upload is made from its pixels, so nothing of the rest can ever be served.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError, UnsupportedFormatError
from thumbstream.images import FORMATS, thumbnail

SCRIPT = b"<script>alert(1)</script>"


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("index.html", SCRIPT)
    return out.getvalue()


def written(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    y, x = np.mgrid[0:24, 0:32]
    pixels = np.stack([8 * x, 10 * y, 4 * (x + y)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


BEHIND = {
    "html": b"<!doctype html>" + SCRIPT,
    "zip": archive(),
    "js": b"*/=1;alert(1)//",
    "pdf": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript>>>>endobj\n%%EOF",
    "php": b"<?php system($_GET['c']); ?>",
    "elf": b"\x7fELF" + bytes(60),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", BEHIND)
def test_data_after_a_picture_is_ignored(form: str, kind: str) -> None:
    picture = written(form)
    both = picture + BEHIND[kind]
    if kind == "zip":
        assert zipfile.is_zipfile(io.BytesIO(both))
    np.testing.assert_array_equal(thumbnail(both, 16).pixels, thumbnail(picture, 16).pixels)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"comment": SCRIPT}),
        ("GIF", {"comment": SCRIPT}),
        ("JPEG", {"exif": b"Exif\0\0" + SCRIPT}),
        ("WEBP", {"exif": b"Exif\0\0" + SCRIPT, "xmp": SCRIPT}),
        ("AVIF", {"xmp": SCRIPT}),
        ("TIFF", {"description": SCRIPT.decode()}),
    ],
)
def test_data_inside_a_picture_is_ignored(form: str, options: dict[str, object]) -> None:
    both = written(form, **options)
    assert SCRIPT in both
    np.testing.assert_array_equal(thumbnail(both, 16).pixels, thumbnail(written(form), 16).pixels)


def test_rejects_a_script_that_begins_like_a_picture() -> None:
    """``GIF89a=1`` and ``BM=1`` are assignments; as pictures they end nowhere."""
    for text in (b"GIF89a=1;/*" + bytes(40) + b"*/alert(1)", b"BM=1;alert(1)//" + bytes(60)):
        with pytest.raises(InvalidImageError):
            thumbnail(text, 16)


@pytest.mark.parametrize("front", [*BEHIND.values(), b"\n", b"\xef\xbb\xbf", b"<svg>", b"%!PS\n"])
@pytest.mark.parametrize("form", FORMATS)
def test_rejects_a_picture_after_other_data(front: bytes, form: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        thumbnail(front + written(form), 16)


@pytest.mark.parametrize(
    "form", ["ICO", "PPM", "PCX", "TGA", "EPS", "PDF", "JPEG2000", "DDS", "SGI"]
)
def test_rejects_formats_that_only_pillow_reads(form: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        thumbnail(written(form), 16)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"qt  ", b"isom"])
def test_rejects_relatives_of_avif(brand: bytes) -> None:
    picture = bytearray(written("AVIF"))
    size = int.from_bytes(picture[:4], "big")
    picture[8:size] = brand * ((size - 8) // 4)
    with pytest.raises((UnsupportedFormatError, InvalidImageError)):
        thumbnail(bytes(picture), 16)


def test_names_and_types_do_not_count() -> None:
    """The bytes decide: there is no file name, and a Content-Type is not believed."""
    first = thumbnail(written("PNG"), 16).pixels
    second = thumbnail(io.BytesIO(written("PNG")), 16).pixels
    np.testing.assert_array_equal(first, second)
