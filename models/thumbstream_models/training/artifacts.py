"""Writes a published model folder: graphs, integer tables and the manifest that vouches for them.

What the keys mean: docs/artifact.md. The model card is written by `card`.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thumbstream.codec.model_folder import FORMAT, MANIFEST, StateTensor
from thumbstream_models.paper import export, networks
from thumbstream_models.paper.train import Run
from thumbstream_models.training import runs

BITSTREAM_IDS = {
    "conv-lstm-1": 0,
    "fc-residual-1": 1,
    "fc-residual-shared-1": 2,
    "fc-lstm-1": 3,
    "conv-autoencoder-1": 4,
    "conv-residual-1": 5,
    "conv-residual-shared-1": 6,
    "thumbstream-1": 7,
}
"""Bitstream id of every published model: written on the wire, never reused (docs/bitstream.md)."""


def npz_bytes(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """``arrays`` as a compressed ``.npz`` file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _states(states: tuple[StateTensor, ...]) -> list[dict[str, Any]]:
    return [{"name": s.name, "channels": s.channels, "scale": s.scale} for s in states]


def common(model_id: str, family: str, files: dict[str, bytes]) -> dict[str, Any]:
    """What every manifest says, whatever the family."""
    return {
        "format": FORMAT,
        "model_id": model_id,
        "family": family,
        "bitstream_id": BITSTREAM_IDS[model_id],
        "stride": networks.STRIDE,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
    }


def trained(
    run: runs.Run[Any, Any], *, commit: str, pictures: int, parameters: int
) -> dict[str, Any]:
    """What a manifest says about the training."""
    return {
        "config": run.config.to_dict(),
        "commit": commit,
        "data_sha256": run.data_sha256,
        "pictures": pictures,
        "steps": run.step,
        "hours": round(run.seconds / 3600, 2),
        "parameters": parameters,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "curve": run.curve,
    }


def write(folder: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write a published folder, all but the model card."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest alone."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_folder(
    folder: Path,
    run: Run,
    files: dict[str, bytes],
    measured: dict[str, Any],
    *,
    commit: str,
    pictures: int,
) -> dict[str, Any]:
    """Write the folder of one of the paper's systems and return its manifest."""
    config, net = run.config, run.net
    manifest: dict[str, Any] = {
        **common(config.model_id, config.model.family, files),
        "paper": "arXiv 1511.06085",
        "planes": config.model.code_planes,
        "iterations": net.iterations,
        "reconstruction": config.model.reconstruction,
        "weights": "per_stage" if export.per_stage(net) else "shared",
        "cell_stops": config.model.family in networks.PATCH_FAMILIES,
        "residual_gains": net.residual_gain.gain.tolist(),
        "states": {
            "analysis": _states(net.encoder.states),
            "synthesis": _states(net.decoder.states),
        },
        "training": trained(
            run,
            commit=commit,
            pictures=pictures,
            parameters=sum(p.numel() for p in net.parameters()),
        ),
        "measured": measured,
    }
    write(folder, manifest, files)
    return manifest
