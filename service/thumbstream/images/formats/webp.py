"""WebP: a first frame smaller than the picture is transparent around it."""

from __future__ import annotations

import io

from PIL import Image, WebPImagePlugin

from thumbstream.images.exif import read_orientation
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

_ANIMATION = 2
"""Flag of the extended header."""


def open_webp(data: bytes, limits: ImageLimits) -> Source:
    """Open a WebP file; the pixels are not decoded. Raises ``IngestError``."""
    image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    if data[12:16] == b"VP8X" and data[20] & _ANIMATION and image.rawmode == "RGBX":
        # The decoder makes alpha, which Pillow drops if the file does not announce transparency.
        # It need not do so for opaque frames that are smaller than the picture.
        image.rawmode = image._mode = "RGBA"
    return Source(
        image,
        color=image.info.get("icc_profile"),
        orientation=read_orientation(image.info.get("exif")),
    )


def with_canvas(image: WebPImagePlugin.WebPImageFile) -> Image.Image:
    """The decoded first frame of an animation with its alpha; any other picture as it is.

    Pillow calls such a frame RGB, and keeps its alpha in the unused fourth byte of each pixel.
    """
    if not (image.is_animated and image.mode == "RGB" and image.tell() == 0):
        return image
    return Image.frombytes("RGBA", image.size, image.tobytes("raw", "RGBX"))
