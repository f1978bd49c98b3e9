"""Opens GIF files: limits the number of blocks, and supports a first frame of a smaller size."""

from __future__ import annotations

import io

from PIL import GifImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Box, Canvas, Source

MAX_BLOCKS = 20_000
"""Most blocks, sub-blocks and stray bytes before the first frame: as many as 5 MB of comments have.
They are limited because Pillow reads each of them in Python."""

_HEADER = 13
_FLAGS = 10
"""Offset of the flags in the header: whether a palette follows the header, and its length."""


def open_gif(data: bytes, limits: ImageLimits) -> Source:
    """Open a GIF file without decoding its pixels. Raises ``IngestError`` if a check fails."""
    check_head(data)
    image = GifImagePlugin.GifImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    return frame_of(image, image.tile[0].extents if image.tile else None)


def frame_of(image: GifImagePlugin.GifImageFile, frame: Box | None) -> Source:
    """Return ``image`` as a `Source` whose first frame covers only the box ``frame``.

    The picture is transparent around the frame. ``frame`` is None for a frame of full size.
    """
    if frame is None or frame == (0, 0, *image.size):
        return Source(image)
    return Source(image, crop=frame, canvas=Canvas(*image.size, *frame[:2]))


def check_head(data: bytes) -> None:
    """Raise ``InvalidImageError`` if more than `MAX_BLOCKS` blocks precede the first frame."""
    flags = data[_FLAGS : _FLAGS + 1] or b"\0"
    position = _HEADER + (3 << (flags[0] & 7) + 1 if flags[0] & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_BLOCKS):
        if position >= len(data):
            return
        value = data[position]
        if in_extension:  # a sub-block: its length and as many bytes; 0 ends the extension
            position += 1 + value
            in_extension = value != 0
        elif value == ord("!"):
            position += 2
            in_extension = True
        elif value in b",;":  # a frame, or the end
            return
        else:
            position += 1
    raise InvalidImageError(f"the GIF file has more than {MAX_BLOCKS} blocks")
