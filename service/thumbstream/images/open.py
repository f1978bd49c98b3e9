"""Opens an untrusted picture file after checking it against the limits.

The checks, in order:

1. Length: at most ``ImageLimits.max_bytes`` are accepted.
2. Format: the first bytes must match a format on the allow-list; only its decoder is used.
3. Structure: parts that are slow to decode are counted, and metadata that is not needed is removed.
4. Size: width, height and number of pixels must be within the limits.

The decoders are not called through ``PIL.Image.open``, because that function applies a second,
process-wide limit on pixels: it warns above the limit and raises an error above twice the limit.
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
"""Pillow's names of the allowed formats. HEIC is also read if ``pillow-heif`` is installed."""

PREFIX_BYTES = 16
"""Length of the prefix of a file by which Pillow's decoders recognize their format."""


def read_source(source: bytes | BinaryIO, limits: ImageLimits) -> bytes:
    """Return the content of ``source``, which is the content itself or a binary file.

    Raises ``TooManyBytesError`` if the content is longer than ``limits.max_bytes``; of a longer
    file, only one byte beyond the limit is read.
    """
    data = source if isinstance(source, bytes) else _read(source, limits.max_bytes + 1)
    limits.check_bytes(len(data))
    return data


def _read(file: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes, or fewer if the file ends before.

    Reads repeatedly, because one read of a pipe or socket may return fewer bytes than requested.
    """
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def open_picture(data: bytes, limits: ImageLimits) -> Source:
    """Open the picture file in ``data`` and check it against ``limits``.

    The pixels are decoded at once only if Pillow does not decode them correctly. Raises
    ``IngestError`` if a check fails; a damaged file may raise any exception of Pillow's decoders.
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
