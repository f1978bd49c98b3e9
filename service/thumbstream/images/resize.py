"""Lanczos to the grid. With alpha, premultiplied and in floating point.

Pillow resizes RGBA premultiplied as well, but in 8 bits: where alpha is low its colours are noise,
and where the filter overshoots an edge, alpha is clipped and the colours are not, which draws a
light line around what is opaque. Here both are divided before anything is clipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPAQUE = 250
"""Alpha from which nobody sees through: lossy formats leave such where nothing is transparent."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def resized(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """The part ``box`` of ``image`` (mode RGB or RGBA) in ``size`` pixels, in the same mode."""
    if image.mode == "RGB":
        return image.resize(size, Image.Resampling.LANCZOS, box)
    samples = np.asarray(image, np.float32)
    samples = np.dstack([samples[..., :3] * (samples[..., 3:] / 255), samples[..., 3]])
    *light, alpha = (_plane(samples[..., channel], size, box) for channel in range(4))
    seen = np.maximum(alpha, 0.5) / 255  # below half a level alpha is 0, and the colour hidden
    colours = [plane / seen for plane in light]
    return Image.fromarray(np.clip(np.rint(np.dstack([*colours, alpha])), 0, 255).astype(np.uint8))


def _plane(samples: NDArray[np.float32], size: tuple[int, int], box: Box) -> NDArray[np.float32]:
    plane = Image.fromarray(np.ascontiguousarray(samples))
    return np.asarray(plane.resize(size, Image.Resampling.LANCZOS, box))


def without_idle_alpha(image: Image.Image) -> Image.Image:
    """``image`` without an alpha channel (mode LA or RGBA) that says nothing."""
    if image.mode not in ("LA", "RGBA"):
        return image
    idle = np.asarray(image.getchannel("A")).min() >= OPAQUE
    return image.convert(image.mode[:-1]) if idle else image
