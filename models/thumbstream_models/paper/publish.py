"""A checkpoint to a published model, step by step: ``thumbstream-models publish``.

load -> useful iterations -> half precision -> codes of training pictures -> fit the context model
-> ONNX -> parity -> folder -> measure real streams of held-out pictures -> manifest and model card.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from thumbstream.codec.base import open_codec
from thumbstream_models.evaluate import metrics
from thumbstream_models.paper import entropy_fit as entropy
from thumbstream_models.paper import export, train
from thumbstream_models.paper import model_card as card
from thumbstream_models.training import artifacts, data, runs
from thumbstream_models.training.config import DataConfig

CODE_SIZES = (32, 64)
"""Sides of the pictures that the context model is fitted on, in pixels."""
BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Bytes at which the held-out pictures are measured."""
_CODE_BATCH = 64


def publish(
    checkpoint: Path,
    sources: list[Path],
    zoo: Path,
    *,
    pictures: int,
    entropy_steps: int,
    notes: str,
    sources_text: str,
) -> Path:
    """Write ``zoo/<model-id>`` anew and return it.

    ``pictures`` crops fit the context model in ``entropy_steps`` steps an iteration; ``notes`` and
    ``sources_text`` go into the model card. Raises `ValueError` when ONNX Runtime and PyTorch
    disagree, or the pictures are too small.
    """
    device = torch.device("cpu")
    run = train.restore(checkpoint, device)
    run.net.load_state_dict(run.ema)
    run.net.eval()
    config = run.config
    loaded = data.load(sources, config.data)
    held_out = data.validation_batch(loaded.validation, config.data.size)
    iterations = useful_iterations(run, held_out)
    run.net.keep_iterations(iterations)
    export.round_weights(run.net)
    codes = [
        entropy.codes_of(
            run.net,
            _crops(loaded.training, config.data, size, count),
            iterations,
        )
        for size, count in _share(pictures, _sides(loaded.training))
    ]
    tables, bits_per_code = entropy.fit(codes, steps=entropy_steps)
    files = export.to_onnx(run.net)
    difference = export.parity(run.net, files, iterations)
    if difference > export.PARITY_TOLERANCE:
        raise ValueError(f"ONNX Runtime and PyTorch differ by {difference:.2g}")
    files["entropy.npz"] = artifacts.npz_bytes(tables)
    folder = emptied(zoo / config.model_id)
    manifest = artifacts.write_folder(
        folder,
        run,
        files,
        {
            "parity": float(f"{difference:.2g}"),
            "bits_per_code": [round(b, 4) for b in bits_per_code],
        },
        commit=runs.commit_hash(),
        pictures=len(loaded.training),
    )
    manifest["measured"]["held_out"] = measure(folder, held_out)
    artifacts.write_manifest(folder, manifest)
    (folder / "MODEL_CARD.md").write_text(
        card.model_card(manifest, notes, sources_text), encoding="utf-8"
    )
    return folder


def emptied(folder: Path) -> Path:
    """The same folder, without what was published there before."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder


@torch.no_grad()
def useful_iterations(run: train.Run, pictures: NDArray[np.uint8]) -> int:
    """Iterations after which the mean PSNR of ``pictures`` is highest.

    More bytes must not cost quality, and the last iterations are the ones trained least.
    """
    x = runs.to_tensor(pictures, torch.device("cpu"))
    _, reconstructions = run.net(x, run.config.model.iterations)
    quality = [metrics.psnr(pictures, runs.to_pixels(x_hat)).mean() for x_hat in reconstructions]
    return int(np.argmax(quality)) + 1


def _sides(pictures: list[NDArray[np.uint8]]) -> list[int]:
    """Those of `CODE_SIZES` that some picture is large enough for."""
    largest = max(min(pixels.shape[:2]) for pixels in pictures)
    sides = [size for size in CODE_SIZES if size <= largest]
    if not sides:
        raise ValueError(f"the context model needs pictures of {min(CODE_SIZES)} pixels or more")
    return sides


def _share(pictures: int, sides: list[int]) -> list[tuple[int, int]]:
    """Side and number of crops: as many cells of every size."""
    smallest = min(sides)
    return [(size, max(1, pictures * smallest**2 // size**2)) for size in sides]


def _crops(
    pictures: list[NDArray[np.uint8]], config: DataConfig, size: int, count: int
) -> Iterator[Tensor]:
    """Batches of training crops of ``size`` pixels, from pictures that are large enough."""
    config = dataclasses.replace(config, size=size, window=0)
    large = [pixels for pixels in pictures if min(pixels.shape[:2]) >= size]
    steps = range(-(-count // _CODE_BATCH))
    bar = tqdm(steps, unit="batch", desc=f"codes at {size} pixels")
    batches = data.prefetched_batches(large, config, _CODE_BATCH, size, steps)
    for batch, _ in zip(batches, bar, strict=True):
        yield runs.to_tensor(batch, torch.device("cpu")).contiguous(
            memory_format=torch.channels_last
        )


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
