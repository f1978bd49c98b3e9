"""Untrusted bytes -> an opened picture whose header was checked against the limits.

1. Bytes: never more than ``max_bytes`` are read.
2. Format: the first bytes must match a format on the allow-list; no other decoder is tried.
3. Structure: what could be costly is counted, and metadata that is not needed is removed.
4. Size: width, height and pixels are compared with the limits.

The decoders are called directly because ``PIL.Image.open`` compares sizes with a limit of its own
for the whole process: a warning above it, an error above twice as much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from PIL import Image

from thumbstream.errors import UnsupportedFormatError
from thumbstream.images.formats import isobmff
from thumbstream.images.formats.avif import open_avif
from thumbstream.images.formats.bmp import open_bmp
from thumbstream.images.formats.gif import open_gif
from thumbstream.images.formats.heic import open_heic
from thumbstream.images.formats.jpeg import open_jpeg
from thumbstream.images.formats.png import open_png
from thumbstream.images.formats.tiff import open_tiff
from thumbstream.images.formats.webp import open_webp
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

_OPEN: dict[str, Callable[[bytes, ImageLimits], Source]] = {
    "JPEG": open_jpeg,
    "PNG": open_png,
    "WEBP": open_webp,
    "GIF": open_gif,
    "AVIF": open_avif,
    "BMP": open_bmp,
    "TIFF": open_tiff,
}

FORMATS = tuple(_OPEN)
"""The allow-list, by Pillow's names. HEIC is read as well where its package is installed."""

PREFIX_BYTES = 16
"""Bytes by which Pillow's decoders recognize their format."""


def read_source(source: bytes | BinaryIO, limits: ImageLimits) -> bytes:
    """All bytes of ``source``; ``TooManyBytesError`` as soon as there are more than allowed."""
    data = source if isinstance(source, bytes) else _read(source, limits.max_bytes + 1)
    limits.check_bytes(len(data))
    return data


def _read(file: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes: a read of a raw pipe or socket may return fewer than requested."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def open_picture(data: bytes, limits: ImageLimits) -> Source:
    """The picture in ``data``, opened and not decoded, with its size within ``limits``.

    Raises ``IngestError`` for what is refused, and whatever Pillow raises for what is broken.
    """
    return _opener(data)(data, limits)


def _opener(data: bytes) -> Callable[[bytes, ImageLimits], Source]:
    if isobmff.is_heic(data):
        return open_heic
    for name, opener in _OPEN.items():
        _, accept = Image.OPEN[name]
        # A decoder that Pillow was built without returns a text instead of a truth value.
        if accept is not None and accept(data[:PREFIX_BYTES]) is True:
            return opener
    if not data:
        raise UnsupportedFormatError("the picture is empty: 0 bytes were read")
    raise UnsupportedFormatError(f"the picture is none of {', '.join(FORMATS)}")
