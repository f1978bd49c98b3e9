"""Writes the folder of a published model: graphs, integer tables and their manifest.

The fields of the manifest are defined in docs/model-folder.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thumbstream.codec.model_folder import FORMAT, MANIFEST
from thumbstream_models.training import runs

BITSTREAM_IDS = {
    "conv-lstm-1": 0,
    "fc-residual-1": 1,
    "fc-residual-shared-1": 2,
    "fc-lstm-1": 3,
    "conv-autoencoder-1": 4,
    "conv-residual-1": 5,
    "conv-residual-shared-1": 6,
    "thumbstream-2": 8,
}
"""Bitstream id of every published model: written on the wire, never reused (docs/bitstream.md)."""


def npz_bytes(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """``arrays`` as a compressed ``.npz`` file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def common_fields(
    model_id: str, family: str, stride: int, files: dict[str, bytes]
) -> dict[str, Any]:
    """The fields of every manifest; ``stride`` is the side of a cell in pixels."""
    return {
        "format": FORMAT,
        "model_id": model_id,
        "family": family,
        "bitstream_id": BITSTREAM_IDS[model_id],
        "stride": stride,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
    }


def training_fields(
    run: runs.Run[Any, Any], *, commit: str, pictures: int, parameters: int
) -> dict[str, Any]:
    """The manifest's section ``training``; ``pictures`` and ``parameters`` are counts."""
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


def write_folder(folder: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the files and the manifest of a published model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def empty_folder(folder: Path) -> Path:
    """Remove what was published in ``folder`` before; returns ``folder``."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder
