"""Computes SSIM and PSNR between two pictures, as used in all published results.

SSIM follows Wang et al. 2004: Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03,
windows inside the picture only, mean over the three RGB channels. PSNR is computed from the mean
squared error of all RGB samples.

Pictures with alpha are composed over a black and over a white background. SSIM is the mean of the
values for the two backgrounds; PSNR is computed from the mean of the two mean squared errors. An
error in alpha is visible on at least one background, and the colour of a fully transparent pixel
has no influence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.matmul import matmul_single_threaded

WINDOW = 11
SIGMA = 1.5
BLOCK = 32
"""Filtered rows of one product of matrices; a larger matrix would be mostly zeros."""
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_MAX_PSNR = 100.0
"""Upper limit of the reported PSNR in dB; identical pictures have this value."""


def _gaussian() -> NDArray[np.float64]:
    offset = np.arange(WINDOW) - WINDOW // 2
    taps = np.exp(-(offset**2) / (2 * SIGMA**2))
    return np.asarray(taps / taps.sum(), np.float64)


_Blocks: TypeAlias = list[tuple[slice, NDArray[np.float64]]]
"""Some rows of a picture each, and the matrix from them to rows of the filtered picture."""


def _blur(
    window: NDArray[np.float64], height: int, width: int
) -> Callable[..., NDArray[np.float64]]:
    """Return a function that filters ``(..., height, width)`` with ``window`` along both axes.

    The filter does not pad: its result is smaller than the picture. A window that is longer than
    a side of the picture is shortened at both ends.
    """

    def matrices(n: int) -> _Blocks:
        taps = window
        while len(taps) > n:
            taps = taps[1:-1]
        taps = taps / taps.sum()
        blocks: _Blocks = []
        for start in range(0, n - len(taps) + 1, BLOCK):
            count = min(BLOCK, n - len(taps) + 1 - start)
            out = np.zeros((count, count + len(taps) - 1))
            for i in range(count):
                out[i, i : i + len(taps)] = taps
            blocks.append((slice(start, start + out.shape[1]), out))
        return blocks

    of_rows, of_columns = matrices(height), matrices(width)

    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        by_rows = _filter_rows(x, of_rows)
        return _filter_rows(by_rows.swapaxes(-1, -2), of_columns).swapaxes(-1, -2)

    return blur


def _filter_rows(x: NDArray[np.float64], blocks: _Blocks) -> NDArray[np.float64]:
    parts = [matmul_single_threaded(block, x[..., rows, :]) for rows, block in blocks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-2)


def _composed(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compose uint8 ``(..., H, W, 3 or 4)`` pictures to float64 ``(..., backgrounds, H, W, 3)``.

    Pictures with 4 channels have two backgrounds, black and white. Pictures with 3 channels have
    one, and their samples do not change.
    """
    samples = pictures.astype(np.float64)
    if samples.shape[-1] == 3:
        return samples[..., None, :, :, :]
    alpha = samples[..., 3:] / 255
    over_black = samples[..., :3] * alpha
    return np.stack([over_black, over_black + 255 * (1 - alpha)], axis=-4)


def _planes(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return `_composed` as contiguous ``(..., backgrounds, 3, H, W)``, for products in BLAS."""
    return np.ascontiguousarray(np.moveaxis(_composed(pictures), -1, -3))


def ssim_to(a: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Return the function ``b -> ssim(a, b)``, which filters ``a`` only once."""
    x = _planes(a)
    blur = _blur(_gaussian(), x.shape[-2], x.shape[-1])
    mu_x = blur(x)
    var_x = blur(x * x) - mu_x**2

    def compare(b: NDArray[np.uint8]) -> NDArray[np.float64]:
        y = _planes(b)
        mu_y = blur(y)
        var_y = blur(y * y) - mu_y**2
        cov = blur(x * y) - mu_x * mu_y
        score = ((2 * mu_x * mu_y + _C1) * (2 * cov + _C2)) / (
            (mu_x**2 + mu_y**2 + _C1) * (var_x + var_y + _C2)
        )
        return np.asarray(score.mean(axis=(-4, -3, -2, -1)))

    return compare


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the structural similarity (SSIM) of uint8 pictures, 1.0 for identical pictures.

    ``a`` and ``b`` are both ``(..., H, W, 3)``, or both ``(..., H, W, 4)`` with straight alpha.
    The result has the shape ``(...)`` of their broadcast leading axes.
    """
    return ssim_to(a)(b)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio (PSNR) in dB, at most 100.

    Arguments and shape of the result are those of `ssim`.
    """
    mse = np.square(_composed(a) - _composed(b)).mean(axis=(-4, -3, -2, -1))
    with np.errstate(divide="ignore"):
        decibels = 20 * np.log10(255) - 10 * np.log10(mse)
    return np.asarray(np.minimum(decibels, _MAX_PSNR), np.float64)


MEASURES: dict[str, Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]] = {
    "ssim": ssim,
    "psnr": psnr,
}
"""Functions that measure quality, by name; higher values are better."""
