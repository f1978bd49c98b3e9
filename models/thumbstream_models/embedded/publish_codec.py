"""Publishes a checkpoint of the product codec: ``thumbstream-models publish``.

load -> reorder channels -> round weights -> latents of training pictures -> fit the context model
-> ONNX -> parity -> search files -> folder -> measure real streams of held-out pictures -> manifest
and model card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thumbstream_models.embedded import (
    client_file,
    codec_card,
    context_fit,
    search_graph,
    train_codec,
    transform_graphs,
)
from thumbstream_models.embedded.codec_config import FAMILY, STRIDE, EmbeddedConfig
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.train_step import Run
from thumbstream_models.embedded.transform_networks import Transform
from thumbstream_models.evaluate import held_out
from thumbstream_models.training import data, model_writer, runs
from thumbstream_models.training.config import ConfigError
from thumbstream_models.training.onnx_export import PARITY_TOLERANCE

CLIENT_LIMIT = 150_000
"""Limit of the bytes that a browser fetches: synthesis weights and entropy tables, compressed."""
SIZES = (32, 64)
"""Sides of the pictures for the context model and for the measurement."""
_CURVATURE_CROPS = 64


def publish(
    checkpoint: Path,
    sources: list[Path],
    zoo: Path,
    *,
    tables: Path | None = None,
    notes: str,
    sources_text: str,
) -> Path:
    """Replace the folder ``zoo/<model-id>`` and return it.

    ``tables`` is an ``entropy.npz`` fitted to this checkpoint; without it the context model is
    fitted here. Raises `ValueError` when ONNX Runtime and PyTorch disagree, and
    when a client would have to fetch too much.
    """
    run, layout = load_rounded(checkpoint)
    config = run.config
    pictures = data.load(sources, config.data)
    arrays = load_tables(tables) if tables else fit_tables(run, layout, pictures.training)
    files = transform_graphs.to_onnx(run.net, layout.base_step, config.embedding.weight_bits)
    difference = transform_graphs.parity(run.net, files, layout)
    if difference > PARITY_TOLERANCE:
        raise ValueError(f"ONNX Runtime and PyTorch differ by {difference:.2g}")
    fetched = client_size(config.model_id, layout, arrays, files["synthesis.onnx"])
    if fetched > CLIENT_LIMIT:
        raise ValueError(f"a client would fetch {fetched} bytes; the limit is {CLIENT_LIMIT}")
    files["entropy.npz"] = model_writer.npz_bytes(arrays)
    files |= search_files(run, layout, pictures.training)
    folder = model_writer.empty_folder(zoo / config.model_id)
    manifest = manifest_of(run, layout, files, len(pictures.training))
    manifest["measured"] = {"parity": float(f"{difference:.2g}"), "client_bytes": fetched}
    model_writer.write_folder(folder, manifest, files)
    for size in (s for s in SIZES if s <= config.data.size):
        validation = data.validation_batch(pictures.validation, size)
        name = "held_out" if size == SIZES[0] else f"held_out_{size}px"
        manifest["measured"][name] = held_out.measure(folder, validation)
    model_writer.write_manifest(folder, manifest)
    (folder / "MODEL_CARD.md").write_text(
        codec_card.model_card(manifest, notes, sources_text), encoding="utf-8"
    )
    return folder


def load_rounded(checkpoint: Path) -> tuple[Run, Layout]:
    """Averaged and rounded weights, channels in the published order; raises `ConfigError`."""
    run, stage = train_codec.restore(checkpoint, torch.device("cpu"))
    if (layout := stage.layout) is None:
        raise ConfigError(
            f"{checkpoint} is of the transform stage: train the embedding stage on it"
        )
    run.net.load_state_dict(run.ema)
    run.net.eval()
    transform_graphs.round_weights(
        transform_graphs.in_order(run.net, layout), run.config.embedding.weight_bits
    )
    return run, layout


def fit_tables(
    run: Run, layout: Layout, pictures: list[NDArray[np.uint8]]
) -> dict[str, NDArray[np.generic]]:
    """The integer context model of a `load_rounded` run, fitted to crops of training pictures."""
    return context_fit.fit(
        training_latents(run.net, run.config, pictures), layout.published(), run.config.context
    ).tables()


def training_latents(
    net: Transform, config: EmbeddedConfig, pictures: list[NDArray[np.uint8]]
) -> list[Tensor]:
    """Latents of crops of each of the allowed `SIZES`, with equally many cells."""
    out = []
    for size in (s for s in SIZES if s <= config.data.size):
        count = config.context.pictures * SIZES[0] ** 2 // size**2
        batches = train_codec.crops(pictures, config, size, count)
        out.append(train_codec.latents_of(net, batches, torch.device("cpu")))
    return out


def load_tables(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def search_files(run: Run, layout: Layout, pictures: list[NDArray[np.uint8]]) -> dict[str, bytes]:
    """`search.onnx` and `search.npz` of a `load_rounded` run, with curvatures of training crops."""
    config = run.config.embedding
    differentiated = search_graph.Differentiated(
        run.net.synthesis, layout.base_step, config.ssim_weight
    )
    pixels = next(train_codec.crops(pictures, run.config, min(config.sizes), _CURVATURE_CROPS))
    x = runs.to_tensor(pixels, torch.device("cpu"))
    with torch.no_grad():
        latents = run.net.analysis(x)
    arrays: dict[str, NDArray[np.generic]] = {
        "curvature": search_graph.curvatures(differentiated, x, latents, layout),
        "slopes": search_graph.slopes(layout),
        "everywhere": np.isin(np.arange(layout.planes), config.searched),
    }
    return {
        "search.onnx": transform_graphs.search_graph(differentiated, config.weight_bits),
        "search.npz": model_writer.npz_bytes(arrays),
    }


def client_size(
    model_id: str, layout: Layout, tables: dict[str, NDArray[np.generic]], synthesis: bytes
) -> int:
    """Bytes of the client file of a model with this synthesis graph, including the mean color."""
    client = client_file.client_from(layout.published(), tables, synthesis)
    return len(client_file.file_of(client, model_id, bitstream_id=0))


def manifest_of(run: Run, layout: Layout, files: dict[str, bytes], pictures: int) -> dict[str, Any]:
    """The manifest without what is measured."""
    networks = {"analysis": run.net.analysis, "synthesis": run.net.synthesis}
    parameters = {
        name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
    }
    return {
        **model_writer.common_fields(run.config.model_id, FAMILY, STRIDE, files),
        "channels": len(layout.starts),
        "planes": layout.planes,
        "groups": list(layout.groups),
        "starts": list(layout.starts),
        "base_step": layout.base_step,
        "training": model_writer.training_fields(
            run,
            commit=runs.commit_hash(),
            pictures=pictures,
            parameters=sum(parameters.values()),
        )
        | {f"{name}_parameters": count for name, count in parameters.items()},
    }
