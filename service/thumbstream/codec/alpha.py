"""Codes transparency as a second layer next to the colours: a grey picture of the alpha values.

The colour of a fully transparent pixel is invisible. Before coding, this colour is replaced by a
blend of the visible colours around the pixel. The blend costs few bits, and it keeps edges clean
where the decoded alpha differs from the original.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.tensors import Float

OPAQUE = 255
_FILL_RADIUS = 4.0
"""Distance, in pixels, over which the weight of a visible colour falls by a factor of e."""
_HALF = 0.5 + 1e-6
"""Rounds halves up, even if their last digits are below: encoders in all languages agree."""


def check_pixels(pixels: NDArray[np.uint8]) -> None:
    """Raise `ValueError` unless ``pixels`` are uint8 ``(H, W, 3)`` or ``(H, W, 4)``."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise ValueError(f"pixels must be (H, W, 3) or (H, W, 4), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")


def split_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Split ``(H, W, 3 or 4)`` uint8 pixels into layers ``(1 or 2, H, W, 3)``: colours, alpha."""
    if pixels.shape[2] == 3:
        return pixels[None]
    alpha = np.broadcast_to(pixels[..., 3:], (*pixels.shape[:2], 3))
    return np.stack([fill_transparent(pixels)[..., :3], alpha])


def fill_transparent(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace the colour of each pixel with alpha 0 by a blur of the visible colours.

    Takes and returns ``(H, W, 4)`` uint8.
    """
    hidden = pixels[..., 3] == 0
    if not hidden.any() or hidden.all():
        return pixels
    height, width = hidden.shape
    weight = pixels[..., 3] / OPAQUE
    light = np.moveaxis(pixels[..., :3], -1, 0) * weight
    rows, columns = _falloff(height), _falloff(width)
    colours = (rows @ light @ columns) / (rows @ weight @ columns)
    result = pixels.copy()
    result[hidden, :3] = np.floor(colours[:, hidden].T + _HALF).astype(np.uint8)
    return result


def merge_alpha(x_hat: Float) -> Float:
    """Merge decoded layers ``(N, 1 or 2, 3, H, W)`` into channels ``(N, 3 or 4, H, W)``.

    Alpha is the mean of the three channels of the second layer.
    """
    colours: Float = x_hat[:, 0]
    if x_hat.shape[1] == 1:
        return colours
    return np.concatenate([colours, x_hat[:, 1].mean(1, keepdims=True)], 1)


def _falloff(n: int) -> NDArray[np.float64]:
    """Return the blur weights along one axis, ``(n, n)``.

    Entry ``[i, j]`` is the weight of position ``j`` in the blur at ``i``: it falls exponentially
    with their distance, and is never 0.
    """
    positions = np.arange(n)
    weights: NDArray[np.float64] = np.exp(-np.abs(positions[:, None] - positions) / _FILL_RADIUS)
    return weights
