"""Publishes a checkpoint of the second edition: ``thumbstream-models publish``.

load -> round weights -> latents of training crops -> fit the integer tables -> ONNX -> parity ->
folder -> measure real streams of held-out pictures -> manifest and model card.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thumbstream.codec.lapped.params import CLASSES, SIDE, UNIT_PLANE, LappedParams
from thumbstream_models.evaluate import held_out
from thumbstream_models.lapped import (
    card,
    client_file,
    context_fit,
    graphs,
    look_fit,
    quantisation,
)
from thumbstream_models.lapped.client_packing import packed
from thumbstream_models.lapped.config import FAMILY, LappedConfig
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.training import Run, restore
from thumbstream_models.training import crops, model_writer, runs
from thumbstream_models.training.onnx_export import PARITY_TOLERANCE

PLANES = 48
LOOK = UNIT_PLANE + int(CLASSES * quantisation.FIRST_LOOK_DEPTH) + 1
"""Planes of group 0 that come before all others."""
CLIENT_LIMIT = 150_000
"""Of the bytes that a browser fetches, without code."""
MEASURED = {32: 256, 64: 64}
"""Held-out pictures by size."""
_BATCH = 64

Arrays = dict[str, NDArray[np.generic]]


def publish(
    checkpoint: Path, sources: list[Path], zoo: Path, *, notes: str, sources_text: str
) -> Path:
    """Replace the folder ``zoo/<model-id>`` and return it.

    Raises `ValueError` when ONNX Runtime and PyTorch disagree, and when a client would have to
    fetch too much.
    """
    run = load_rounded(checkpoint)
    files = graphs.to_onnx(run.net, run.config.distortion)
    difference = graphs.parity(run.net, run.config.distortion, files)
    if difference > PARITY_TOLERANCE:
        raise ValueError(f"ONNX Runtime and PyTorch differ by {difference:.2g}")
    stored = stored_crops(sources, run.config)
    look, contexts = fit_tables(run, stored)
    arrays = {"linear": graphs.linear_arrays(run.net), "look": look, "contexts": contexts}
    client = client_file.client_from(params_of(run.config), arrays, files["synthesis.onnx"])
    fetched = len(packed(client_file.sections(client)))
    if fetched > CLIENT_LIMIT:
        raise ValueError(f"a client would fetch {fetched} bytes; the limit is {CLIENT_LIMIT}")
    files |= {f"{name}.npz": model_writer.npz_bytes(array) for name, array in arrays.items()}
    folder = model_writer.empty_folder(zoo / run.config.model_id)
    pictures = len(stored[0].training) // run.config.crops.per_picture[0]
    manifest = manifest_of(run, files, pictures)
    manifest["measured"] = {"parity": float(f"{difference:.2g}"), "client_bytes": fetched}
    model_writer.write_folder(folder, manifest, files)
    for size, crop in zip(run.config.crops.sizes, stored, strict=True):
        if size in MEASURED:
            name = "held_out" if size == min(MEASURED) else f"held_out_{size}px"
            pixels = crop.validation[: MEASURED[size]]
            manifest["measured"][name] = held_out.measure(folder, pixels)
    model_writer.write_manifest(folder, manifest)
    text = card.model_card(manifest, notes, sources_text)
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    return folder


def load_rounded(checkpoint: Path) -> Run:
    """A run with the averaged and rounded weights of a checkpoint."""
    run = restore(checkpoint, torch.device("cpu"))
    run.net.load_state_dict(run.ema)
    run.net.eval()
    graphs.round_weights(run.net)
    return run


def params_of(config: LappedConfig) -> LappedParams:
    """Parameters of the published model."""
    return LappedParams(groups=config.model.groups, planes=PLANES, look=LOOK)


def stored_crops(sources: list[Path], config: LappedConfig) -> list[crops.Crops]:
    """The crops of the training, of all sizes."""
    return [
        crops.load(sources, dataclasses.replace(config.data, size=size), per_picture=count)
        for size, count in zip(config.crops.sizes, config.crops.per_picture, strict=True)
    ]


def fit_tables(run: Run, stored: Sequence[crops.Crops]) -> tuple[Arrays, Arrays]:
    """Integer tables of the first look and of the context model, of a `load_rounded` run."""
    config, params = run.config, params_of(run.config)
    latents = list(training_latents(run, stored))
    look = look_fit.fit([y[:, : params.first] for y in latents], params, config.contexts)
    contexts = context_fit.fit(
        latents, params, config.contexts, config.model.rate_hidden, config.model.rate_middle
    )
    axes = run.net.linear.axes.numpy().astype(np.int8)
    return {**look.tables(), "axes": axes}, contexts.tables()


def training_latents(run: Run, stored: Sequence[crops.Crops]) -> list[Tensor]:
    """Latents of random crops of each size, with as many cells where there are enough."""
    rng, config = np.random.default_rng(run.config.contexts.seed), run.config
    first = config.crops.sizes[0]
    out = []
    for size, crop in zip(config.crops.sizes, stored, strict=True):
        count = config.contexts.pictures * first**2 // size**2
        count = min(count, len(crop.training))
        chosen = np.sort(rng.choice(len(crop.training), count, replace=False))
        out.append(latents_of(run.net, np.array(crop.training[chosen]), run.precision))
    return out


@torch.no_grad()
def latents_of(net: Transform, pixels: NDArray[np.uint8], precision: str) -> Tensor:
    """Scaled latents of pictures ``(B, H, W, 3)``, on the CPU."""
    parts = np.array_split(pixels, max(1, len(pixels) // _BATCH))
    cpu = torch.device("cpu")
    batches = (runs.to_tensor(part, cpu) for part in parts)
    return torch.cat([net.latents(x, net.rotations(x), precision) for x in batches])


def manifest_of(run: Run, files: dict[str, bytes], pictures: int) -> dict[str, Any]:
    """The manifest without what is measured."""
    networks = {"analysis": run.net.analysis, "synthesis": run.net.synthesis}
    parameters = {
        name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
    }
    return {
        **model_writer.common_fields(run.config.model_id, FAMILY, SIDE, files),
        "groups": list(run.config.model.groups),
        "planes": PLANES,
        "look": LOOK,
        "training": model_writer.training_fields(
            run,
            commit=runs.commit_hash(),
            pictures=pictures,
            parameters=sum(parameters.values()),
        )
        | {f"{name}_parameters": count for name, count in parameters.items()},
    }
