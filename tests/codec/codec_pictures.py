"""Synthetic pictures that resemble photographs at the size of a thumbnail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbstream.errors import IngestError
from thumbstream.images import thumbnail

PICTURES = "THUMBSTREAM_PICTURES"
"""Environment variable with a folder of real pictures to test on as well."""

Pixels = NDArray[np.uint8]


def photo_like(seed: int, height: int, width: int) -> Pixels:
    """``(height, width, 3)``: light with a 1/f spectrum, a few objects with edges, some noise.

    Channels follow one luminance, as those of photographs do.
    """
    rng = np.random.default_rng((20240611, seed))
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / max(height, width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    amplitude = 1 / np.maximum(frequency, 1 / max(height, width)) ** 1.5
    noise = rng.normal(size=(2, height, width))
    texture = np.fft.ifft2(np.fft.fft2(noise) * amplitude).real
    texture /= texture.std() + 1e-6
    slope = rng.uniform(-1, 1, 2)
    luminance = 120 + 35 * texture[0] + 60 * (slope[0] * (x - 0.5) + slope[1] * (y - 0.5))
    tint, drift = rng.normal(0, 14, 3), rng.normal(0, 9, 3)
    picture = luminance[..., None] + tint + drift * texture[1][..., None]
    for _ in range(rng.integers(1, 5)):
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
        centre, radius = rng.uniform(0.1, 0.9, 2), rng.uniform(0.08, 0.3)
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
        inside &= np.cos(angle) * (x - centre[0]) + np.sin(angle) * (y - centre[1]) < offset + 0.2
        picture[inside] = 0.35 * picture[inside] + 0.65 * rng.uniform(10, 245, 3)
    picture += rng.normal(0, 2, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def cut_out(seed: int, height: int, width: int) -> Pixels:
    """A photograph in a disc with a soft edge; around it, invisible noise."""
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot(y - height / 2, x - width / 2) - min(height, width) / 3
    alpha = np.clip(np.rint(255 * (0.5 - distance / 3)), 0, 255).astype(np.uint8)
    colours = photo_like(seed, height, width)
    noise = np.random.default_rng(seed).integers(0, 256, colours.shape)
    colours = np.where(alpha[..., None] > 0, colours, noise).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], -1)


def real_pictures(size: int, most: int) -> list[Pixels]:
    """Up to ``most`` pictures of the folder named by `PICTURES`, on the grid; none if unset."""
    folder = os.environ.get(PICTURES)
    if not folder:
        return []
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    pictures = []
    for path in files[:: max(1, len(files) // most)][:most]:
        try:
            with path.open("rb") as file:
                pictures.append(thumbnail(file, size).pixels)
        except IngestError:
            continue  # a folder of pictures may hold other files
    return pictures


def psnr(x: Pixels, x_hat: Pixels) -> float:
    """Decibels over all samples, at most 60."""
    mse = float(np.mean((x.astype(float) - x_hat.astype(float)) ** 2))
    return float(10 * np.log10(255**2 / max(mse, 255**2 / 1e6)))
