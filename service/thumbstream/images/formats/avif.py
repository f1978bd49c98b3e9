"""AVIF: its description is bounded; code points and the clean aperture are read."""

from __future__ import annotations

import io
import struct

from PIL import AvifImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.exif import read_orientation
from thumbstream.images.formats import isobmff
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source


def open_avif(data: bytes, limits: ImageLimits) -> Source:
    """Open an AVIF file; the pixels are not decoded. Raises ``IngestError``."""
    if isobmff.description_bytes(data) > isobmff.MAX_DESCRIPTION:
        raise InvalidImageError(
            f"the AVIF file is described in more than {isobmff.MAX_DESCRIPTION} bytes"
        )
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(isobmff.hide_exif(data)))
    limits.check_size(*image.size)
    try:
        properties = isobmff.primary_properties(data)
    except (struct.error, IndexError):  # damage that the decoder does not mind
        properties = []
    return Source(
        image,
        color=image.info.get("icc_profile") or isobmff.color(properties),
        # Pillow makes EXIF of the rotation and the mirroring that the file describes.
        orientation=read_orientation(image.info.get("exif")),
        crop=isobmff.clean_aperture(properties, *image.size),
    )
