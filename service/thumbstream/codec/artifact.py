"""Opens a published model folder and believes nothing that its hashes do not confirm.

A folder holds ``manifest.json``, the files that the manifest lists with their SHA-256, and a model
card for people. The only module of the codec that reads the disk. See docs/artifact.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import MAX_BITSTREAM_ID
from thumbstream.codec.errors import ArtifactError

FORMAT = 1
"""Version of the folder's layout."""
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 64 << 20
NETWORKS = ("analysis", "synthesis")
"""The two transforms of every model."""
RECONSTRUCTIONS = ("one_shot", "additive")
"""Each iteration draws the whole picture anew, or adds to what is drawn."""
WEIGHTS = ("shared", "per_stage")
"""One network for all iterations, or one for each."""

T = TypeVar("T")


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
    planes: int
    """Codes per cell and iteration."""
    iterations: int
    reconstruction: str
    """One of `RECONSTRUCTIONS`."""
    weights: str
    """One of `WEIGHTS`."""
    cell_stops: bool
    """Whether cells are coded independently and may stop before the last iteration."""
    residual_gains: tuple[float, ...]
    """Factor on the residual of each iteration before it enters the analysis network; an additive
    reconstruction divides by it again."""
    states: dict[str, tuple[StateTensor, ...]]
    """State tensors of each network, in the order of its inputs; none where nothing is carried."""
    files: dict[str, bytes]
    manifest: dict[str, Any]
    """The whole manifest, with training and measurements."""

    def network(self, name: str, iteration: int) -> bytes:
        """The ONNX file of one of `NETWORKS` in an iteration; raises `ArtifactError`."""
        stage = f"-{iteration:02d}" if self.weights == "per_stage" else ""
        return self.file(f"{name}{stage}.onnx")

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
    try:
        files = {
            name: _read_verified(folder / _plain_name(name), entry["sha256"], entry["bytes"])
            for name, entry in manifest["files"].items()
        }
        artifact = Artifact(
            model_id=_exactly(str, manifest["model_id"]),
            family=_exactly(str, manifest["family"]),
            bitstream_id=_exactly(int, manifest["bitstream_id"]),
            stride=_positive(manifest["stride"]),
            planes=_positive(manifest["planes"]),
            iterations=_positive(manifest["iterations"]),
            reconstruction=_one_of(RECONSTRUCTIONS, manifest["reconstruction"]),
            weights=_one_of(WEIGHTS, manifest["weights"]),
            cell_stops=_exactly(bool, manifest["cell_stops"]),
            residual_gains=tuple(_gain(gain) for gain in manifest["residual_gains"]),
            states={
                network: tuple(_state(**state) for state in manifest["states"][network])
                for network in NETWORKS
            },
            files=files,
            manifest=manifest,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{folder.name}: the manifest is wrong: {error!r}") from error
    if not 0 <= artifact.bitstream_id <= MAX_BITSTREAM_ID:
        raise ArtifactError(f"{folder.name}: bitstream id {artifact.bitstream_id} is out of range")
    if len(artifact.residual_gains) != artifact.iterations:
        raise ArtifactError(f"{folder.name}: not one residual gain per iteration")
    return artifact


def _exactly(kind: type[T], value: object) -> T:
    """``value`` itself: in a manifest "8" is no 8, 8.5 no 8 and true no 1."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _positive(value: object) -> int:
    if (number := _exactly(int, value)) < 1:
        raise ValueError(f"{number} is not positive")
    return number


def _gain(value: object) -> float:
    number = float(_exactly(int, value)) if isinstance(value, int) else _exactly(float, value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{number} is no gain: not finite and positive")
    return number


def _one_of(choices: tuple[str, ...], value: object) -> str:
    if (name := _exactly(str, value)) not in choices:
        raise ValueError(f"{name!r} is none of {', '.join(choices)}")
    return name


def _state(name: object, channels: object, scale: object) -> StateTensor:
    return StateTensor(_exactly(str, name), _positive(channels), _positive(scale))


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
