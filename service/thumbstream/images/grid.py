"""A picture -> the thumbnail grid: upright uint8 RGB or RGBA, long side ``size`` or less.

The steps, in order: let the JPEG decoder drop to 1/2, 1/4 or 1/8 while it decodes; average blocks
of pixels down to a few times the grid; convert to sRGB; Lanczos to the grid; turn upright. The
steps before Lanczos leave `REDUCING_GAP` times the grid or more. Compared with Lanczos alone, 60
photographs on a grid of 32 stay within 51 dB (JPEG: 55 dB) in the mean, 43 dB at worst: no stream
is as near.
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
from PIL import GifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin

from thumbstream.errors import IngestError, InvalidImageError, TooManyPixelsError
from thumbstream.images.exif import SIDEWAYS, UPRIGHT, opened_orientation
from thumbstream.images.formats import gif, jpeg, png, webp
from thumbstream.images.levels import Levels
from thumbstream.images.limits import ImageLimits
from thumbstream.images.open import open_picture, read_source
from thumbstream.images.resize import FloatBox, drop_opaque_alpha, resize
from thumbstream.images.source import Canvas, Color, Source
from thumbstream.images.to_srgb import bands, in_8_bits, levels_of, to_srgb

REDUCING_GAP = 4
"""Cheap reductions stop at this many times the grid."""

MIN_SIDE = 64
"""And at this many pixels: among few blocks, one that the picture covers in part would show."""

SIZES = range(8, 257, 8)
"""Long sides of a grid, pixels."""

SIZE_STEP = 8


class Alpha(StrEnum):
    """What to do with transparency."""

    KEEP = "keep"
    """Encoded if the picture has some and the model can; otherwise as `FLATTEN`."""
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
    truncated: bool = False
    """Whether the end of the file was missing; a part of the picture may be grey."""


class _StoredSize(NamedTuple):
    """Size of the picture as stored, before it is turned upright."""

    width: int
    height: int
    scale: float = 1.0
    """How many times smaller than that it was decoded."""


def grid_shape(width: int, height: int, size: int) -> tuple[int, int]:
    """(width, height) of the grid for a picture: long side ``size``, short side in proportion.

    A smaller picture is not enlarged: its long side is rounded up to a multiple of 8. ValueError if
    ``size`` is not a multiple of 8 in 8..256.
    """
    _check_size(size)
    longest = max(width, height)
    long = min(size, math.ceil(longest / SIZE_STEP) * SIZE_STEP)
    short = max(1, round(long * min(width, height) / longest))
    return (long, short) if width >= height else (short, long)


def thumbnail(
    source: bytes | BinaryIO, size: int, limits: ImageLimits | None = None, *, alpha: bool = False
) -> Thumbnail:
    """Decode the picture file in ``source`` and reduce it to a grid with long side ``size``.

    Any bytes give a Thumbnail or an `IngestError`; of an animation the first frame is used. A
    picture smaller than the grid is not enlarged (`grid_shape`). With ``alpha`` transparency is
    kept; otherwise it is composited over white. ValueError if ``size`` is not a multiple of 8 in
    8..256.
    """
    _check_size(size)
    limits = limits or ImageLimits()
    data = read_source(source, limits)
    with _decoder_errors():
        picture = open_picture(data, limits)
        with picture.image:
            stored = _decode(picture, size)
            if picture.truncated:
                jpeg.check_missing(picture.image, limits)
            return _to_grid(picture, stored, size, alpha=alpha)


def reduce_to_grid(image: Image.Image, size: int, *, alpha: bool = False) -> Thumbnail:
    """Reduce an opened picture of any mode to a grid with long side ``size``; it is not changed.

    Its EXIF orientation and its color space are followed. With ``alpha`` transparency is kept;
    otherwise it is composited over white. ``InvalidImageError`` if it cannot be decoded; ValueError
    if ``size`` is not a multiple of 8 in 8..256.
    """
    _check_size(size)
    with _decoder_errors():
        picture = _source_of(image)
        return _to_grid(picture, _StoredSize(*image.size), size, alpha=alpha)


def _source_of(image: Image.Image) -> Source:
    """An image that Pillow opened, as a `Source`; its pixels are decoded."""
    frame = getattr(image, "dispose_extent", None)  # of a GIF
    key = png.transparency_key(image)
    image.load()
    source = Source(image)
    if isinstance(image, GifImagePlugin.GifImageFile) and image.tell() == 0:
        source = gif.frame_of(image, frame)
    elif isinstance(image, WebPImagePlugin.WebPImageFile):
        source.image = webp.with_canvas(image)
    elif key != image.info.get("transparency"):
        source.image = image._new(image.im)  # shares the pixels
        source.image.info["transparency"] = key
    source.orientation = opened_orientation(image)
    profile = image.info.get("icc_profile")
    source.color = profile if isinstance(profile, bytes) else png.color_of(image.info)
    return source


def _check_size(size: int) -> None:
    if size not in SIZES:
        raise ValueError(f"size must be a multiple of 8 in 8..256, not {size}")


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Every error of a decoder becomes an `IngestError`; a shortage of memory does not."""
    try:
        yield
    except (IngestError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError("the picture has far too many pixels") from error
    except Exception as error:  # decoders raise some fifteen kinds
        raise InvalidImageError(f"the picture cannot be decoded: {error}") from error


def _blocks_of(side: int) -> int:
    """The least pixels that the cheap reductions leave for ``side`` pixels of the grid."""
    return max(REDUCING_GAP * side, MIN_SIDE)


def _decode(picture: Source, size: int) -> _StoredSize:
    """Decode: a JPEG at the smallest scale that leaves `REDUCING_GAP` times the grid."""
    image = picture.image
    width, height = image.size
    drafted = None
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        columns, rows = grid_shape(width, height, size)
        drafted = image.draft(None, (_blocks_of(columns), _blocks_of(rows)))
    image.load()
    if drafted is None:
        return _StoredSize(width, height)
    _, (_, _, covered, _) = drafted
    return _StoredSize(width, height, width / covered)


def _to_grid(picture: Source, stored: _StoredSize, size: int, *, alpha: bool) -> Thumbnail:
    image, color = picture.image, picture.color
    if 0 in image.size:
        raise InvalidImageError("the picture has no pixels")
    levels = levels_of(image)
    if picture.crop is not None:
        image = image.crop(picture.crop)
        stored = _StoredSize(*image.size)
    if picture.canvas is not None:
        image = _on_canvas(in_8_bits(image, levels, color, alpha=True), picture.canvas)
        stored = _StoredSize(*image.size)
    grid = grid_shape(stored.width, stored.height, size)
    reduced, box = _reduce(image, levels, stored, grid, color, alpha=alpha)
    upright = resize(to_srgb(drop_opaque_alpha(reduced), color), grid, box)
    if picture.orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[picture.orientation])
    width, height = stored.width, stored.height
    if picture.orientation in SIDEWAYS:
        width, height = height, width
    pixels = np.array(drop_opaque_alpha(upright), dtype=np.uint8)
    return Thumbnail(pixels, width, height, picture.truncated)


def _on_canvas(frame: Image.Image, canvas: Canvas) -> Image.Image:
    """``frame`` in its place on a transparent picture, mode RGBA."""
    picture = Image.new("RGBA", (canvas.width, canvas.height))
    picture.paste(frame.convert("RGBA"), (canvas.left, canvas.top))
    return picture


def _reduce(
    image: Image.Image,
    levels: Levels,
    stored: _StoredSize,
    grid: tuple[int, int],
    color: Color,
    *,
    alpha: bool,
) -> tuple[Image.Image, FloatBox]:
    """8-bit pixels, averaged in blocks, and the box of them that the picture covers."""
    width, height = image.size
    step_x = max(1, width // _blocks_of(grid[0]))
    step_y = max(1, height // _blocks_of(grid[1]))
    reduced: Image.Image | None = None
    for top, band in bands(image, step_y):
        smaller = in_8_bits(band, levels, color, alpha=alpha).reduce((step_x, step_y))
        if reduced is None:
            shape = (math.ceil(width / step_x), math.ceil(height / step_y))
            reduced = Image.new(smaller.mode, shape)
        reduced.paste(smaller, (0, top // step_y))
    assert reduced is not None, "a picture with pixels has a band"
    # Both reductions round up: the picture may cover the last column and row in part only.
    right = stored.width / stored.scale / step_x
    bottom = stored.height / stored.scale / step_y
    return reduced, (0.0, 0.0, right, bottom)
