"""GIF: blocks are counted; a first frame smaller than the picture is transparent around it."""

from __future__ import annotations

import io

from PIL import GifImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Box, Canvas, Source

MAX_BLOCKS = 20_000
"""Before the first frame, sub-blocks and stray bytes counted as well: 5 MB of comments. Pillow
reads them in Python, one at a time."""

_HEADER = 13
_FLAGS = 10
"""Where the header says whether, and how long, a palette follows it."""


def open_gif(data: bytes, limits: ImageLimits) -> Source:
    """Open a GIF file; the pixels are not decoded. Raises ``IngestError``."""
    check_head(data)
    image = GifImagePlugin.GifImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    return frame_of(image, image.tile[0].extents if image.tile else None)


def frame_of(image: GifImagePlugin.GifImageFile, frame: Box | None) -> Source:
    """``image`` as a `Source`; its first frame covers the box ``frame`` of the picture."""
    if frame is None or frame == (0, 0, *image.size):
        return Source(image)
    return Source(image, crop=frame, canvas=Canvas(*image.size, *frame[:2]))


def check_head(data: bytes) -> None:
    """Raises ``InvalidImageError`` if there are too many blocks before the first frame."""
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
