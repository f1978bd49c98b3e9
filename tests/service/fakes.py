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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from hashlib import shake_128
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.effort import Effort
from thumbstream.codec.prefix_search import Target
from thumbstream.errors import StoreFullError, StoreUnavailableError, UnknownModelError
from thumbstream.ids import curve_key
from thumbstream.models import ModelRegistry
from thumbstream.storage import LabelPage, LabelRemoval, Record, StreamInfo
from thumbstream.storage.base import ScanPage, is_curve_key

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
        effort: Effort = Effort.DEFAULT,
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
        effort: Effort = Effort.DEFAULT,
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
    """Two models: 'fake-1' (bitstream 0) and 'fake-2' (bitstream 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.codecs = {
            "fake-1": FakeCodec("fake-1", 0),
            "fake-2": FakeCodec("fake-2", 8),
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
        self.records: dict[str, Record] = {}
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

    async def put(self, key: str, value: bytes, record: Record | None = None) -> bool:
        return bool(await self.put_many({key: value}, {key: record or Record.now()}))

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        await self.ping()
        written = set()
        for key, value in values.items():
            if self.full or (self.refused is not None and key.startswith(self.refused)):
                raise StoreFullError("disk /secret/path is full")
            if not is_curve_key(key):
                new = (records or {}).get(key) or Record.now()
                labels = new.labels | self.records.get(key, new).labels
                self.records[key] = Record(new.created, labels, new.expires)
            if key not in self.streams:
                self.streams[key] = value
                written.add(key)
        return written

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self.ping()
        for key in keys:
            self.records.pop(key, None)
            for name in (key, curve_key(key)):
                self.streams.pop(name, None)

    async def delete_curves(self, keys: Sequence[str]) -> None:
        await self.ping()
        for key in keys:
            self.streams.pop(curve_key(key), None)

    async def info_many(self, keys: Sequence[str]) -> list[StreamInfo | None]:
        await self.ping()
        return [
            StreamInfo(key, len(self.streams[key]), self.records[key])
            if key in self.streams
            else None
            for key in keys
        ]

    async def list_label(self, label: str, *, after: str = "", limit: int = 1000) -> LabelPage:
        keys = sorted(k for k, r in self.records.items() if label in r.labels and k > after)
        streams = [info for info in await self.info_many(keys[:limit]) if info]
        return LabelPage(streams, keys[limit - 1] if len(keys) >= limit else None)

    async def remove_label(self, label: str, *, limit: int = 1000) -> LabelRemoval:
        page = await self.list_label(label, limit=limit)
        deleted = [info.key for info in page.streams if info.record.labels == {label}]
        await self.delete_many(deleted)
        for info in page.streams:
            if info.key in self.records:
                record = info.record
                rest = Record(record.created, record.labels - {label}, record.expires)
                self.records[info.key] = rest
        return LabelRemoval(deleted, page.after is not None)

    async def scan(self) -> AsyncIterator[ScanPage]:
        yield ScanPage(list(self.streams), 1.0)

    async def delete_expired(self) -> int:
        now = time.time()
        over = [key for key, record in self.records.items() if (record.expires or now + 1) <= now]
        await self.delete_many(over)
        return len(over)

    async def used_bytes(self) -> int:
        return sum(map(len, self.streams.values()))

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
