"""Resizes RGB and RGBA pictures with the Lanczos filter; RGBA premultiplied, in floating point.

Pillow also resizes RGBA premultiplied, but in 8 bits. Where alpha is low, this makes noisy colors.
Where the filter overshoots at an edge, Pillow clips alpha before it divides the colors by alpha,
which leaves a light line around opaque parts. This module clips only after the division.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPAQUE = 250
"""Least alpha that counts as opaque: lossy formats change the alpha of opaque pixels slightly."""

FloatBox = tuple[float, float, float, float]
"""A rectangle: left, top, right, bottom in pixels, which may be fractions."""


def resize(image: Image.Image, size: tuple[int, int], box: FloatBox) -> Image.Image:
    """Resize the part ``box`` of ``image`` to ``size`` (width, height), in pixels.

    The mode of ``image`` is RGB or RGBA; the result has the same mode.
    """
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
    """Remove the alpha channel of ``image`` (mode LA or RGBA) if the whole channel is opaque.

    Returns ``image`` unchanged otherwise. Alpha of `OPAQUE` or more counts as opaque.
    """
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = np.asarray(image.getchannel("A")).min() >= OPAQUE
    return image.convert(image.mode[:-1]) if opaque else image
