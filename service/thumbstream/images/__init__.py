"""Untrusted bytes -> uint8 RGB or RGBA on the thumbnail grid. Limits come first.

`thumbnail` takes a picture file, `reduce_to_grid` an open picture. Any bytes give a `Thumbnail` or
one of the errors here.
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
