"""Writes decoded pixels as a PNG file, a WebP file, or a ``data:`` URL."""

from __future__ import annotations

import base64
import io
import zlib
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WEBP_QUALITY = 90
"""Quality of lossy WebP. Its loss is far smaller than the difference of preview and original."""
WEBP_METHOD = 4
"""Effort of WebP compression: Pillow's default, set here so that an upgrade cannot change it."""

LARGE_PIXELS = 1 << 20
"""Pictures of more pixels than this are written with faster compression: at most a second of
processor time for the largest preview, noise with alpha."""
LARGE_WEBP = {"method": 0, "alpha_quality": 70}
LARGE_PNG = {"compress_type": zlib.Z_RLE}
"""A quarter of the time of zlib's default, and files of previews that are 1 to 4 % longer."""


class PictureFormat(StrEnum):
    """Output formats of a preview; ``DATA`` is a ``data:`` URL."""

    PNG = "png"
    WEBP = "webp"
    DATA = "data"


MEDIA_TYPES = {
    PictureFormat.PNG: "image/png",
    PictureFormat.WEBP: "image/webp",
    PictureFormat.DATA: "text/plain; charset=us-ascii",
}


def write_picture(pixels: NDArray[np.uint8], form: PictureFormat, scale: int = 1) -> bytes:
    """Encode ``pixels``, uint8 (H, W, 3) or (H, W, 4), in the format ``form``.

    ``scale`` multiplies both sides of the picture. The picture is enlarged with Lanczos-3, which
    gives a smooth preview; alpha is premultiplied meanwhile. Every format keeps alpha. The
    ``data:`` URL contains a PNG file, since every mail program can show PNG.
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
    large = image.width * image.height > LARGE_PIXELS
    if form is PictureFormat.WEBP:
        options = LARGE_WEBP if large else {"method": WEBP_METHOD}
        image.save(out, "WEBP", quality=WEBP_QUALITY, **options)
    else:
        image.save(out, "PNG", **(LARGE_PNG if large else {}))
    return out.getvalue()
