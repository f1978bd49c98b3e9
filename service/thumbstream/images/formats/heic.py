"""Opens HEIC files if the package ``pillow-heif`` is installed (extra ``thumbstream[heif]``)."""

from __future__ import annotations

import io
import struct
from importlib import import_module

from thumbstream.errors import UnsupportedFormatError
from thumbstream.images.formats import isobmff
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source


def open_heic(data: bytes, limits: ImageLimits) -> Source:
    """Open a HEIC file without decoding its pixels.

    Raises ``UnsupportedFormatError`` if ``pillow-heif`` is not installed, and another
    ``IngestError`` if a check fails.
    """
    try:
        pillow_heif = import_module("pillow_heif")
    except ImportError:
        raise UnsupportedFormatError(
            "the picture is HEIC, which is read only where thumbstream[heif] is installed"
        ) from None
    isobmff.check_description(data, "HEIC")
    image = pillow_heif.HeifImageFile(io.BytesIO(isobmff.hide_exif(data)))
    limits.check_size(*image.size)
    try:
        properties = isobmff.primary_properties(data)
    except (struct.error, IndexError):  # the decoder may accept the file in spite of this damage
        properties = []
    # Rotation, mirroring and the clean aperture are applied by the decoder.
    return Source(image, color=image.info.get("icc_profile") or isobmff.color(properties))
