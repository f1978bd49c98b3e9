"""Decodes TIFF files whose samples Pillow cannot represent in any of its modes.

These files have samples of other depths than 1, 2, 4, 8 and 16 bits; several samples of less than
8 bits in a pixel; signed or floating-point samples; grey samples of more than 8 bits with alpha or
with 0 as white; or a separate plane for each color. Pillow decompresses such samples as if each
byte were a pixel, and this module converts the bytes to samples.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from thumbstream.errors import TooManyPixelsError
from thumbstream.images.formats import tiff_directory as tiff
from thumbstream.images.formats.tiff_directory import Directory
from thumbstream.images.levels import Levels, levels_of_range
from thumbstream.images.limits import ImageLimits

MAX_BYTES = 8
"""Most bytes of all samples of a picture, divided by ``ImageLimits.max_pixels``."""

BAND_PIXELS = 1 << 18
"""Pixels converted at a time, to limit memory."""

MAX_PACKED_BITS = 24

_STRAIGHT, _ASSOCIATED = 2, 1
_KINDS = {tiff.UNSIGNED: "u", tiff.SIGNED: "i", tiff.FLOATING: "f"}

Samples = NDArray[np.generic]


class Layout(NamedTuple):
    """The format in which a TIFF file stores its samples."""

    samples: int
    """Samples of a pixel, including alpha."""
    colors: int
    """Samples of a pixel without alpha: 1 for grey, 3 for RGB."""
    bits: int
    """Bits of a sample."""
    format: int
    """Kind of numbers, as in the tag `tiff.FORMAT`: unsigned, signed or floating-point."""
    dtype: np.dtype[np.generic] | None
    """Data type of a sample; None if samples are packed bits, most significant bit first."""
    alpha: int
    """0 without alpha, 1 if colors are premultiplied by alpha, 2 if alpha is straight."""
    white_is_zero: bool
    """Whether the sample 0 is white instead of black."""
    predictor: int
    """As in the tag `tiff.PREDICTOR`: 1 none, 2 integer differences, 3 floating-point."""
    separate: bool
    """Whether each sample of a pixel is in a separate plane."""


def layout_of(directory: Directory) -> Layout | None:
    """Return the layout of samples that this module decodes.

    Returns None for a file that Pillow can decode itself, and for one that is not supported.
    """
    photometric = directory.integer(tiff.PHOTOMETRIC, tiff.WHITE_IS_ZERO)
    if photometric not in (tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO, tiff.RGB):
        return None
    colors = 3 if photometric == tiff.RGB else 1
    bits = set(directory.integers(tiff.BITS, (1,)))
    formats = set(directory.integers(tiff.FORMAT, (tiff.UNSIGNED,)))
    if len(bits) > 1 or len(formats) > 1:
        return None
    samples = directory.integer(tiff.SAMPLES, 1)
    extra = directory.integer(tiff.EXTRA_SAMPLES, 0)
    layout = Layout(
        samples,
        colors,
        bits.pop(),
        formats.pop(),
        dtype=None,
        alpha=extra if samples > colors and extra in (_STRAIGHT, _ASSOCIATED) else 0,
        white_is_zero=photometric == tiff.WHITE_IS_ZERO,
        predictor=directory.integer(tiff.PREDICTOR, 1),
        separate=directory.is_separate,
    )
    if samples not in (colors, colors + 1) or _is_native(layout):
        return None
    if layout.bits in (8, 16, 32, 64) and layout.format in _KINDS:
        dtype = np.dtype(f"{directory.order}{_KINDS[layout.format]}{layout.bits // 8}")
        layout = layout._replace(dtype=dtype)
    return layout if _is_supported(layout, directory) else None


def _is_native(layout: Layout) -> bool:
    """Return whether Pillow itself can decode samples of this layout."""
    if layout.separate:
        return False
    if layout.bits in (1, 2, 4):
        return layout.samples == 1
    if layout.bits == 16 and layout.format == tiff.UNSIGNED:
        return layout.colors == 3 or (layout.samples == 1 and not layout.white_is_zero)
    return layout.bits == 8


def _is_supported(layout: Layout, directory: Directory) -> bool:
    if directory.integer(tiff.COMPRESSION, tiff.NONE) not in tiff.LOSSLESS:
        return False
    if layout.dtype is None and not (
        1 <= layout.bits <= MAX_PACKED_BITS
        and layout.format == tiff.UNSIGNED
        and layout.predictor == 1
    ):
        return False
    if layout.predictor == 3:
        return layout.format == tiff.FLOATING and not directory.is_tiled
    if directory.is_tiled and _row_bits(layout, directory.integer(tiff.TILE_WIDTH, 0)) % 8:
        return False
    return layout.predictor in (1, 2)


def _row_bits(layout: Layout, width: int) -> int:
    """Return the number of bits of a row of ``width`` pixels in one plane."""
    return width * layout.bits * (1 if layout.separate else layout.samples)


def decode(directory: Directory, layout: Layout, limits: ImageLimits) -> Image.Image:
    """Decode the picture to 8 bits a sample: mode L, LA, RGB or RGBA.

    Raises ``TooManyPixelsError`` if its samples have too many bytes (see `MAX_BYTES`).
    """
    width, height = directory.size
    if width * height * layout.samples * layout.bits > 8 * MAX_BYTES * limits.max_pixels:
        raise TooManyPixelsError("the picture has too many pixels for the depth of its samples")
    planes = [_decode_bytes(plane, layout) for plane in _planes_of(directory, layout)]
    span = directory.integer(tiff.TILE_WIDTH, 0) if directory.is_tiled else width
    rows = max(1, BAND_PIXELS // width)

    def bands() -> Iterator[tuple[int, Samples]]:
        for top in range(0, height, rows):
            box = (0, top, planes[0].width, min(height, top + rows))
            stored = [np.asarray(plane.crop(box)) for plane in planes]
            yield top, np.concatenate([_samples(s, layout, width, span) for s in stored], axis=-1)

    levels = _levels(layout, (samples for _, samples in bands()))
    mode = ("RGB" if layout.colors == 3 else "L") + ("A" if layout.alpha else "")
    image = Image.new(mode, (width, height))
    for top, samples in bands():
        image.paste(_in_8_bits(samples, layout, levels), (0, top))
    return image


def _planes_of(directory: Directory, layout: Layout) -> Iterator[Directory]:
    """Yield one directory for each plane, which refers only to the strips or tiles of that plane.

    Yields ``directory`` itself if there is only one plane.
    """
    if not layout.separate:
        yield directory
        return
    parts = {tiff.STRIP_OFFSETS, tiff.STRIP_BYTES, tiff.TILE_OFFSETS, tiff.TILE_BYTES}
    for plane in range(layout.samples):
        tags = dict(directory.tags)
        for tag in parts & tags.keys():
            count = math.ceil(len(tags[tag]) / layout.samples)
            tags[tag] = tags[tag][plane * count : (plane + 1) * count]
        yield replace(directory, tags=tags | {tiff.PLANES: (1,)})


def _decode_bytes(directory: Directory, layout: Layout) -> Image.Image:
    """Decompress one plane to a grey picture in which each pixel is one byte of a stored row."""
    tags = directory.tags | {
        tiff.WIDTH: (math.ceil(_row_bits(layout, directory.size[0]) / 8),),
        tiff.BITS: (8,),
        tiff.SAMPLES: (1,),
        tiff.FORMAT: (tiff.UNSIGNED,),
        tiff.PHOTOMETRIC: (tiff.BLACK_IS_ZERO,),
        tiff.PREDICTOR: (1,),
    }
    tags.pop(tiff.EXTRA_SAMPLES, None)
    if directory.is_tiled:
        tags[tiff.TILE_WIDTH] = (_row_bits(layout, directory.integer(tiff.TILE_WIDTH, 0)) // 8,)
    file = io.BytesIO(tiff.rewritten(replace(directory, tags=tags)))
    image = TiffImagePlugin.TiffImageFile(file)
    image.im = Image.core.new(image.mode, image.size)  # type: ignore[attr-defined]
    image.load()
    return image


def _samples(stored: NDArray[np.uint8], layout: Layout, width: int, span: int) -> Samples:
    """Convert the bytes of rows to an array of samples of shape (rows, width, samples).

    Also reverses the predictor, which begins anew every ``span`` pixels.
    """
    rows, channels = len(stored), 1 if layout.separate else layout.samples
    if layout.dtype is None:
        return _unpacked(stored, layout.bits)[:, : width * channels].reshape(rows, width, channels)
    size = layout.dtype.itemsize
    if layout.predictor == 3:  # differences of bytes, sorted by their significance
        sums = np.empty_like(stored)
        for channel in range(channels):
            sums[:, channel::channels] = np.cumsum(
                stored[:, channel::channels], axis=1, dtype=np.uint8
            )
        planes = sums.reshape(rows, size, width * channels).transpose(0, 2, 1)
        values = np.ascontiguousarray(planes).view(layout.dtype.newbyteorder(">"))
        return values.reshape(rows, width, channels)
    values = np.ascontiguousarray(stored[:, : width * channels * size]).view(layout.dtype)
    values = values.reshape(rows, width, channels)
    if layout.predictor == 2:
        integers = values.view(f"{layout.dtype.byteorder}u{size}").astype(f"=u{size}")
        for left in range(0, width, span):
            part = integers[:, left : left + span]
            part[:] = np.cumsum(part, axis=1, dtype=part.dtype)
        values = integers.view(layout.dtype.newbyteorder("="))
    return values


def _unpacked(stored: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Unpack rows of bytes to samples of ``bits`` bits each, 1 to `MAX_PACKED_BITS`.

    The most significant bit comes first. Returns shape (rows, samples), including padding.
    """
    period = 8 // math.gcd(bits, 8)  # samples until one begins with a byte again
    block = period * bits // 8
    padded = np.pad(stored, ((0, 0), (0, -stored.shape[1] % block)))
    blocks = padded.reshape(len(stored), -1, block).astype(np.uint32)
    samples = np.empty((*blocks.shape[:2], period), np.uint32)
    for index in range(period):
        end = (index + 1) * bits
        first, last = index * bits // 8, (end - 1) // 8
        value = blocks[..., first]
        for byte in range(first + 1, last + 1):
            value = value << np.uint32(8) | blocks[..., byte]
        samples[..., index] = value >> np.uint32(8 * (last + 1) - end)
    samples &= np.uint32((1 << bits) - 1)
    return samples.reshape(len(stored), -1)


def _levels(layout: Layout, bands: Iterable[Samples]) -> Levels:
    """Return the sample values that mean black and white.

    Unsigned samples of up to `MAX_PACKED_BITS` bits use their full range. For other samples, see
    `levels_of_range`; ``bands`` are the samples of the picture in horizontal bands.
    """
    if layout.format == tiff.UNSIGNED and layout.bits <= MAX_PACKED_BITS:
        levels = Levels(0.0, 2.0**layout.bits - 1)
    else:
        low, high = np.inf, -np.inf
        for samples in bands:
            colors = samples[..., : layout.colors]
            finite = colors[np.isfinite(colors)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        levels = levels_of_range(
            low,
            high,
            floating=layout.format == tiff.FLOATING,
            white=2.0**layout.bits - 1 if layout.format == tiff.UNSIGNED else None,
        )
    return Levels(levels.white, levels.black) if layout.white_is_zero else levels


def _in_8_bits(samples: Samples, layout: Layout, levels: Levels) -> Image.Image:
    colors = levels.in_8_bits(samples[..., : layout.colors])
    if layout.alpha:
        opaque = 1.0 if layout.format == tiff.FLOATING else 2.0**layout.bits - 1
        alpha = Levels(0.0, opaque).in_8_bits(samples[..., layout.colors :])
        if layout.alpha == _ASSOCIATED:
            straight = colors * (255 / np.maximum(alpha, 1))
            colors = np.rint(np.minimum(straight, 255)).astype(np.uint8)
        colors = np.concatenate([colors, alpha], axis=-1)
    return Image.fromarray(colors[..., 0] if colors.shape[-1] == 1 else colors)
