"""Scores that were measured before, a small file each, so that a stopped run goes on.

The key of an entry is a hash of all that decides the scores: the picture's samples, the budgets,
the codec with its versions (for a model, the hashes of its files), and the source text of
everything that codes, decodes and measures. Entries are never changed, only written whole or not at
all; one that was damaged is not found.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import thumbstream.codec
from thumbstream_models.evaluate import metrics, streams
from thumbstream_models.evaluate.baselines import Codec, base


def default_folder() -> Path:
    """Where the user's caches are."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "thumbstream" / "scores"


def key_of(codec: Codec, budgets: Sequence[int], scoring: str) -> str:
    """What the keys of a codec's entries have in common; ``scoring`` is the code that chooses."""
    if isinstance(codec, streams.Thumbstream):
        package = Path(inspect.getfile(thumbstream.codec)).parent
        code = [streams.__file__, *map(str, sorted(package.glob("*.py")))]
    else:
        code = [base.__file__, inspect.getfile(type(codec))]
    code += [str(metrics.__file__), inspect.getfile(metrics.ssim), scoring]
    about: dict[str, Any] = {
        "codec": codec.name,
        "versions": dict(codec.versions()),
        "measured_with": {**metrics.versions(), **base.package_versions("numpy")},
        "budgets": list(budgets),
        "code": [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in code],
        "byteorder": sys.byteorder,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class Cache:
    """Entries below a folder, which is made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder

    def get(self, common: str, pixels: NDArray[np.uint8]) -> Any:
        """What `put` was given for the same picture; None if nothing, or if it was damaged."""
        try:
            digest, _, text = self._path(common, pixels).read_text("utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return json.loads(text) if digest == hashlib.sha256(text.encode()).hexdigest() else None

    def put(self, common: str, pixels: NDArray[np.uint8], value: Any) -> None:
        """Keep a JSON value; raises `OSError`."""
        path = self._path(common, pixels)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, common: str, pixels: NDArray[np.uint8]) -> Path:
        samples = f"{common} {pixels.shape} ".encode() + pixels.tobytes()
        key = hashlib.sha256(samples).hexdigest()
        return self.folder / key[:2] / key[2:]
