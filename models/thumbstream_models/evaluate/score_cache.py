"""Cached scores, one small file each, from which a stopped run resumes.

The key of an entry is a hash of everything that determines the scores: the samples of the picture,
the budgets, the codec with its versions (for a model, the hashes of its files), and the source code
that encodes, decodes and measures. Writes are atomic; damaged entries count as missing.
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
    """Folder below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "thumbstream" / "scores"


def key_of(codec: Codec, budgets: Sequence[int], scoring: str) -> str:
    """Common part of the keys of a codec; ``scoring`` is the file that selects codings."""
    if isinstance(codec, (streams.Thumbstream, streams.HalfSize)):
        package = Path(inspect.getfile(thumbstream.codec)).parent
        code = [streams.__file__, *map(str, sorted(package.rglob("*.py")))]
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


class ScoreCache:
    """Entries in a folder, which the first `put` creates."""

    def __init__(self, folder: Path) -> None:
        """Entries are files below ``folder``."""
        self.folder = folder

    def get(self, common: str, pixels: NDArray[np.uint8]) -> Any:
        """The value of this picture; None if it is missing or damaged."""
        try:
            digest, _, text = self._path(common, pixels).read_text("utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return json.loads(text) if digest == hashlib.sha256(text.encode()).hexdigest() else None

    def put(self, common: str, pixels: NDArray[np.uint8], value: Any) -> None:
        """Store a JSON value; raises `OSError`."""
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
