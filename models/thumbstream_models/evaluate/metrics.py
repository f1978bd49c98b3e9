"""Distortion between a picture and a decoded one: four metrics.

SSIM and PSNR are defined in `thumbstream.codec.quality`. PSNR-HVS-M (Ponomarenko et al. 2007, over
luminance) weighs the errors of 8 x 8 DCT blocks by contrast sensitivity and masking. FLIP
(Andersson et al. 2020) is the mean difference seen when alternating between the two pictures at a
known distance: contrast sensitivity, color differences, edges and points. It is defined for every
pixel and size, while most perceptual metrics need pyramids that thumbnails are too small for, and
it needs no weights.
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

__all__ = ["METRICS", "Metric", "flip", "psnr", "psnr_hvs_m", "ssim", "versions"]

Pictures = NDArray[np.uint8]
"""``(..., H, W, 3)``."""
Floats = NDArray[np.float64]

THUMBNAIL_DEGREES = 4
"""Viewing width of a thumbnail of any size: about 5 cm on a desktop screen."""
_BLOCK = 8
_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as in JPEG."""


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


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("ssim", "SSIM", ssim, 4),
        Metric("psnr", "PSNR", psnr, 2),
        Metric("psnr_hvs_m", "PSNR-HVS-M", psnr_hvs_m, 2),
        Metric("flip", "FLIP", flip, 4, less_is_better=True),
    )
}
"""By name, in the order of the tables."""


def versions() -> dict[str, str]:
    """Versions of the packages used."""
    return {package: metadata.version(package) for package in ("psnr-hvsm", "flip-evaluator")}
