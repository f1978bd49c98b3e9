"""Reduces a picture to the thumbnail grid: upright uint8 RGB or RGBA, long side at most ``size``.

The steps, in order: the JPEG decoder scales to 1/2, 1/4 or 1/8 while it decodes; blocks of pixels
are averaged, down to a few times the size of the grid; the pixels are converted to sRGB, resized to
the grid with Lanczos, and turned upright. The steps before Lanczos leave at least `REDUCING_GAP`
times the sides of the grid. Compared with Lanczos alone, the PSNR of 60 photographs on a grid of 32
is 51 dB in the mean (JPEG files: 55 dB) and 43 dB at worst. Compression loses far more.
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
from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

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
"""The reductions before Lanczos leave at least this many times the sides of the grid."""

MIN_SIDE = 64
"""The reductions before Lanczos leave at least this many pixels on a side: with fewer blocks, a
last block that is only partly within the picture would be visible."""

SIZES = range(8, 257, 8)
"""Allowed long sides of the grid, in pixels."""

SIZE_STEP = 8


class Alpha(StrEnum):
    """How transparency is treated."""

    KEEP = "keep"
    """Encode the alpha channel if there is one and the model supports it; else as `FLATTEN`."""
    FLATTEN = "flatten"
    """Composite the picture over white."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The pixels of a thumbnail, and the size of the original picture."""

    pixels: NDArray[np.uint8]
    """Upright, contiguous sRGB, shape (h, w, 3); or (h, w, 4) with straight alpha."""
    width: int
    """Width of the upright original, in pixels."""
    height: int
    """Height of the upright original, in pixels."""
    truncated: bool = False
    """Whether the end of the file was missing, and with it perhaps a part of the picture."""


class _StoredSize(NamedTuple):
    """The size of the full picture in the file, before it is turned upright."""

    width: int
    height: int
    scale: float = 1.0
    """``width`` and ``height`` divided by the width and height that were decoded."""


def grid_shape(width: int, height: int, size: int) -> tuple[int, int]:
    """Return (width, height) of the grid for a picture of ``width`` x ``height`` pixels.

    The long side of the grid is ``size``, or the picture's long side rounded up to a multiple of 8,
    whichever is less. The short side is in proportion, and at least 1. Raises ValueError if
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
    """Decode the picture file in ``source`` and reduce the picture to `grid_shape`.

    ``size`` is the greatest long side of the thumbnail. Of an animation, the first frame is used.
    With ``alpha``, transparency is kept; otherwise the picture is composited over white. Raises
    `IngestError` if the file is rejected or damaged, and ValueError if ``size`` is not a multiple
    of 8 in 8..256.
    """
    _check_size(size)
    limits = limits or ImageLimits()
    data = read_source(source, limits)
    with _decoder_errors():
        picture = open_picture(data, limits)
        with picture.image:
            stored = _decode(picture, size)
            if picture.truncated and isinstance(picture.image, JpegImagePlugin.JpegImageFile):
                jpeg.check_missing(picture.image, limits)
            return _to_grid(picture, stored, size, alpha=alpha)


def reduce_to_grid(image: Image.Image, size: int, *, alpha: bool = False) -> Thumbnail:
    """Reduce a Pillow image of any mode to `grid_shape`; ``image`` is not changed.

    ``size`` is the greatest long side of the thumbnail. The EXIF orientation and the color space of
    ``image`` are applied. With ``alpha``, transparency is kept; otherwise the picture is composited
    over white. Raises ``InvalidImageError`` if ``image`` cannot be decoded, and ValueError if
    ``size`` is not a multiple of 8 in 8..256.
    """
    _check_size(size)
    with _decoder_errors():
        picture = _source_of(image)
        return _to_grid(picture, _StoredSize(*image.size), size, alpha=alpha)


def _source_of(image: Image.Image) -> Source:
    """Decode ``image``, which Pillow opened, and return it as a `Source`."""
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
    """Convert every exception in the block to an `IngestError`, except MemoryError."""
    try:
        yield
    except (IngestError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError("the picture has far too many pixels") from error
    except Exception as error:  # decoders raise some fifteen kinds
        raise InvalidImageError(f"the picture cannot be decoded: {error}") from error


def _blocks_of(side: int) -> int:
    """Return how many pixels the reductions before Lanczos must leave for ``side`` grid pixels."""
    return max(REDUCING_GAP * side, MIN_SIDE)


def _decode(picture: Source, size: int) -> _StoredSize:
    """Decode ``picture`` in place, and return its size in the file.

    A JPEG is decoded at the smallest scale that leaves `REDUCING_GAP` times the sides of the grid.
    """
    image = picture.image
    width, height = image.size
    drafted = None
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        columns, rows = grid_shape(width, height, size)
        drafted = image.draft(None, (_blocks_of(columns), _blocks_of(rows)))
    try:
        image.load()
    except OSError:
        if not (picture.truncated and isinstance(image, PngImagePlugin.PngImageFile)):
            raise
        image.tile = []  # the rows before the end are decoded
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
    """Paste ``frame`` at its position into a transparent picture of mode RGBA."""
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
    """Convert ``image`` to 8 bits and average its pixels in blocks.

    Returns the reduced picture, and the part of it that the original covers: the last column and
    row of blocks may be partly outside the original.
    """
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
