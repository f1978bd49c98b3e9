"""Target `ingest`: any bytes give a `Thumbnail` or an `IngestError`, within time and memory."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from thumbstream.errors import IngestError
from thumbstream.images import ImageLimits, Thumbnail, thumbnail
from thumbstream.images.formats.png import CHUNK_OVERHEAD, SIGNATURE

LIMITS = ImageLimits(max_bytes=1 << 16, max_pixels=1 << 18, max_side=1 << 12)
"""Small, so that an input costs milliseconds: what a mutation enlarges is refused all the same."""
LONGEST = 4096
"""Bytes of an input: the seeds have 30 to 900."""
SIZE = 8
WORDS = (
    *(b"\xff\xd8\xff\xe1", b"\xff\xda", b"\xff\xd9", b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"MPF\0"),
    *(b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT"),
    *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"GIF89a"),
    *(b"ftypavif", b"meta", b"iloc", b"iprp", b"ipco", b"ispe", b"grid", b"irot", b"mdat"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"BM", b"!\xf9\x04", b"!\xff\x0bNETSCAPE2.0"),
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01"),
)
"""What formats are made of, for the mutator: it would take long to find them."""


def check(data: bytes) -> bool:
    """Hold the invariant for a picture file; whether it was a picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
        try:
            found = thumbnail(data, SIZE, LIMITS, alpha=bool(zlib.crc32(data) & 1))
        except IngestError:
            return False
    assert isinstance(found, Thumbnail)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape[2] in (3, 4)
    assert max(found.pixels.shape[:2]) == SIZE
    assert 1 <= found.width * found.height <= LIMITS.max_pixels
    return True


def mended(data: bytes) -> bytes:
    """``data``, if it is a PNG file, with the right checksums: else most mutations end there."""
    if not data.startswith(SIGNATURE):
        return data
    result, position = bytearray(data), len(SIGNATURE)
    while position + CHUNK_OVERHEAD <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            break
        result[end : end + 4] = struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(result)


def seeds() -> Iterator[tuple[str, bytes]]:
    """A small file of every format and of most ways to write it; all made up."""
    for name, form, mode, options in _WAYS:
        yield name, _file(form, mode, **options)
    first, second = _picture("RGB"), _picture("RGB").transpose(Image.Transpose.ROTATE_180)
    for form in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        out = io.BytesIO()
        first.save(out, form, save_all=True, append_images=[second])
        yield f"{form.lower()}-two-frames", out.getvalue()


_WAYS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("jpeg", "JPEG", "RGB", {"quality": 40}),
    ("jpeg-progressive", "JPEG", "RGB", {"quality": 40, "progressive": True}),
    ("jpeg-grey", "JPEG", "L", {"quality": 40}),
    ("jpeg-cmyk", "JPEG", "CMYK", {"quality": 40}),
    (
        "jpeg-upright",
        "JPEG",
        "RGB",
        {
            "quality": 40,
            "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        },
    ),
    ("png-rgb", "PNG", "RGB", {}),
    ("png-rgba", "PNG", "RGBA", {}),
    ("png-palette", "PNG", "P", {"bits": 4, "transparency": 3}),
    ("png-grey-16", "PNG", "I;16", {}),
    ("png-bilevel", "PNG", "1", {}),
    ("png-key", "PNG", "RGB", {"transparency": (1, 2, 3)}),
    ("webp", "WEBP", "RGB", {"quality": 30}),
    ("webp-lossless", "WEBP", "RGBA", {"lossless": True}),
    ("webp-alpha", "WEBP", "RGBA", {"quality": 30}),
    ("gif", "GIF", "P", {}),
    ("gif-transparent", "GIF", "P", {"transparency": 0}),
    ("avif", "AVIF", "RGB", {"quality": 30, "speed": 10}),
    ("avif-alpha", "AVIF", "RGBA", {"quality": 30, "speed": 10}),
    ("bmp", "BMP", "RGB", {}),
    ("bmp-palette", "BMP", "P", {}),
    ("tiff", "TIFF", "RGB", {}),
    ("tiff-lzw", "TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("tiff-deflate", "TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    ("tiff-jpeg", "TIFF", "RGB", {"compression": "jpeg", "quality": 40}),
    ("tiff-fax", "TIFF", "1", {"compression": "group4"}),
    ("tiff-float", "TIFF", "F", {}),
    ("tiff-lab", "TIFF", "LAB", {}),
)


def _file(form: str, mode: str, **options: Any) -> bytes:
    out = io.BytesIO()
    _picture(mode).save(out, form, **options)
    return out.getvalue()


def _picture(mode: str) -> Image.Image:
    y, x = np.mgrid[0:6, 0:9]
    rgb = np.stack([28 * x, 40 * y, 12 * (x + y)], axis=-1).astype(np.uint8)
    if mode == "RGBA":
        return Image.fromarray(np.dstack([rgb, (255 - 30 * x).astype(np.uint8)]))
    if mode == "I;16":
        return Image.fromarray((6000 * x + 900 * y).astype(np.uint16))
    if mode == "F":
        return Image.fromarray((x / 9 + y / 60).astype(np.float32))
    if mode == "P":
        return Image.fromarray(rgb).quantize(8)
    if mode == "LAB":
        return Image.merge("LAB", Image.fromarray(rgb).split())
    return Image.fromarray(rgb).convert(mode)
