"""Quality of a published model on the held-out pictures of its training: real streams, cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from thumbstream.codec.base import open_codec
from thumbstream_models.evaluate import metrics

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Bytes at which the held-out pictures are measured."""


def measure(folder: Path, pictures: NDArray[np.uint8]) -> dict[str, Any]:
    """Mean PSNR and SSIM of the folder's real streams, cut at `BUDGETS`, headers counted."""
    codec = open_codec(folder, device="cpu")
    streams = [codec.encode(pixels) for pixels in tqdm(pictures, unit="picture", desc="encode")]
    points = []
    for budget in tqdm(BUDGETS, unit="budget", desc="measure"):
        decoded = np.stack([codec.decode(stream[:budget]) for stream in streams])
        points.append(
            {
                "bytes": budget,
                "psnr": round(float(metrics.psnr(pictures, decoded).mean()), 3),
                "ssim": round(float(metrics.ssim(pictures, decoded).mean()), 4),
            }
        )
    return {
        "pictures": len(pictures),
        "size": list(pictures.shape[1:3]),
        "mean_length": round(float(np.mean([len(stream) for stream in streams])), 1),
        "points": points,
    }
