"""A codec, a model registry and a store that tests can inspect, slow down and break.

Also a program: ``python fakes.py`` serves them with the settings of its environment. FAKE_GATE
names a file that uploads wait for, FAKE_LIMITS holds `ConnectionLimits` as JSON.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import shake_128
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.prefix_search import Target
from thumbstream.errors import StoreFullError, StoreUnavailableError, UnknownModelError
from thumbstream.models import ModelRegistry

STREAM_LENGTH = 240
TARGET_LENGTH = 100
"""Length of the streams of any target."""


class FakeCodec:
    """Streams of STREAM_LENGTH bytes with a real header; pixels are grey, darker if shorter."""

    providers = ("FakeProvider",)
    alpha = False
    """True: accepts pixels with alpha, and decodes to half transparent ones."""

    def __init__(self, model_id: str, bitstream_id: int) -> None:
        self.model_id = model_id
        self.bitstream_id = bitstream_id
        self.gate = threading.Event()  # cleared: encode and decode wait
        self.gate.set()
        self.encoded_shapes: list[tuple[int, ...]] = []
        self.encoded = 0
        self.targets: list[Target] = []
        self.aspects: list[tuple[int, int] | None] = []

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> bytes:
        assert self.gate.wait(20), "a test forgot to open the gate"
        self.encoded += 1
        self.aspects.append(aspect)
        self.encoded_shapes.append(pixels.shape)
        height, width, channels = pixels.shape
        assert self.alpha or channels == 3
        alpha = channels == 4
        header = write_header(self.bitstream_id, width, height, alpha=alpha, aspect=aspect)
        payload = shake_128(pixels.tobytes()).digest(STREAM_LENGTH - len(header))
        if target is not None:
            self.targets.append(target)
            return (header + payload)[:TARGET_LENGTH]
        return (header + payload)[:max_bytes]

    def encode_with_decoder(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, FakeCodec]:
        return self.encode(pixels, max_bytes=max_bytes, target=target, aspect=aspect), self

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        assert self.gate.wait(20), "a test forgot to open the gate"
        header = parse_header(stream)
        pixels = np.full((header.height, header.width, 3), min(255, len(stream)), np.uint8)
        if header.alpha:
            return np.dstack([pixels, np.full(pixels.shape[:2], 128, np.uint8)])
        return pixels

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (self.decode(stream[:length]) for length in lengths)


class FakeModels(ModelRegistry):
    """Two models: 'fake-1' (bitstream 0) and 'fake-2' (bitstream 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.codecs = {
            "fake-1": FakeCodec("fake-1", 0),
            "fake-2": FakeCodec("fake-2", 5),
        }
        self.loaded: set[str] = set()

    @property
    def gate(self) -> threading.Event:
        return self.codecs["fake-1"].gate

    @property
    def installed(self) -> tuple[str, ...]:
        return tuple(self.codecs)

    def manifest(self, model_id: str) -> dict[str, Any]:
        return {"bitstream_id": self._codec(model_id).bitstream_id, "family": "fake"}

    def _open_codec(self, model_id: str) -> FakeCodec:
        codec = self._codec(model_id)
        self.loaded.add(codec.model_id)
        return codec

    def _codec(self, model_id: str) -> FakeCodec:
        try:
            return self.codecs[model_id]
        except KeyError:
            raise UnknownModelError(f"no model {model_id!r}") from None


class MemoryStore:
    """A dict that can be ``down``, ``full``, ``broken`` or slow (``delay`` in seconds).

    Keys that begin with ``refused`` cannot be put.
    """

    name = "memory"

    def __init__(self) -> None:
        self.streams: dict[str, bytes] = {}
        self.reads: list[list[str]] = []
        self.down = self.full = self.broken = False
        self.delay = 0.0
        self.refused: str | None = None
        self.opened = self.closed = False

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed = True

    async def get(self, key: str) -> bytes | None:
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.reads.append(list(keys))
        await self.ping()
        return [self.streams.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        await self.ping()
        if self.full or (self.refused is not None and key.startswith(self.refused)):
            raise StoreFullError("disk /secret/path is full")
        if key in self.streams:
            return False
        self.streams[key] = value
        return True

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        for key, value in values.items():
            await self.put(key, value)

    async def ping(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.down:
            raise StoreUnavailableError("connection to secret-host refused")
        if self.broken:
            raise RuntimeError("a bug with a secret in its text")


def photo(
    width: int = 64,
    height: int = 48,
    seed: int = 0,
    form: str = "PNG",
    *,
    transparent: bool = False,
) -> bytes:
    """A picture file of smooth colours, different for each seed; ``transparent``: with alpha."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    if transparent:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    out = io.BytesIO()
    image.save(out, form)
    return out.getvalue()


def main() -> None:
    from thumbstream.http.connections import ConnectionLimits
    from thumbstream.server.app import serve
    from thumbstream.settings import load_settings

    limits = ConnectionLimits(**json.loads(os.environ.get("FAKE_LIMITS", "{}")))
    models = FakeModels()
    gate = os.environ.get("FAKE_GATE")
    if gate:
        _wait_for_file(models.codecs["fake-1"], Path(gate))
    store = None if "THUMBSTREAM_STORE" in os.environ else MemoryStore()
    raise SystemExit(0 if serve(load_settings(), models=models, store=store, limits=limits) else 1)


def _wait_for_file(codec: FakeCodec, gate: Path) -> None:
    """Make every encode but the warm-up wait until the test creates ``gate``."""
    fast = codec.encode

    def encode(pixels: NDArray[np.uint8], **options: Any) -> bytes:
        while codec.encoded and not gate.exists():
            time.sleep(0.02)
        return fast(pixels, **options)

    codec.encode = encode  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
