"""Opens TIFF files: checks and rewrites their directory, and prevents libtiff from printing."""

from __future__ import annotations

import ctypes
import io
from functools import lru_cache
from pathlib import Path

import PIL
from PIL import Image, TiffImagePlugin

from thumbstream.images.formats import tiff_samples
from thumbstream.images.formats.tiff_directory import (
    ICC_PROFILE,
    ORIENTATION,
    check_directory,
    read_directory,
    rewritten,
)
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source


def open_tiff(data: bytes, limits: ImageLimits) -> Source:
    """Open a TIFF file. Raises ``IngestError`` if a check fails.

    Files whose samples Pillow cannot represent (see `tiff_samples`) are decoded at once.
    """
    _silence_libtiff()
    directory = read_directory(data)
    check_directory(directory, limits)
    profile = directory.tags.get(ICC_PROFILE)
    color = profile if isinstance(profile, bytes) else None
    orientation = directory.integer(ORIENTATION, 1)
    layout = tiff_samples.layout_of(directory)
    if layout is not None:
        return Source(tiff_samples.decode(directory, layout, limits), color, orientation)
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(rewritten(directory)))
    limits.check_size(*image.size)
    # Without this, Pillow would compare the size with its process-wide limit on pixels.
    image.im = Image.core.new(image.mode, image.size)  # type: ignore[attr-defined]
    return Source(image, color, orientation)


@lru_cache(maxsize=1)
def _silence_libtiff() -> None:
    """Stop libtiff from printing errors and warnings about the files that it decodes.

    libtiff would print them to standard error, between the lines of the log. Pillow has no option
    to disable this output, so this function finds and calls the libtiff library in Pillow's wheel.
    """
    site = Path(PIL.__file__).parent
    for folder, pattern in (
        (site.parent / "pillow.libs", "libtiff*"),
        (site / ".dylibs", "libtiff*"),
    ):
        for library in folder.glob(pattern):
            try:
                loaded = ctypes.CDLL(str(library))
                loaded.TIFFSetErrorHandler(None)
                loaded.TIFFSetWarningHandler(None)
            except (OSError, AttributeError):
                continue
