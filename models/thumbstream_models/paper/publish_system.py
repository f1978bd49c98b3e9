"""Publishes a checkpoint of a system of the paper: ``thumbstream-models publish``.

load -> useful iterations -> half precision -> codes of training pictures -> fit the context model
-> ONNX -> parity -> folder -> measure real streams of held-out pictures -> manifest and model card.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from thumbstream.codec.model_folder import StateTensor
from thumbstream_models.evaluate import held_out, metrics
from thumbstream_models.paper import entropy_fit, networks, step_graphs, system_card, train_system
from thumbstream_models.training import data, model_writer, runs
from thumbstream_models.training.config import DataConfig
from thumbstream_models.training.onnx_export import PARITY_TOLERANCE, round_to_half

CODE_SIZES = (32, 64)
"""Sides of the pictures that the context model is fitted on, in pixels."""
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
    """Replace the folder ``zoo/<model-id>`` and return it.

    ``pictures`` crops fit the context model in ``entropy_steps`` steps per iteration; ``notes`` and
    ``sources_text`` go into the model card. Raises `ValueError` when ONNX Runtime and PyTorch
    disagree, or the pictures are too small.
    """
    device = torch.device("cpu")
    run = train_system.restore(checkpoint, device)
    run.net.load_state_dict(run.ema)
    run.net.eval()
    config = run.config
    loaded = data.load(sources, config.data)
    validation = data.validation_batch(loaded.validation, config.data.size)
    iterations = useful_iterations(run, validation)
    run.net.keep_iterations(iterations)
    round_to_half(run.net)
    codes = [
        entropy_fit.codes_of(
            run.net,
            _crops(loaded.training, config.data, size, count),
            iterations,
        )
        for size, count in _share(pictures, _sides(loaded.training))
    ]
    tables, bits_per_code = entropy_fit.fit(codes, steps=entropy_steps)
    files = step_graphs.to_onnx(run.net)
    difference = step_graphs.parity(run.net, files, iterations)
    if difference > PARITY_TOLERANCE:
        raise ValueError(f"ONNX Runtime and PyTorch differ by {difference:.2g}")
    files["entropy.npz"] = model_writer.npz_bytes(tables)
    folder = model_writer.empty_folder(zoo / config.model_id)
    manifest = manifest_of(run, files, len(loaded.training))
    manifest["measured"] = {
        "parity": float(f"{difference:.2g}"),
        "bits_per_code": [round(b, 4) for b in bits_per_code],
    }
    model_writer.write_folder(folder, manifest, files)
    manifest["measured"]["held_out"] = held_out.measure(folder, validation)
    model_writer.write_manifest(folder, manifest)
    (folder / "MODEL_CARD.md").write_text(
        system_card.model_card(manifest, notes, sources_text), encoding="utf-8"
    )
    return folder


def manifest_of(run: train_system.Run, files: dict[str, bytes], pictures: int) -> dict[str, Any]:
    """The manifest without what is measured; ``pictures`` is their number in the training."""
    config, net = run.config, run.net
    return {
        **model_writer.common_fields(config.model_id, config.model.family, networks.STRIDE, files),
        "paper": "arXiv 1511.06085",
        "planes": config.model.code_planes,
        "iterations": net.iterations,
        "reconstruction": config.model.reconstruction,
        "weights": "per_stage" if step_graphs.per_stage(net) else "shared",
        "cell_stops": config.model.family in networks.PATCH_FAMILIES,
        "residual_gains": net.residual_gain.gain.tolist(),
        "states": {
            "analysis": _states(net.encoder.states),
            "synthesis": _states(net.decoder.states),
        },
        "training": model_writer.training_fields(
            run,
            commit=runs.commit_hash(),
            pictures=pictures,
            parameters=sum(p.numel() for p in net.parameters()),
        ),
    }


def _states(states: tuple[StateTensor, ...]) -> list[dict[str, Any]]:
    return [{"name": s.name, "channels": s.channels, "scale": s.scale} for s in states]


@torch.no_grad()
def useful_iterations(run: train_system.Run, pictures: NDArray[np.uint8]) -> int:
    """Iterations after which the mean PSNR of ``pictures`` is highest.

    More bytes must not reduce the quality, and the last iterations are trained least.
    """
    x = runs.to_tensor(pictures, torch.device("cpu"))
    _, reconstructions = run.net(x, run.config.model.iterations)
    quality = [metrics.psnr(pictures, runs.to_pixels(x_hat)).mean() for x_hat in reconstructions]
    return int(np.argmax(quality)) + 1


def _sides(pictures: list[NDArray[np.uint8]]) -> list[int]:
    """The `CODE_SIZES` that some picture is large enough for."""
    largest = max(min(pixels.shape[:2]) for pixels in pictures)
    sides = [size for size in CODE_SIZES if size <= largest]
    if not sides:
        raise ValueError(f"the context model needs pictures of {min(CODE_SIZES)} pixels or more")
    return sides


def _share(pictures: int, sides: list[int]) -> list[tuple[int, int]]:
    """Side and number of crops, with the same number of cells for each side."""
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
