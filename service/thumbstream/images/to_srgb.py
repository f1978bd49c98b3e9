"""Converts decoded pictures of any Pillow mode to 8-bit sRGB, opaque or with straight alpha.

`in_8_bits` runs before the picture is reduced. It scales samples of more than 8 bits and looks up
palettes. If alpha is not kept, it composites the picture over white; before the reduction, so that
the hidden colors of transparent pixels do not bleed into their neighbors, and in the color space of
the file, since white is the same color in all of them. If alpha is kept, Pillow's ``reduce``
averages blocks of LA and RGBA pixels premultiplied.

`to_srgb` converts grey and RGB pictures after the reduction: applying an ICC profile to all pixels
would take as long as decoding, and the result is nearly the same. CMYK pictures are converted
before the reduction, because their conversion is too far from linear.
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
"""Pixels converted at a time, so that no full-size copy of the picture is in memory."""

DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

PROFILE_MODES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's mode -> the color space that an ICC profile must declare for pictures of this mode."""

CACHED_PROFILES = 16
"""Most transforms in the cache. Building one takes milliseconds; most files share few profiles."""

_SRGB = ImageCms.createProfile("sRGB")
_WHITE = 255
_COLORS = {"LA": "L", "RGBA": "RGB"}
"""Mode with straight alpha -> the same mode without alpha."""

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def bands(image: Image.Image, step: int) -> Iterator[tuple[int, Image.Image]]:
    """Split ``image`` into horizontal bands, and yield (top, band) for each.

    ``top`` is the first row of the band, a multiple of ``step``.
    """
    width, height = image.size
    rows = max(1, BAND_PIXELS // (width * step)) * step
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def levels_of(image: Image.Image) -> Levels:
    """Return the sample values of ``image`` that mean black and white.

    These are (0, 255) for modes of 8 bits or fewer, and (0, 65535) for 16-bit modes. For 32-bit
    integers and floating-point samples, see `levels_of_range`. In a TIFF file that Pillow opened,
    12-bit samples have (0, 4095), and black and white are exchanged if 0 is white.
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
        # Pillow converts 8-bit pictures to floating point without scaling them to 0..1.
        converted = image.format is None and high > 1.0
        levels = levels_of_range(low, high, floating=image.mode == "F" and not converted)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow leaves the samples as they are stored.
        if image.tag_v2.get(_BITS) == (12,):
            levels = Levels(0.0, 4095.0)
        if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            levels = Levels(levels.white, levels.black)
    return levels


def in_8_bits(
    band: Image.Image, levels: Levels, color: Color, *, alpha: bool = False
) -> Image.Image:
    """Convert ``band`` to 8 bits: mode L, RGB or LAB; LA or RGBA if transparency is kept.

    With ``alpha``, transparency is kept; otherwise the band is composited over white. The result
    stays in ``color``, the color space of the file; only a CMYK band is converted to sRGB.
    ``levels`` are the black and white of samples of more than 8 bits.
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
    """Convert ``image`` from the color space ``color`` to sRGB.

    The mode of ``image`` is L, LA, RGB, RGBA, CMYK or LAB. The mode of the result is RGBA for LA
    and RGBA, else RGB. An ICC profile that is broken, too long or for another kind of picture is
    ignored. An RGB profile is applied to a grey picture, since many cameras write such files.
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
    """Return the transform from ``mode`` with the ICC profile ``icc`` to sRGB mode RGB.

    Returns None if there is no usable profile, or if its transform changes nothing. ``LAB`` needs
    no profile.
    """
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
    """Return whether an RGB transform changes samples by at most 1 in a 9 x 9 x 9 color cube."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = ImageCms.applyTransform(Image.fromarray(cube), transform)
    return moved is not None and bool(np.abs(np.asarray(moved) - cube.astype(np.int16)).max() <= 1)
