"""An opened picture -> the thumbnail grid: upright uint8 RGB or RGBA, long side ``size``.

The steps, in order: let the JPEG decoder drop to 1/2, 1/4 or 1/8 while it decodes; average whole
blocks of pixels down to a few times the grid; convert to sRGB; Lanczos to the grid; turn upright.
What comes before Lanczos keeps `GAP` times the grid or more. Against Lanczos alone, 60 photographs
on a grid of 32 stay within 51 dB (JPEG: 55 dB) in the mean, 43 dB at worst: no stream is as near.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from thumbstream.errors import IngestError, InvalidImageError, TooManyPixelsError
from thumbstream.images.colour import bands, in_8_bits, levels_of, to_srgb
from thumbstream.images.limits import ImageLimits
from thumbstream.images.open import open_picture, read_source
from thumbstream.images.resize import Box, resized, without_idle_alpha

GAP = 4
"""Cheap reductions stop at this many times the grid."""

LEAST = 64
"""And at this many pixels: among few blocks, one that the picture covers in part would tell."""

SIZES = range(8, 257, 8)
"""Long sides of a grid, pixels."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored picture upright."""

_SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""


class Alpha(StrEnum):
    """What becomes of transparency."""

    KEEP = "keep"
    """Coded, where the picture has some and the model can; else as `FLATTEN`."""
    FLATTEN = "flatten"
    """Composited over white."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture on the thumbnail grid, and the size that it had."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) sRGB, upright, contiguous; or (h, w, 4) with straight alpha."""
    width: int
    """Of the original, upright, pixels."""
    height: int


class _Stored(NamedTuple):
    """The picture as the file holds it, before it is turned upright."""

    width: int
    height: int
    scale: float = 1.0
    """How many times smaller than that the decoder was told to decode it."""


def grid_shape(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) of the grid for a picture: long side ``size``, short side in proportion.

    ValueError if ``size`` is not a multiple of 8 in 8..256.
    """
    _check_grid(size)
    short = max(1, round(size * min(width, height) / max(width, height)))
    return (size, short) if width >= height else (short, size)


def thumbnail(
    source: bytes | BinaryIO, size: int, limits: ImageLimits | None = None, *, alpha: bool = False
) -> Thumbnail:
    """Decode the picture file in ``source`` and reduce it to a grid with long side ``size``.

    Any bytes give a Thumbnail or an `IngestError`; of animations the first frame is taken. A
    picture smaller than the grid is enlarged to it. Transparency is kept with ``alpha``, where
    there is any, and else composited over white. ValueError if ``size`` is not a multiple of 8 in
    8..256.
    """
    _check_grid(size)
    limits = limits or ImageLimits()
    data = read_source(source, limits)
    with _undecodable(), open_picture(data, limits) as image:
        return _to_grid(image, _decode(image, size), size, alpha=alpha)


def reduce_to_grid(image: Image.Image, size: int, *, alpha: bool = False) -> Thumbnail:
    """Reduce an opened picture of any mode to a grid with long side ``size``; it is not changed.

    Its EXIF orientation and its colour profile are followed. Transparency is kept with ``alpha``,
    where there is any, and else composited over white. ``InvalidImageError`` if its pixels
    cannot be had; ValueError if ``size`` is not a multiple of 8 in 8..256.
    """
    _check_grid(size)
    with _undecodable():
        image.load()
        return _to_grid(image, _Stored(*image.size), size, alpha=alpha)


def _check_grid(size: int) -> None:
    if size not in SIZES:
        raise ValueError(f"size must be a multiple of 8 in 8..256, not {size}")


@contextmanager
def _undecodable() -> Iterator[None]:
    """Whatever a decoder raises becomes an `IngestError`."""
    try:
        yield
    except IngestError:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError("the picture has far too many pixels") from error
    except Exception as error:  # Decoders raise some fifteen kinds, MemoryError among them.
        raise InvalidImageError(f"the picture cannot be decoded: {error}") from error


def _kept(side: int) -> int:
    """Pixels that the cheap reductions leave, at the least, for ``side`` pixels of the grid."""
    return max(GAP * side, LEAST)


def _decode(image: ImageFile, size: int) -> _Stored:
    """Decode: a JPEG at the least scale that keeps `GAP` times the grid, anything else whole."""
    width, height = image.size
    drafted = None
    if isinstance(image, JpegImageFile):
        columns, rows = grid_shape(width, height, size)
        drafted = image.draft(None, (_kept(columns), _kept(rows)))
    image.load()
    if drafted is None:
        # Only now: TIFF pictures turn themselves upright while they load.
        return _Stored(*image.size)
    _, (_, _, covered, _) = drafted
    return _Stored(width, height, width / covered)


def _to_grid(image: Image.Image, stored: _Stored, size: int, *, alpha: bool) -> Thumbnail:
    if 0 in image.size:
        raise InvalidImageError("the picture has no pixels")
    grid = grid_shape(stored.width, stored.height, size)
    profile = image.info.get("icc_profile")
    icc = profile if isinstance(profile, bytes) else None
    reduced, box = _reduce(image, stored, grid, icc, alpha=alpha)
    upright = resized(to_srgb(without_idle_alpha(reduced), icc), grid, box)
    orientation = _orientation(image)
    if orientation in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[orientation])
    width, height = stored.width, stored.height
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Thumbnail(np.array(without_idle_alpha(upright), dtype=np.uint8), width, height)


def _reduce(
    image: Image.Image, stored: _Stored, grid: tuple[int, int], icc: bytes | None, *, alpha: bool
) -> tuple[Image.Image, Box]:
    """8-bit pixels, averaged in blocks, and the box of them that the picture covers."""
    width, height = image.size
    step_x = max(1, width // _kept(grid[0]))
    step_y = max(1, height // _kept(grid[1]))
    levels = levels_of(image)
    reduced: Image.Image | None = None
    for top, band in bands(image, step_y):
        smaller = in_8_bits(band, levels, icc, alpha=alpha).reduce((step_x, step_y))
        if reduced is None:
            shape = (math.ceil(width / step_x), math.ceil(height / step_y))
            reduced = Image.new(smaller.mode, shape)
        reduced.paste(smaller, (0, top // step_y))
    assert reduced is not None, "a picture with pixels has a band"
    # Both reductions round up: the picture may cover the last column and row in part only.
    right = stored.width / stored.scale / step_x
    bottom = stored.height / stored.scale / step_y
    return reduced, (0.0, 0.0, right, bottom)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Broken metadata does not cost the picture.
        return 1
