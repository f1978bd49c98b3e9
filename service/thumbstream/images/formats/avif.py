"""Opens AVIF files: limits the length of their metadata, and reads color space and crop."""

from __future__ import annotations

import io
import struct

from PIL import AvifImagePlugin

from thumbstream.images.exif import read_orientation
from thumbstream.images.formats import isobmff
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source


def open_avif(data: bytes, limits: ImageLimits) -> Source:
    """Open an AVIF file without decoding its pixels. Raises ``IngestError`` if a check fails."""
    isobmff.check_description(data, "AVIF")
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(isobmff.hide_exif(data)))
    limits.check_size(*image.size)
    try:
        properties, stream = isobmff.primary_properties(data), isobmff.primary_data(data)
    except (struct.error, IndexError):  # the decoder may accept the file in spite of this damage
        properties, stream = [], b""
    return Source(
        image,
        color=image.info.get("icc_profile") or isobmff.color(properties, stream),
        # Pillow converts the file's rotation and mirroring boxes to an EXIF orientation.
        orientation=read_orientation(image.info.get("exif")),
        crop=isobmff.clean_aperture(properties, *image.size),
    )
