"""Model folders for tests: a small one for `open_artifact` only, and copies of published ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

Change = Callable[[dict[str, Any]], object]

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"
FILES = {
    "analysis.onnx": b"the first network",
    "synthesis.onnx": b"the second",
    "entropy.npz": b"x",
}


def entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def state(name: str) -> dict[str, Any]:
    return {"name": name, "channels": 4, "scale": 1}


COMMON: dict[str, Any] = {
    "format": 1,
    "model_id": "small",
    "bitstream_id": 3,
    "stride": 8,
    "files": {name: entry(data) for name, data in FILES.items()},
    "training": {},
    "measured": {},
}
ITERATIVE: dict[str, Any] = {
    "family": "conv_lstm",
    "planes": 2,
    "iterations": 3,
    "reconstruction": "one_shot",
    "weights": "shared",
    "cell_stops": False,
    "residual_gains": [1.0, 2.0, 2.5],
    "states": {"analysis": [state("h"), state("c")], "synthesis": [state("h1")]},
}
LAPPED: dict[str, Any] = {"family": "lapped", "groups": [1, 2, 3], "planes": 8, "look": 5}


def small_folder(
    folder: Path,
    change: Change = lambda manifest: None,
    family: dict[str, Any] | None = None,
) -> Path:
    """A complete folder without real networks; ``change`` edits the manifest in place.

    ``family``: the family's keys, by default `ITERATIVE`.
    """
    manifest = deepcopy({**COMMON, **(family or ITERATIVE)})
    change(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def copied_folder(
    model_id: str,
    folder: Path,
    change: Change = lambda manifest: None,
    contents: dict[str, bytes] | None = None,
) -> Path:
    """A copy of a published model with new ``contents``, whose hashes are updated."""
    shutil.copytree(ZOO / model_id, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, data in (contents or {}).items():
        (folder / name).write_bytes(data)
        manifest["files"][name] = entry(data)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def open_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))
