"""The published models: found in the wheel, or in the source tree beside the service.

Models are opened on first use and kept. A stream names its model by the bitstream id in its header;
an id never changes meaning, so old streams stay readable whatever the default model becomes.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.model_folder import MANIFEST, read_manifest
from thumbstream.errors import ArtifactError, BitstreamError, UnknownModelError

DEFAULT_MODEL = "thumbstream-1"

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_zoo", _PACKAGE.parents[1] / "models" / "zoo")
_opening = threading.Lock()
_open: dict[tuple[str, str], Codec] = {}


@lru_cache(maxsize=1)
def _folders() -> dict[str, Path]:
    """Model id to folder, the default first."""
    place = next((place for place in _PLACES if place.is_dir()), None)
    if place is None:
        raise ArtifactError("no published models are installed")
    found = {
        folder.name: folder for folder in sorted(place.iterdir()) if (folder / MANIFEST).is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[0] != DEFAULT_MODEL))


def available() -> tuple[str, ...]:
    """Ids of the published models, the default first."""
    return tuple(_folders())


def describe(model_id: str) -> dict[str, Any]:
    """The manifest of a published model; raises `UnknownModelError`."""
    return read_manifest(_folder(model_id))


def load(model_id: str | None = None, *, device: str = "auto") -> Codec:
    """The codec of a published model (None: the default), opened once per device.

    Raises `UnknownModelError`, `ArtifactError` or `DeviceError`.
    """
    name = model_id or DEFAULT_MODEL
    folder = _folder(name)
    key = name, device
    if (codec := _open.get(key)) is not None:  # who needs no opening waits for none
        return codec
    with _opening:
        if key not in _open:
            _open[key] = open_codec(folder, device=device)
        return _open[key]


def decoder_for(stream: bytes, *, device: str = "auto") -> Codec:
    """The codec that reads ``stream``, by the bitstream id in its header.

    A stream that is cut before its id is read by the default model, as neutral grey. Raises
    `BitstreamError` when the bytes are no stream or no published model reads them.
    """
    wanted = parse_header(stream).bitstream_id
    if wanted is None:
        return load(device=device)
    for model_id in available():
        if _bitstream_id(model_id) == wanted:
            return load(model_id, device=device)
    raise BitstreamError(f"no published model reads bitstream {wanted}")


@lru_cache(maxsize=128)
def _bitstream_id(model_id: str) -> int:
    return int(describe(model_id)["bitstream_id"])


def _folder(model_id: str) -> Path:
    try:
        return _folders()[model_id]
    except KeyError:
        known = ", ".join(available())
        raise UnknownModelError(
            f"no model {model_id!r} is published here; known: {known}"
        ) from None
