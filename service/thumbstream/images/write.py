"""Decoded pixels to a picture that everything can show: PNG, WebP, or a ``data:`` URL."""

from __future__ import annotations

import base64
import io
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WEBP_QUALITY = 90
"""Lossy, because an enlarged preview is smooth; what the preview lacks is far above this loss."""
WEBP_METHOD = 4
"""Pillow's default trade of time for size, named so that an upgrade does not change it."""


class PictureFormat(StrEnum):
    """How a preview can be written."""

    PNG = "png"
    WEBP = "webp"
    DATA = "data"


MEDIA_TYPES = {
    PictureFormat.PNG: "image/png",
    PictureFormat.WEBP: "image/webp",
    PictureFormat.DATA: "text/plain; charset=us-ascii",
}


def write_picture(pixels: NDArray[np.uint8], form: PictureFormat, scale: int = 1) -> bytes:
    """``pixels`` (H, W, 3) or (H, W, 4) uint8 as a file of ``scale`` times its sides.

    Enlarged with Lanczos-3: smooth, as a preview that stands in for a large picture should be, and
    premultiplied where there is alpha. Every format keeps alpha. The ``data:`` URL holds a PNG,
    which every mail program shows.
    """
    image = Image.fromarray(pixels)
    if scale != 1:
        size = image.width * scale, image.height * scale
        image = image.resize(size, Image.Resampling.LANCZOS)
    if form is PictureFormat.DATA:
        return b"data:image/png;base64," + base64.b64encode(_file(image, PictureFormat.PNG))
    return _file(image, form)


def _file(image: Image.Image, form: PictureFormat) -> bytes:
    out = io.BytesIO()
    if form is PictureFormat.WEBP:
        image.save(out, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
    else:
        image.save(out, "PNG")
    return out.getvalue()
