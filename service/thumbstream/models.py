"""The models of a running service, found by name or by a stream's header.

The default and those that the settings name are opened at the start, others when first used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.prefix_search import PrefixDecoder
from thumbstream.codec.targets import Target
from thumbstream.errors import ArtifactError, UnknownModelError

log = logging.getLogger(__name__)


class PictureCodec(Protocol):
    """What the service asks of a codec. Synchronous, thread-safe, keeps a core busy."""

    @property
    def model_id(self) -> str:
        """The model's published name."""

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers that are really in use."""

    @property
    def alpha(self) -> bool:
        """Whether it can code transparency."""

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> bytes:
        """Pixels (H, W, 3), or (H, W, 4) with transparency, uint8 on the grid to a stream.

        Whole, or of at most ``max_bytes`` bytes, or the shortest that reaches ``target``.
        ``aspect``: width and height of the original.
        """

    def encode_traced(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """What `encode` gives, and a decoder of prefixes of just that stream."""

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """A stream or a prefix of one to pixels uint8, (H, W, 4) where it has alpha, else 3.

        Raises `BitstreamError`.
        """

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])`` for every ``n`` of growing ``lengths``."""


class Zoo(Protocol):
    """Where models are published: the module `thumbstream.published_models`, or a stand-in."""

    def available(self) -> tuple[str, ...]:
        """Model ids, the default first."""

    def describe(self, model_id: str) -> Mapping[str, Any]:
        """The manifest; ``bitstream_id`` is in it. Raises `UnknownModelError`."""

    def load(self, model_id: str | None = None, *, device: str = "auto") -> PictureCodec:
        """The codec of a model, opened once per device. Raises `UnknownModelError`."""


class Catalogue:
    """Models by name and by bitstream id. ``chosen`` are those offered for encoding; none: all.

    Streams of every published model can be decoded, offered or not: an old stream stays readable.
    `encoder` and `decoder` may have to open a model, which is slow: call them from a thread.
    """

    def __init__(
        self,
        zoo: Zoo,
        *,
        chosen: tuple[str, ...] = (),
        device: str = "auto",
        size: int = 32,
    ) -> None:
        """``size``: long side, in pixels, of the image that warms up each opened model."""
        self._zoo = zoo
        self._chosen = chosen
        self._device, self._size = device, size
        self.offered: tuple[str, ...] = ()
        """Model ids, the default first; empty until `open`."""
        self._by_bitstream: dict[int, str] = {}
        self._providers: dict[str, tuple[str, ...]] = {}  # of the models that are open

    def open(self) -> None:
        """Opens and warms up the default and every chosen model. Slow: call it from a thread.

        Raises `ArtifactError`, `UnknownModelError`, or `DeviceError` from the zoo.
        """
        published = self._zoo.available()
        offered = self._chosen or published
        if not offered:
            raise ArtifactError("no model is published here")
        for name in dict.fromkeys(published + offered):
            self._by_bitstream[int(self._zoo.describe(name)["bitstream_id"])] = name
        for name in self._chosen or offered[:1]:
            codec = self._load(name)
            self._warm_up(codec)
            log.info("model %s runs on %s", name, ", ".join(codec.providers))
        self.offered = offered

    def name(self, model_id: str | None = None) -> str:
        """The id of an offered model (None: the default). Raises `UnknownModelError`."""
        name = self.offered[0] if model_id is None else model_id
        if name not in self.offered:
            raise UnknownModelError(
                f"model {name!r} is not offered; known: {', '.join(self.offered)}"
            )
        return name

    def encoder(self, model_id: str | None = None) -> PictureCodec:
        """The codec of an offered model (None: the default). Raises `UnknownModelError`."""
        return self._load(self.name(model_id))

    def decoder(self, stream: bytes) -> PictureCodec:
        """The codec that reads ``stream``. Raises `BitstreamError` or `UnknownModelError`.

        A stream cut before it names its model is read by the default one.
        """
        bitstream_id = parse_header(stream).bitstream_id
        if bitstream_id is None:
            return self.encoder()
        if bitstream_id not in self._by_bitstream:
            raise UnknownModelError(f"no model published here reads bitstream {bitstream_id}")
        return self._load(self._by_bitstream[bitstream_id])

    def describe(self) -> list[dict[str, Any]]:
        """The manifest of every offered model, and its execution providers if it is open."""
        return [
            {**self._zoo.describe(name), "id": name, "providers": self._providers.get(name, ())}
            for name in self.offered
        ]

    def _warm_up(self, codec: PictureCodec) -> None:
        grey = np.full((self._size, self._size, 3), 128, np.uint8)
        codec.decode(codec.encode(grey))

    def _load(self, name: str) -> PictureCodec:
        codec = self._zoo.load(name, device=self._device)
        self._providers[name] = codec.providers
        return codec
