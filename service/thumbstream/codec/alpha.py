"""Transparency as a second picture beside the colours: grey, as light as it is opaque.

What a transparent pixel's colour is, nobody sees. Before coding it becomes a blend of the visible
colours around, which costs few bits and keeps edges clean where the decoded alpha is not exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.tensors import Float

OPAQUE = 255
_REACH = 4.0
"""Pixels over which the influence of a visible colour falls by a factor of e."""


def split_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` or ``(H, W, 4)`` uint8 to pictures ``(layers, H, W, 3)``."""
    if pixels.shape[2] == 3:
        return pixels[None]
    alpha = np.broadcast_to(pixels[..., 3:], (*pixels.shape[:2], 3))
    return np.stack([fill_transparent(pixels)[..., :3], alpha])


def fill_transparent(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 4)`` with other colours where alpha is 0: a blur of the others, by their alpha."""
    hidden = pixels[..., 3] == 0
    if not hidden.any() or hidden.all():
        return pixels
    height, width = hidden.shape
    weight = pixels[..., 3] / OPAQUE
    light = np.moveaxis(pixels[..., :3], -1, 0) * weight
    rows, columns = _falling(height), _falling(width)
    colours = (rows @ light @ columns) / (rows @ weight @ columns)
    result = pixels.copy()
    result[hidden, :3] = np.rint(colours[:, hidden].T).astype(np.uint8)
    return result


def merge_alpha(x_hat: Float) -> Float:
    """Decoded layers ``(layers, 3, H, W)`` to ``(3, H, W)``, or with alpha ``(4, H, W)``."""
    if len(x_hat) == 1:
        colours: Float = x_hat[0]
        return colours
    return np.concatenate([x_hat[0], x_hat[1].mean(0, keepdims=True)])


def _falling(n: int) -> NDArray[np.float64]:
    """``(n, n)``: influence of one place on another, never quite 0."""
    places = np.arange(n)
    influence: NDArray[np.float64] = np.exp(-np.abs(places[:, None] - places) / _REACH)
    return influence
