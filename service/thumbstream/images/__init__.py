"""Decodes untrusted picture files and reduces them to thumbnails of uint8 RGB or RGBA.

`thumbnail` reads a picture file, and checks its limits before it decodes pixels; it returns a
`Thumbnail` or raises an `IngestError`. `reduce_to_grid` takes a picture that Pillow has opened.
"""

from __future__ import annotations

from thumbstream.errors import (
    IngestError,
    InvalidImageError,
    TooManyBytesError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from thumbstream.images.grid import SIZES, Alpha, Thumbnail, grid_shape, reduce_to_grid, thumbnail
from thumbstream.images.limits import ImageLimits
from thumbstream.images.open import FORMATS

__all__ = [
    "FORMATS",
    "SIZES",
    "Alpha",
    "ImageLimits",
    "IngestError",
    "InvalidImageError",
    "Thumbnail",
    "TooManyBytesError",
    "TooManyPixelsError",
    "UnsupportedFormatError",
    "grid_shape",
    "reduce_to_grid",
    "thumbnail",
]
