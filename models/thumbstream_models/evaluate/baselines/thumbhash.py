"""ThumbHash: a few cosine coefficients of luminance and two colour differences, 4 bits each.

The algorithm is Evan Wallace's (https://evanw.github.io/thumbhash/), for opaque pictures; this is
an implementation of its own. A hash has no quality setting: it is one point of the curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import Coding

_LUMA_LIMIT = 7
"""Cosine terms of luminance along the long side."""
_CHROMA_LIMIT = 3
_CHROMA_BOOST = 1.25
"""A decoder makes colours more vivid than they were coded, by this factor."""


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _terms(across: int, down: int) -> list[tuple[int, int]]:
    """``(cx, cy)`` of the coefficients that travel: a triangle of low frequencies, DC first."""
    return [
        (cx, cy) for cy in range(down) for cx in range(across) if cx * down < across * (down - cy)
    ]


def _basis(cx: int, cy: int, height: int, width: int) -> NDArray[np.float64]:
    x = np.cos(np.pi / width * cx * (np.arange(width) + 0.5))
    y = np.cos(np.pi / height * cy * (np.arange(height) + 0.5))
    return np.asarray(np.outer(y, x), np.float64)


def _luma_terms(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    return (
        max(1, _round(_LUMA_LIMIT * width / longest)),
        max(1, _round(_LUMA_LIMIT * height / longest)),
    )


def _analyse(
    channel: NDArray[np.float64], across: int, down: int
) -> tuple[float, float, list[int]]:
    """DC, largest AC magnitude, and the AC coefficients quantised to 0 .. 15."""
    f = [
        float((channel * _basis(cx, cy, *channel.shape)).mean()) for cx, cy in _terms(across, down)
    ]
    scale = max(abs(value) for value in f[1:])
    ac = [_round(15 * (0.5 + 0.5 * value / scale)) if scale else 8 for value in f[1:]]
    return f[0], scale, ac


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """The hash of ``(H, W, 3)`` uint8 RGB, at most 100 pixels a side."""
    height, width = pixels.shape[:2]
    red, green, blue = np.moveaxis(pixels / 255.0, -1, 0)
    lx, ly = _luma_terms(height, width)
    l_dc, l_scale, l_ac = _analyse((red + green + blue) / 3, max(3, lx), max(3, ly))
    p_dc, p_scale, p_ac = _analyse((red + green) / 2 - blue, _CHROMA_LIMIT, _CHROMA_LIMIT)
    q_dc, q_scale, q_ac = _analyse(red - green, _CHROMA_LIMIT, _CHROMA_LIMIT)
    landscape = width > height
    header = (
        _round(63 * l_dc)
        | _round(31.5 + 31.5 * p_dc) << 6
        | _round(31.5 + 31.5 * q_dc) << 12
        | _round(31 * l_scale) << 18
        | (ly if landscape else lx) << 24
        | _round(63 * p_scale) << 27
        | _round(63 * q_scale) << 33
        | landscape << 39
    )
    ac = [*l_ac, *p_ac, *q_ac]
    nibbles = sum(value << 4 * i for i, value in enumerate(ac))
    head: bytes = header.to_bytes(5, "little")
    return head + nibbles.to_bytes((len(ac) + 1) // 2, "little")


def decode(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Draw a hash of an opaque picture at ``(height, width, 3)`` uint8 RGB."""
    header = int.from_bytes(data[:5], "little")
    nibbles = int.from_bytes(data[5:], "little")

    def field(shift: int, bits: int) -> int:
        return header >> shift & ((1 << bits) - 1)

    short = field(24, 3)
    across, down = (_LUMA_LIMIT, short) if field(39, 1) else (short, _LUMA_LIMIT)
    position = 0

    def channel(dc: float, scale: float, across: int, down: int) -> NDArray[np.float64]:
        nonlocal position
        out = np.full((height, width), dc)
        for cx, cy in _terms(across, down)[1:]:
            value = (nibbles >> 4 * position & 15) / 7.5 - 1
            out += 2 * scale * value * _basis(cx, cy, height, width)
            position += 1
        return out

    luma = channel(field(0, 6) / 63, field(18, 5) / 31, max(3, across), max(3, down))
    p_scale, q_scale = (_CHROMA_BOOST * field(shift, 6) / 63 for shift in (27, 33))
    p = channel(field(6, 6) / 31.5 - 1, p_scale, _CHROMA_LIMIT, _CHROMA_LIMIT)
    q = channel(field(12, 6) / 31.5 - 1, q_scale, _CHROMA_LIMIT, _CHROMA_LIMIT)
    blue = luma - 2 / 3 * p
    red = (3 * luma - blue + q) / 2
    rgb = np.stack([red, red - q, blue], axis=-1)
    return (255 * rgb.clip(0, 1) + 0.5).astype(np.uint8)


class ThumbHash:
    """ThumbHash, drawn at the size of the picture."""

    name = "thumbhash"
    title = "ThumbHash"
    counted = "A single point without settings. Payload: the hash, 24 bytes for a square."
    kind = "baseline"
    progressive = False

    def versions(self) -> Mapping[str, str]:
        """Nothing but this module has a say."""
        return {}

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Yield the only coding."""
        data = encode(pixels)
        yield Coding(len(data), len(data), decode(data, *pixels.shape[:2]))
