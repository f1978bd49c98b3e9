"""BlurHash: cosine coefficients in base 83, two characters each.

The algorithm is Wolt's (https://blurha.sh); this is an implementation of its own, because the
packages take tens of milliseconds for each of the 81 numbers of components that are tried here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import Coding

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
MOST_COMPONENTS = 9
_LEVELS = 9
"""An AC coefficient has 2 * 9 + 1 levels for each colour."""
_SCALE = 166
"""The largest AC magnitude is coded in 1/166."""
_SIZE_CHARACTERS = 1

Floats = NDArray[np.float64]


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**i % 83] for i in reversed(range(length)))


def _number(text: str) -> int:
    value = 0
    for character in text:
        value = 83 * value + _DIGITS.index(character)
    return value


def _to_linear(srgb: Floats) -> Floats:
    """Linear light in [0, 1] of sRGB samples 0 .. 255."""
    v = srgb / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: Floats) -> NDArray[np.int64]:
    """SRGB samples 0 .. 255 of linear light, rounded as the reference does."""
    v = linear.clip(0, 1)
    srgb = np.where(v <= 0.0031308, v * 12.92, 1.055 * np.power(v, 1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(np.int64)


def _waves(count: int, length: int) -> Floats:
    """``(count, length)`` cosines, the slowest first."""
    return np.cos(np.pi * np.outer(np.arange(count), np.arange(length)) / length)


def _signed_power(value: Floats, exponent: float) -> Floats:
    return np.copysign(np.abs(value) ** exponent, value)


def coefficients(pixels: NDArray[np.uint8]) -> Floats:
    """Cosine coefficients ``(9, 9, 3)`` of ``(H, W, 3)`` RGB in linear light, rows first."""
    height, width = pixels.shape[:2]
    light = _to_linear(pixels.astype(np.float64))
    down, across = _waves(MOST_COMPONENTS, height), _waves(MOST_COMPONENTS, width)
    factors = np.einsum("jy,ix,yxc->jic", down, across, light, optimize=True) / (height * width)
    factors *= 2
    factors[0, 0] /= 2
    return np.asarray(factors)


def write(factors: Floats, across: int, down: int) -> str:
    """The hash of so many components, 1 to 9 each way, from `coefficients`."""
    chosen = factors[:down, :across].reshape(-1, 3)
    red, green, blue = _to_srgb(chosen[0])
    dc = _base83(int(red) << 16 | int(green) << 8 | int(blue), 4)
    size = _base83(across - 1 + 9 * (down - 1), 1)
    ac = chosen[1:]
    if not len(ac):
        return size + _base83(0, 1) + dc
    level = max(0, min(82, int(np.abs(ac).max() * _SCALE - 0.5)))
    scaled = _signed_power(ac / ((level + 1) / _SCALE), 0.5) * _LEVELS + _LEVELS + 0.5
    codes = np.floor(scaled).clip(0, 2 * _LEVELS).astype(int) @ [19 * 19, 19, 1]
    return size + _base83(level, 1) + dc + "".join(_base83(int(code), 2) for code in codes)


def encode(pixels: NDArray[np.uint8], across: int, down: int) -> str:
    """The hash of ``(H, W, 3)`` RGB with so many components, 1 to 9 each way."""
    return write(coefficients(pixels), across, down)


def decode(text: str, height: int, width: int) -> NDArray[np.uint8]:
    """Draw a hash at ``(height, width, 3)`` RGB."""
    down, across = (1 + part for part in divmod(_number(text[0]), 9))
    largest = (_number(text[1]) + 1) / _SCALE
    dc = _number(text[2:6])
    factors = np.empty((down * across, 3))
    factors[0] = _to_linear(np.array([dc >> 16, dc >> 8 & 255, dc & 255], np.float64))
    codes = np.array([_number(text[i : i + 2]) for i in range(6, len(text), 2)], int)
    levels = np.stack([codes // (19 * 19), codes // 19 % 19, codes % 19], axis=-1)
    factors[1:] = _signed_power((levels - _LEVELS) / _LEVELS, 2) * largest
    light = np.einsum(
        "jy,ix,jic->yxc",
        _waves(down, height),
        _waves(across, width),
        factors.reshape(down, across, 3),
        optimize=True,
    )
    return _to_srgb(light).astype(np.uint8)


class BlurHash:
    """BlurHash of every number of components, drawn at the size of the picture."""

    name = "blurhash"
    title = "BlurHash"
    counted = (
        "Best of all numbers of components, 1 to 9 each way. Payload: the characters, but for the "
        "one that says how many components there are."
    )
    kind = "baseline"
    progressive = False

    def versions(self) -> Mapping[str, str]:
        """Nothing but this module has a say."""
        return {}

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Yield a coding for each number of components."""
        factors = coefficients(pixels)
        for across in range(1, MOST_COMPONENTS + 1):
            for down in range(1, MOST_COMPONENTS + 1):
                text = write(factors, across, down)
                payload = len(text) - _SIZE_CHARACTERS
                if payload <= max(budgets):
                    yield Coding(payload, len(text), decode(text, *pixels.shape[:2]))
