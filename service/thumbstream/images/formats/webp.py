"""Opens WebP files; restores the alpha that Pillow drops around a smaller first frame."""

from __future__ import annotations

import io

from PIL import Image, WebPImagePlugin

from thumbstream.images.exif import read_orientation
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

_ANIMATION = 2
"""Flag in the extended header (``VP8X``) of an animated file."""


def open_webp(data: bytes, limits: ImageLimits) -> Source:
    """Open a WebP file without decoding its pixels. Raises ``IngestError`` if a check fails."""
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
    )


def with_canvas(image: WebPImagePlugin.WebPImageFile) -> Image.Image:
    """Return the decoded first frame of an animation with its alpha, in mode RGBA.

    Pillow gives such a frame mode RGB, and has its alpha in the unused fourth byte of each pixel.
    Any other picture is returned unchanged.
    """
    if not (image.is_animated and image.mode == "RGB" and image.tell() == 0):
        return image
    return Image.frombytes("RGBA", image.size, image.tobytes("raw", "RGBX"))
