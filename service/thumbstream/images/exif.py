"""Reads the orientation from EXIF metadata, and no other tag.

A general EXIF reader would be slow on hostile files: one value may be an array of millions of
fractions. Like browsers, this module ignores an orientation in XMP metadata.
"""

from __future__ import annotations

import struct

from PIL import Image

MAX_ENTRIES = 512
"""Most entries of the first EXIF directory that are read; cameras write about 20."""

_ORIENTATION = 0x0112
_SHORT = 3

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the Pillow transposition that turns the stored picture upright."""

SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations of pictures whose width and height are exchanged when they are upright."""


def opened_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a Pillow image; 1 if there is none.

    Uses the current EXIF data of ``image``, which may have changed since the file was opened.
    """
    if image.info.keys() & {"xmp", "XML:com.adobe.xmp"}:  # getexif() would fall back on XMP
        return read_orientation(image.info.get("exif"))
    try:
        value = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # with broken metadata, the picture can still be shown
        return 1
    return value if value in range(1, 9) else 1


def read_orientation(exif: object) -> int:
    """Return the orientation, 1 to 8, in EXIF data with or without the ``Exif`` header.

    Returns 1 if ``exif`` is not bytes, is damaged, or has no valid orientation.
    """
    if not isinstance(exif, bytes):
        return 1
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(min(count, MAX_ENTRIES)):
        position = start + 2 + 12 * entry
        if position + 12 > len(tiff):
            break
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, position)
        if (tag, kind, length) == (_ORIENTATION, _SHORT, 1):
            value: int
            (value,) = struct.unpack_from(order + "H", tiff, position + 8)
            return value if value in range(1, 9) else 1
    return 1
