"""Untrusted bytes -> uint8 RGB or RGBA on the thumbnail grid. Limits come first.

`thumbnail` takes a picture file, `reduce_to_grid` a picture that is open already. Any bytes give a
`Thumbnail` or one of the errors here. The way: ``opening`` (bytes, format, size against `Limits`),
``containers`` (what hides in PNG and JPEG files), ``colour`` (to 8-bit sRGB), ``grid`` (the
reduction itself), ``resizing`` (its last step).
"""

from __future__ import annotations

from thumbstream.errors import (
    IngestError,
    TooManyBytesError,
    TooManyPixelsError,
    UndecodablePictureError,
    UnsupportedFormatError,
)
from thumbstream.images.grid import SIZES, Alpha, Thumbnail, grid_shape, reduce_to_grid, thumbnail
from thumbstream.images.limits import Limits
from thumbstream.images.open import FORMATS

__all__ = [
    "FORMATS",
    "SIZES",
    "Alpha",
    "IngestError",
    "Limits",
    "Thumbnail",
    "TooManyBytesError",
    "TooManyPixelsError",
    "UndecodablePictureError",
    "UnsupportedFormatError",
    "grid_shape",
    "reduce_to_grid",
    "thumbnail",
]
