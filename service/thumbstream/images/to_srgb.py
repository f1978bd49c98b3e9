"""Every way in which a file stores color -> 8-bit sRGB, opaque or with straight alpha.

Samples deeper than 8 bits are scaled, palettes looked up, color spaces converted. Alpha that is not
to be kept is composited over white, in the color space of the file, where white is white, and
before any averaging, so that the hidden color of transparent pixels does not bleed. Alpha that is
kept takes part in the averaging: Pillow averages blocks of LA and RGBA premultiplied.

Averaging commutes with a change between RGB spaces, near enough for a thumbnail, and a profile
costs as much as decoding: RGB and grey are converted after the reduction. CMYK does not commute
(ink multiplies), and is converted before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

from thumbstream.images import color_space
from thumbstream.images.icc import cicp_space, trim_profile
from thumbstream.images.levels import Levels, levels_of_range
from thumbstream.images.source import Color

BAND_PIXELS = 1 << 20
"""Pixels converted at a time: full-size copies of the picture never exist."""

DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

PROFILE_MODES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's mode -> the color space that a matching profile declares."""

CACHED_PROFILES = 16
"""Transforms in the cache: building one costs milliseconds, and most pictures share a handful."""

_SRGB = ImageCms.createProfile("sRGB")
_WHITE = 255
_COLORS = {"LA": "L", "RGBA": "RGB"}
"""Mode with straight alpha -> the mode of its colors alone."""

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def bands(image: Image.Image, step: int) -> Iterator[tuple[int, Image.Image]]:
    """(top, band) for every horizontal band of ``image``; tops are multiples of ``step``."""
    width, height = image.size
    rows = max(1, BAND_PIXELS // (width * step)) * step
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def levels_of(image: Image.Image) -> Levels:
    """The sample values of ``image`` that mean black and white.

    16-bit samples use their range. Floating-point samples in [0, 1] and 32-bit integers that fit
    8 or 16 bits use that range; anything else is stretched from its least to its greatest finite
    sample. Modes of 8 bits and fewer have (0, 255).
    """
    if image.mode not in DEEP_MODES:
        return Levels(0.0, 255.0)
    if image.mode.startswith("I;16"):
        levels = Levels(0.0, 65535.0)
    else:
        low, high = np.inf, -np.inf
        for _, band in bands(image, 1):
            samples = np.asarray(band)
            finite = samples[np.isfinite(samples)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        levels = levels_of_range(low, high, floating=image.mode == "F")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Opened by Pillow, which keeps the samples as they are stored.
        if image.tag_v2.get(_BITS) == (12,):
            levels = Levels(0.0, 4095.0)
        if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            levels = Levels(levels.white, levels.black)
    return levels


def in_8_bits(
    band: Image.Image, levels: Levels, color: Color, *, alpha: bool = False
) -> Image.Image:
    """``band`` in the color space of the file: mode L, RGB or LAB, opaque.

    With ``alpha`` transparency is kept, in mode LA or RGBA. CMYK comes out as sRGB already.
    """
    if band.mode in DEEP_MODES:
        band = _to_8_bits(band, levels)
    if band.has_transparency_data:
        layered = band.convert("LA" if band.mode in ("1", "L", "LA", "La") else "RGBA")
        return layered if alpha else _over_white(layered)
    if band.mode in ("L", "RGB", "LAB"):
        return band
    if band.mode == "CMYK":
        return to_srgb(band, color)
    return band.convert("L" if band.mode == "1" else "RGB")


def _to_8_bits(band: Image.Image, levels: Levels) -> Image.Image:
    samples = np.asarray(band)
    grey = Image.fromarray(levels.in_8_bits(samples))
    key = band.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    return grey


def _over_white(layered: Image.Image) -> Image.Image:
    mode = _COLORS[layered.mode]
    canvas = Image.new(mode, layered.size, _WHITE if mode == "L" else (_WHITE, _WHITE, _WHITE))
    canvas.paste(layered.convert(mode), mask=layered.getchannel("A"))
    return canvas


def to_srgb(image: Image.Image, color: Color) -> Image.Image:
    """``image`` (mode L, LA, RGB, RGBA, CMYK or LAB) as sRGB: mode RGB, or RGBA.

    A profile that is broken, oversized or meant for another kind of picture is ignored. An RGB
    profile on a grey picture, as many cameras write, is followed.
    """
    if image.mode in _COLORS:
        opaque = to_srgb(image.convert(_COLORS[image.mode]), color)
        opaque.putalpha(image.getchannel("A"))
        return opaque
    if isinstance(color, bytes) and image.mode in ("L", "RGB"):
        color = cicp_space(color) or color
    if isinstance(color, color_space.RgbSpace):
        return _from_rgb_space(image, color)
    for mode in ("L", "RGB") if image.mode == "L" else (image.mode,):
        transform = _transform(color, mode)
        if transform is not None:
            source = image if image.mode == mode else image.convert(mode)
            converted = ImageCms.applyTransform(source, transform)
            if converted is not None:
                return converted
    return image.convert("RGB")


def _from_rgb_space(image: Image.Image, space: color_space.RgbSpace) -> Image.Image:
    rgb = image.convert("RGB")
    if space.is_srgb or image.mode not in ("L", "RGB"):
        return rgb
    try:
        return Image.fromarray(color_space.to_srgb(np.asarray(rgb), space))
    except np.linalg.LinAlgError:  # primaries on one line
        return rgb


@lru_cache(maxsize=CACHED_PROFILES)
def _transform(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from ``mode`` with the profile ``icc`` to sRGB; None if there is none."""
    try:
        if mode == "LAB":
            return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, mode, "RGB")
        icc = trim_profile(icc) if icc else None
        if icc is None:
            return None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != PROFILE_MODES[mode]:
            return None
        transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB")
    except Exception:  # Whatever is wrong with the profile, the picture can be shown without it.
        return None
    return None if mode == "RGB" and _is_identity(transform) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether an RGB transform moves no color of a 9 x 9 x 9 cube by more than one step: sRGB."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = ImageCms.applyTransform(Image.fromarray(cube), transform)
    return moved is not None and bool(np.abs(np.asarray(moved) - cube.astype(np.int16)).max() <= 1)
