"""Untrusted bytes -> a Pillow picture whose header passed the limits and whose pixels are not read.

1. Bytes: never more than ``max_bytes`` are read.
2. Format: the first bytes must match a decoder on the allow-list; no other decoder is tried.
3. Header: the decoder of that format reads the size, and nothing more.
4. Size: width, height and pixels are held against the limits.

The decoders are called directly because ``PIL.Image.open`` judges sizes by its own process-wide
limit: a warning above it, an error above twice as much. Three decoders do so on their own account
as well, so that limit is raised, never lowered or removed, to what the caller admits.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from thumbstream.errors import InvalidImageError, UnsupportedFormatError
from thumbstream.images.guards import (
    MAX_AVIF_BOXES,
    MAX_JPEG_SCANS,
    avif_boxes,
    check_decoding,
    check_gif_head,
    check_jpeg_head,
    jpeg_scans,
    mend_colour_key,
    without_png_bombs,
)
from thumbstream.images.limits import ImageLimits

_PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    GifImagePlugin,
    AvifImagePlugin,
    BmpImagePlugin,
    TiffImagePlugin,
)
"""Imported for what they register with Pillow: one decoder per format below."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
"""The allow-list, by Pillow's names."""

PREFIX_BYTES = 16
"""Bytes by which Pillow's decoders recognise their format."""


def read_source(source: bytes | BinaryIO, limits: ImageLimits) -> bytes:
    """All bytes of ``source``; ``TooManyBytesError`` as soon as there are more than allowed."""
    data = source if isinstance(source, bytes) else _read(source, limits.max_bytes + 1)
    limits.check_bytes(len(data))
    return data


def _read(file: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes: raw pipes and sockets give fewer than they are asked for."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def format_of(data: bytes) -> str:
    """Name of the format that ``data`` begins like; ``UnsupportedFormatError`` if none."""
    for name in FORMATS:
        _, accept = Image.OPEN[name]
        # A decoder that Pillow was built without answers with a text instead of a truth value.
        if accept is not None and accept(data[:PREFIX_BYTES]) is True:
            return name
    raise UnsupportedFormatError(f"the picture is none of {', '.join(FORMATS)}")


def open_picture(data: bytes, limits: ImageLimits) -> ImageFile.ImageFile:
    """The picture in ``data``, opened and not decoded, with its size within ``limits``.

    Raises ``IngestError`` for what is refused, and whatever Pillow raises for what is broken.
    """
    name = format_of(data)
    if Image.MAX_IMAGE_PIXELS is not None and limits.max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
    if name == "PNG":
        data = without_png_bombs(data)
    if name == "AVIF" and avif_boxes(data) > MAX_AVIF_BOXES:
        raise InvalidImageError(f"the AVIF file is described in more than {MAX_AVIF_BOXES} bytes")
    if name == "JPEG":
        check_jpeg_head(data)
    if name == "GIF":
        check_gif_head(data)
    factory, _ = Image.OPEN[name]
    image = factory(io.BytesIO(data), "")
    limits.check_size(*image.size)
    check_decoding(image, len(data), limits)
    if name == "PNG":
        mend_colour_key(image)
    if name == "JPEG" and image.info.get("progressive") and jpeg_scans(data) > MAX_JPEG_SCANS:
        raise InvalidImageError(f"the JPEG file has more than {MAX_JPEG_SCANS} scans")
    return image
