"""Distortion between a picture and a decoded one.

SSIM and PSNR are defined in `thumbstream.codec.quality`. PSNR-HVS-M (Ponomarenko et al. 2007, over
luminance) weighs the errors of 8 x 8 DCT blocks by contrast sensitivity and masking. FLIP
(Andersson et al. 2020) is the mean difference seen when alternating between the two pictures at a
known distance: contrast sensitivity, color differences, edges and points. It is defined for every
pixel and size, while most perceptual metrics need pyramids that thumbnails are too small for, and
it needs no weights.

The errors of lightness and chroma are distances in OKLab (Ottosson 2020), which is nearly uniform
to the eye, between the mean colours of boxes of 8 x 8 pixels: whether grass is green, not where its
blades are.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.quality import psnr, ssim

__all__ = [
    "METRICS",
    "Metric",
    "chroma_error",
    "flip",
    "lightness_error",
    "psnr",
    "psnr_hvs_m",
    "ssim",
    "versions",
]

Pictures = NDArray[np.uint8]
"""``(..., H, W, 3)``."""
Floats = NDArray[np.float64]

THUMBNAIL_DEGREES = 4
"""Viewing width of a thumbnail of any size: about 5 cm on a desktop screen."""
_BLOCK = 8
_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as in JPEG."""
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
"""Of OKLab: linear sRGB to cones; after a cube root, `TO_OKLAB`."""
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of quality or of error."""

    name: str
    """Key in results."""
    title: str
    """Name in tables."""
    score: Callable[[Pictures, Pictures], Floats]
    """Original and decoded ``(N, H, W, 3)`` to ``(N,)``."""
    digits: int
    """Decimals in results."""
    less_is_better: bool = False


@cache
def _hvsm() -> Callable[..., Any]:
    """The C++ function of psnr_hvsm."""
    # Otherwise the package imports PyTorch, which takes seconds in every process. Without PyTorch
    # it prints a message.
    sys.modules.setdefault("psnr_hvsm.torch", None)  # type: ignore[arg-type]
    with contextlib.redirect_stdout(io.StringIO()):
        import psnr_hvsm  # type: ignore[import-untyped]
    function: Callable[..., Any] = psnr_hvsm.BACKENDS["cpp"]["psnr_hvs_hvsm"]
    return function


def psnr_hvs_m(a: Pictures, b: Pictures) -> Floats:
    """PSNR-HVS-M in dB of the luminance of ``(N, H, W, 3)`` pictures; at most 100.

    Sides that are not multiples of 8 are padded with copies of the last row or column.
    """

    def luminance(pictures: Pictures) -> Floats:
        below, right = (-side % _BLOCK for side in pictures.shape[1:3])
        filled = np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
        return np.asarray(filled @ _LUMINANCE / 255)

    pairs = zip(luminance(a), luminance(b), strict=True)
    return np.array([min(float(_hvsm()(x, y)[1]), 100.0) for x, y in pairs])


def flip(a: Pictures, b: Pictures) -> Floats:
    """Mean LDR-FLIP error of ``(N, H, W, 3)`` sRGB pictures: 0 (equal) to 1.

    The long side of the thumbnail counts as `THUMBNAIL_DEGREES` wide.
    """
    # Imported here, because trainings use the other metrics only.
    import flip_evaluator  # type: ignore[import-untyped]

    viewing = {"ppd": max(a.shape[1:3]) / THUMBNAIL_DEGREES}

    def error(x: Pictures, y: Pictures) -> float:
        planes = [np.ascontiguousarray(p, np.float32) / np.float32(255) for p in (x, y)]
        return float(flip_evaluator.evaluate(*planes, "LDR", True, False, True, viewing)[1])

    return np.array([error(x, y) for x, y in zip(a, b, strict=True)])


def lightness_error(a: Pictures, b: Pictures) -> Floats:
    """Mean over boxes of the difference in OKLab's lightness, times 100."""
    difference: Floats = _boxes(a)[..., 0] - _boxes(b)[..., 0]
    return np.asarray(100 * np.abs(difference).mean(axis=(1, 2)))


def chroma_error(a: Pictures, b: Pictures) -> Floats:
    """Mean over boxes of the distance in OKLab's chroma, times 100."""
    difference: Floats = (_boxes(a) - _boxes(b))[..., 1:]
    return np.asarray(100 * np.sqrt((difference**2).sum(-1)).mean(axis=(1, 2)))


def _boxes(pictures: Pictures) -> Floats:
    """Mean colours of boxes, in OKLab; boxes at the right and at the bottom may be smaller."""
    height, width = pictures.shape[1:3]
    rows, columns = (np.arange(0, side, _BLOCK) for side in (height, width))
    sums = np.add.reduceat(pictures.astype(np.float64), rows, axis=1)
    sums = np.add.reduceat(sums, columns, axis=2)
    areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    srgb = sums / areas[:, :, None] / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ TO_CONES.T) @ TO_OKLAB.T)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("ssim", "SSIM", ssim, 4),
        Metric("psnr", "PSNR", psnr, 2),
        Metric("psnr_hvs_m", "PSNR-HVS-M", psnr_hvs_m, 2),
        Metric("flip", "FLIP", flip, 4, less_is_better=True),
        Metric("chroma", "chroma error", chroma_error, 3, less_is_better=True),
        Metric("lightness", "lightness error", lightness_error, 3, less_is_better=True),
    )
}
"""By name, in the order of the tables."""


def versions() -> dict[str, str]:
    """Versions of the packages used."""
    return {package: metadata.version(package) for package in ("psnr-hvsm", "flip-evaluator")}
