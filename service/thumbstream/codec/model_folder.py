"""Reads a published model folder and verifies its files.

A model folder contains ``manifest.json``, the files that the manifest lists with length and
SHA-256, and a model card, which is not read. This is the only module of the codec that reads files.
Its three parts are the readers of the folder, strict readers of manifest values (``require_*``),
and the checks that the entropy tables of every family must pass. See docs/model-folder.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import MAX_BITSTREAM_ID
from thumbstream.codec.range_coder import PROBABILITY_BITS
from thumbstream.errors import ArtifactError

FORMAT = 1
"""Supported version of the folder layout, the manifest's ``format``."""
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 64 << 20
"""Limit of the length of a file, and of the arrays of an ``.npz`` file together."""

MAX_EXACT_INTEGER = 1 << 24
"""float32 represents every integer up to this limit; sums of a context model must stay below it."""
HIDDEN_MAX = 255
"""Hidden units of a context model are clipped to 0 .. this value."""
LOGIT_SHIFT = 3
"""Right shift from a logit of the iterative context model to an index into the probability table,
relative to the table's middle."""
TABLE_SIZE = 2048
"""Number of entries of the probability table; the middle entry is for a logit of 0."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StateTensor:
    """A tensor that a recurrent network passes from one iteration to the next."""

    name: str
    channels: int
    scale: int
    """Rows and columns of the tensor per row and column of the grid of cells."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Manifest and files of a published model, already verified."""

    model_id: str
    family: str
    bitstream_id: int
    stride: int
    """Pixels per side of a cell."""
    files: dict[str, bytes]
    """Content of every file that the manifest lists, by name."""
    manifest: dict[str, Any]
    """The complete manifest, including keys of the family, training and measurements."""

    def file(self, name: str) -> bytes:
        """Return the content of the file ``name``; raises `ArtifactError` if it is not listed."""
        if name not in self.files:
            raise ArtifactError(f"{self.model_id}: the manifest lists no {name}")
        return self.files[name]

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of the ``.npz`` file ``name``, by key; raises `ArtifactError`."""
        data = io.BytesIO(self.file(name))
        try:
            with np.load(data, allow_pickle=False) as archive:
                size = sum(member.file_size for member in archive.zip.infolist())
                if size > MAX_FILE_BYTES:
                    raise ValueError(f"{size} bytes of arrays; expected {MAX_FILE_BYTES} at most")
                arrays = {key: archive[key] for key in archive.files}
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise ArtifactError(f"{self.model_id}: cannot read {name}: {error}") from error
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ArtifactError(f"{self.model_id}: {name} contains an entry that is not an array")
        return arrays


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of ``folder`` without verifying other files; raises `ArtifactError`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder.name}: no readable {MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder.name}: this version reads model folders of format {FORMAT}")
    return manifest


def open_artifact(folder: Path) -> Artifact:
    """Read every file that the manifest of ``folder`` lists and verify its length and SHA-256.

    Raises `ArtifactError`.
    """
    manifest = read_manifest(folder)
    with manifest_errors(folder.name):
        files = {
            name: _read_verified(folder / _plain_name(name), entry["sha256"], entry["bytes"])
            for name, entry in manifest["files"].items()
        }
        artifact = Artifact(
            model_id=require_type(str, manifest["model_id"]),
            family=require_type(str, manifest["family"]),
            bitstream_id=require_type(int, manifest["bitstream_id"]),
            stride=require_positive(manifest["stride"]),
            files=files,
            manifest=manifest,
        )
    if not 0 <= artifact.bitstream_id <= MAX_BITSTREAM_ID:
        raise ArtifactError(
            f"{folder.name}: bitstream id {artifact.bitstream_id} is not in 0..{MAX_BITSTREAM_ID}"
        )
    return artifact


def _plain_name(name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise ArtifactError(f"{name!r} is not a plain file name")
    return name


def _read_verified(path: Path, sha256: str, size: int) -> bytes:
    if not 0 < size <= MAX_FILE_BYTES:
        raise ArtifactError(
            f"{path.name}: the manifest says {size} bytes; expected 1 to {MAX_FILE_BYTES}"
        )
    try:
        with path.open("rb") as file:
            data = file.read(size + 1)
    except OSError as error:
        raise ArtifactError(f"{path.name}: {error.strerror}") from error
    if len(data) != size:
        raise ArtifactError(f"{path.name}: its length differs from the manifest ({size} bytes)")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path.name}: SHA-256 mismatch with the manifest")
    return data


# Readers of manifest values. They are strict: strings, floats and booleans are never converted.


@contextmanager
def manifest_errors(name: str) -> Iterator[None]:
    """Convert exceptions that an invalid manifest causes in the body to `ArtifactError`.

    ``name``: the model or folder that the error message names.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{name}: invalid manifest: {error!r}") from error


def require_type(kind: type[T], value: object) -> T:
    """Return ``value`` if its type is exactly ``kind``, else raise `TypeError`."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value


def require_positive(value: object) -> int:
    """Return ``value`` if it is an integer >= 1, else raise `TypeError` or `ValueError`."""
    if (number := require_type(int, value)) < 1:
        raise ValueError(f"expected an integer of at least 1, got {number}")
    return number


def require_positive_float(value: object) -> float:
    """Return an int or float ``value`` as a float if it is finite and above 0.

    Raises `TypeError`, `ValueError` or `OverflowError` for other values.
    """
    number = float(value) if type(value) is int else require_type(float, value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"expected a finite number above 0, got {number}")
    return number


def require_choice(choices: tuple[str, ...], value: object) -> str:
    """Return ``value`` if it is one of ``choices``, else raise `TypeError` or `ValueError`."""
    if (name := require_type(str, value)) not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}, got {name!r}")
    return name


def require_list(read: Callable[[object], T], value: object) -> tuple[T, ...]:
    """Apply ``read`` to every element of the list ``value``.

    Raises `TypeError` if ``value`` is not a list, and the exceptions of ``read``.
    """
    return tuple(read(element) for element in require_type(list, value))


# Checks of entropy tables. The context models of both families rely on them for exact float32
# arithmetic.


def validate_tables(
    tables: Mapping[str, NDArray[np.generic]], types: Mapping[str, np.dtype[Any]]
) -> list[NDArray[np.int64]]:
    """Return the tables named in ``types``, in this order, converted to int64.

    Raises `ArtifactError` if a table is missing, if its type differs from ``types``, or if the
    table ``probability`` has a wrong shape or a value outside 1 .. 2^16 - 1.
    """
    for name, dtype in types.items():
        if name not in tables:
            raise ArtifactError(f"entropy table {name!r} is missing")
        if tables[name].dtype != dtype:
            raise ArtifactError(f"entropy table {name}: expected {dtype}, got {tables[name].dtype}")
    probability = tables["probability"]
    if probability.shape != (TABLE_SIZE,):
        raise shape_error()
    if probability.min() < 1 or probability.max() >= 1 << PROBABILITY_BITS:
        raise ArtifactError("entropy table probability contains zero or one")
    return [tables[name].astype(np.int64) for name in types]


def shape_error() -> ArtifactError:
    """Return the error to raise for tables whose shapes contradict each other."""
    return ArtifactError("the shapes of the entropy tables do not match")


def check_accumulator_range(*largest: int) -> None:
    """Raise `ArtifactError` if a sum may not be exact in float32.

    ``largest``: the largest possible magnitudes of the sums.
    """
    if max(largest) >= MAX_EXACT_INTEGER:
        raise ArtifactError("the entropy tables allow sums that are not exact in float32")
