"""Opens a published model folder and believes nothing that its hashes do not confirm.

A folder holds ``manifest.json``, the files that the manifest lists with their SHA-256, and a model
card for people. The only module of the codec that reads the disk. See docs/artifact.md.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import MAX_BITSTREAM_ID
from thumbstream.codec.manifest import exactly, manifest_errors, positive
from thumbstream.errors import ArtifactError

FORMAT = 1
"""Version of the folder's layout."""
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StateTensor:
    """One tensor that a recurrent network hands from an iteration to the next."""

    name: str
    channels: int
    scale: int
    """Its height and width, in multiples of the grid of cells."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A published model, read and verified."""

    model_id: str
    family: str
    bitstream_id: int
    stride: int
    """Pixels per cell."""
    files: dict[str, bytes]
    manifest: dict[str, Any]
    """The whole manifest, with the family's own keys (`layouts`), training and measurements."""

    def file(self, name: str) -> bytes:
        """The content of a file of the folder; raises `ArtifactError`."""
        if name not in self.files:
            raise ArtifactError(f"{self.model_id}: the manifest lists no {name}")
        return self.files[name]

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of an ``.npz`` file of the folder; raises `ArtifactError`."""
        data = io.BytesIO(self.file(name))
        try:
            with np.load(data, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise ArtifactError(f"{self.model_id}: cannot read {name}: {error}") from error
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ArtifactError(f"{self.model_id}: {name} holds something that is no array")
        return arrays


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone; raises `ArtifactError`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder.name}: no readable {MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder.name}: this version reads model folders of format {FORMAT}")
    return manifest


def open_artifact(folder: Path) -> Artifact:
    """Read ``folder`` whole and check every hash; raises `ArtifactError`."""
    manifest = read_manifest(folder)
    with manifest_errors(folder.name):
        files = {
            name: _read_verified(folder / _plain_name(name), entry["sha256"], entry["bytes"])
            for name, entry in manifest["files"].items()
        }
        artifact = Artifact(
            model_id=exactly(str, manifest["model_id"]),
            family=exactly(str, manifest["family"]),
            bitstream_id=exactly(int, manifest["bitstream_id"]),
            stride=positive(manifest["stride"]),
            files=files,
            manifest=manifest,
        )
    if not 0 <= artifact.bitstream_id <= MAX_BITSTREAM_ID:
        raise ArtifactError(f"{folder.name}: bitstream id {artifact.bitstream_id} is out of range")
    return artifact


def _plain_name(name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise ArtifactError(f"{name!r} is not a plain file name")
    return name


def _read_verified(path: Path, sha256: str, size: int) -> bytes:
    if not 0 < size <= MAX_FILE_BYTES:
        raise ArtifactError(f"{path.name}: {size} bytes is not a size this version opens")
    try:
        with path.open("rb") as file:
            data = file.read(size + 1)
    except OSError as error:
        raise ArtifactError(f"{path.name}: {error.strerror}") from error
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path.name}: the content is not what the manifest says")
    return data
