"""Lanczos to the grid. With alpha, premultiplied and in floating point.

Pillow resizes RGBA premultiplied as well, but in 8 bits: where alpha is low its colors are noise,
and where the filter overshoots an edge, alpha is clipped and the colors are not, which leaves a
light line around opaque parts. Here both are divided before anything is clipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPAQUE = 250
"""Alpha that looks opaque: lossy formats leave such values where nothing is transparent."""

FloatBox = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def resize(image: Image.Image, size: tuple[int, int], box: FloatBox) -> Image.Image:
    """The part ``box`` of ``image`` (mode RGB or RGBA) in ``size`` pixels, in the same mode."""
    if image.mode == "RGB":
        return image.resize(size, Image.Resampling.LANCZOS, box)
    samples = np.asarray(image, np.float32)
    samples = np.dstack([samples[..., :3] * (samples[..., 3:] / 255), samples[..., 3]])
    *light, alpha = (_plane(samples[..., channel], size, box) for channel in range(4))
    opacity = np.maximum(alpha, 0.5) / 255  # below half a level alpha is 0, and the color hidden
    colors = [plane / opacity for plane in light]
    return Image.fromarray(np.clip(np.rint(np.dstack([*colors, alpha])), 0, 255).astype(np.uint8))


def _plane(
    samples: NDArray[np.float32], size: tuple[int, int], box: FloatBox
) -> NDArray[np.float32]:
    plane = Image.fromarray(np.ascontiguousarray(samples))
    return np.asarray(plane.resize(size, Image.Resampling.LANCZOS, box))


def drop_opaque_alpha(image: Image.Image) -> Image.Image:
    """``image`` without its alpha channel (mode LA or RGBA) if that is opaque everywhere."""
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = np.asarray(image.getchannel("A")).min() >= OPAQUE
    return image.convert(image.mode[:-1]) if opaque else image
