"""The registry of installed models, which finds a model by its id or by a stream's header.

The installed package contains the default model; a source checkout contains all models. Other
distributions, such as ``thumbstream-paper-models``, add models through the entry point group
`ENTRY_POINTS`: each entry names a package whose subfolders are model folders
(docs/model-folder.md). A model is opened on first use.

A bitstream id always stands for the same model, so old streams stay readable after the default
model changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.model_folder import MANIFEST, read_manifest
from thumbstream.errors import ArtifactError, UnknownModelError

log = logging.getLogger(__name__)

DEFAULT_MODEL = "thumbstream-2"

ENTRY_POINTS = "thumbstream.models"
"""The entry point group in which other distributions register their models."""

PAPER_MODELS = {
    0: "conv-lstm-1",
    1: "fc-residual-1",
    2: "fc-residual-shared-1",
    3: "fc-lstm-1",
    4: "conv-autoencoder-1",
    5: "conv-residual-1",
    6: "conv-residual-shared-1",
}
"""Bitstream id -> model id; errors about a missing one of these models name the distribution."""
PAPER_DISTRIBUTION = "thumbstream-paper-models"

_PACKAGE = Path(__file__).resolve().parent
_OWN_FOLDERS = (_PACKAGE / "_models", _PACKAGE.parents[1] / "models" / "zoo")
"""Folders of the package's own models: in an installed wheel, and in a source checkout."""


class ModelRegistry:
    """Finds installed models by id or by bitstream id and opens each model once. Thread-safe.

    `load` and `codec_for_stream` may have to open a model, which takes up to a second: call both
    methods from a thread, not from an event loop.
    """

    def __init__(self, *, device: str = "auto") -> None:
        """``device``: execution device of the models, ``auto``, ``cpu`` or ``cuda``."""
        self._device = device
        self._open: dict[str, Codec] = {}
        self._open_lock = threading.Lock()
        self._enabled: tuple[str, ...] = ()

    @property
    def installed(self) -> tuple[str, ...]:
        """Ids of the installed models, the default first. Raises `ArtifactError` if none is."""
        return tuple(self._folders)

    @property
    def enabled(self) -> tuple[str, ...]:
        """Ids of the models that may encode, the default first.

        These are all installed models, unless `enable` was called with a selection. Streams of
        every installed model can be decoded.
        """
        return self._enabled or self.installed

    def manifest(self, model_id: str) -> dict[str, Any]:
        """Return the manifest of an installed model. Raises `UnknownModelError`."""
        return read_manifest(self._folder(model_id))

    def resolve(self, model_id: str | None = None) -> str:
        """Check that a model is enabled and return its id; None selects the default model.

        Raises `UnknownModelError` for a model that is not installed or not enabled.
        """
        name = self.enabled[0] if model_id is None else model_id
        if name in self.enabled:
            return name
        if name in self.installed:
            raise UnknownModelError(
                f"model {name!r} is not enabled; enabled: {', '.join(self.enabled)}"
            )
        raise _unknown(name, self.installed)

    def load(self, model_id: str | None = None) -> Codec:
        """Return the codec of any installed model; None selects the default model.

        Raises `UnknownModelError`, `ArtifactError` or `DeviceError`.
        """
        name = self.enabled[0] if model_id is None else model_id
        codec = self._open.get(name)  # without the lock: no wait while another model opens
        if codec is None:
            with self._open_lock:
                codec = self._open.get(name) or self._open_codec(name)
                self._open[name] = codec
        return codec

    def codec_for_stream(self, stream: bytes) -> Codec:
        """Return the codec for the bitstream id in the header of ``stream``.

        For a prefix that ends before the id, this is the codec of the default model, which decodes
        such a prefix as neutral grey. Raises `BitstreamError` for bytes that are not a stream, and
        `UnknownModelError` if no installed model has the bitstream id.
        """
        bitstream_id = parse_header(stream).bitstream_id
        if bitstream_id is None:
            return self.load()
        if bitstream_id in self._by_bitstream_id:
            return self.load(self._by_bitstream_id[bitstream_id])
        if bitstream_id in PAPER_MODELS:
            raise _unknown(PAPER_MODELS[bitstream_id], self.installed)
        raise UnknownModelError(f"no installed model reads bitstream id {bitstream_id}")

    def enable(self, model_ids: Sequence[str] = (), *, size: int = 32) -> None:
        """Allow only ``model_ids`` to encode (empty: all installed models), and warm up models.

        The first of ``model_ids`` becomes the default. All of ``model_ids``, or the default model
        if it is empty, are opened and run once on a square picture with sides of ``size`` pixels.
        Slow: call this method from a thread. Raises the errors of `load`.
        """
        for name in model_ids or self.installed[:1]:
            codec = self.load(name)
            codec.decode(codec.encode(np.full((size, size, 3), 128, np.uint8)))
            log.info("model %s runs on %s", name, ", ".join(codec.providers))
        self._enabled = tuple(model_ids)

    def describe(self) -> list[dict[str, Any]]:
        """Return the manifests of the enabled models, each with ``id`` and ``providers`` added.

        ``providers``: execution providers of an open model; empty until the model is opened.
        """
        return [
            {
                **self.manifest(name),
                "id": name,
                "providers": self._open[name].providers if name in self._open else (),
            }
            for name in self.enabled
        ]

    def _open_codec(self, model_id: str) -> Codec:
        return open_codec(self._folder(model_id), device=self._device)

    def _folder(self, model_id: str) -> Path:
        try:
            return self._folders[model_id]
        except KeyError:
            raise _unknown(model_id, self.installed) from None

    @cached_property
    def _folders(self) -> Mapping[str, Path]:
        return find_models()

    @cached_property
    def _by_bitstream_id(self) -> Mapping[int, str]:
        return {int(self.manifest(name)["bitstream_id"]): name for name in self.installed}


def installed_models(device: str = "auto") -> ModelRegistry:
    """Return the registry for ``device``; all callers in this process share one per device."""
    return _shared_registry(device)


@cache  # not on installed_models: the cache would treat `f()` and `f("auto")` as two calls
def _shared_registry(device: str) -> ModelRegistry:
    return ModelRegistry(device=device)


def find_models() -> dict[str, Path]:
    """Return the folder of every installed model by model id, the default model first.

    Raises `ArtifactError` if no model is installed.
    """
    found: dict[str, Path] = {}
    for place in search_paths():
        for folder in sorted(place.iterdir()):
            if (folder / MANIFEST).is_file():
                found.setdefault(folder.name, folder)
    if not found:
        raise ArtifactError("no models are installed: reinstall thumbstream")
    return dict(sorted(found.items(), key=lambda item: item[0] != DEFAULT_MODEL))


def search_paths() -> Iterator[Path]:
    """Yield the folders whose subfolders are the installed models."""
    yield from [folder for folder in _OWN_FOLDERS if folder.is_dir()][:1]
    for entry in entry_points(group=ENTRY_POINTS):
        yield Path(str(resources.files(entry.value)))


def _unknown(model_id: str, installed: Sequence[str]) -> UnknownModelError:
    if model_id in PAPER_MODELS.values():
        return UnknownModelError(
            f"model {model_id} is not installed: pip install {PAPER_DISTRIBUTION}"
        )
    return UnknownModelError(f"unknown model {model_id!r}; installed: {', '.join(installed)}")
