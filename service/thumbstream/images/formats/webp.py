"""Opens WebP files; restores the alpha that Pillow drops around a smaller first frame."""

from __future__ import annotations

import io
import struct

from PIL import Image, WebPImagePlugin

from thumbstream.images.exif import read_orientation
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

_PIXELS = frozenset([b"VP8 ", b"VP8L"])
_MAX_CHUNKS = 16
"""Most chunks before the pixels that are searched; ordinary files have at most 4."""

_ANIMATION = 2
"""Flag in the extended header (``VP8X``) of an animated file."""


def open_webp(data: bytes, limits: ImageLimits) -> Source:
    """Open a WebP file without decoding its pixels. Raises ``IngestError`` if a check fails."""
    data, truncated = _filled_up(data, limits)
    image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    if data[12:16] == b"VP8X" and data[20] & _ANIMATION and image.rawmode == "RGBX":
        # The decoder returns alpha, but Pillow drops it if the file declares no transparency. A
        # file with opaque frames smaller than the picture need not declare transparency.
        image.rawmode = image._mode = "RGBA"
    return Source(
        image,
        color=image.info.get("icc_profile"),
        orientation=read_orientation(image.info.get("exif")),
        truncated=truncated,
    )


def _filled_up(data: bytes, limits: ImageLimits) -> tuple[bytes, bool]:
    """Return a still picture with zeros for missing bytes of its pixels, and whether it had any.

    The zeros decode to smooth blocks, or to any pixels in a lossless file.
    """
    position = 12
    for _ in range(_MAX_CHUNKS):
        kind = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        missing = position + 8 + length - len(data)
        if len(kind) < 4 or (missing > 0 and kind not in _PIXELS):
            break
        if missing > 0:
            limits.check_missing("WebP", missing / length)
            filled = data + bytes(missing + length % 2)
            return b"RIFF" + struct.pack("<I", len(filled) - 8) + filled[8:], True
        position += 8 + length + length % 2
    return data, False


def with_canvas(image: WebPImagePlugin.WebPImageFile) -> Image.Image:
    """Return the decoded first frame of an animation with its alpha, in mode RGBA.

    Pillow gives such a frame mode RGB, and has its alpha in the unused fourth byte of each pixel.
    Any other picture is returned unchanged.
    """
    if not (image.is_animated and image.mode == "RGB" and image.tell() == 0):
        return image
    return Image.frombytes("RGBA", image.size, image.tobytes("raw", "RGBX"))
