"""What happens to a picture, and to a stream: two visible lists of verbs.

    compress   thumbnail -> encode -> measure the curve -> identify -> store both
    preview    check the size -> decode -> enlarge and write

The verbs that keep a core busy run together in one worker thread; the event loop only waits. The
stream is acknowledged (a `Receipt`) only after the store said that it and its curve are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from thumbstream.codec.bitstream import parse_header
from thumbstream.encoding import EncodedThumbnail, EncodeOptions, Picture, encode_picture
from thumbstream.errors import StoreUnavailableError, ThumbstreamError
from thumbstream.images import ImageLimits
from thumbstream.images.write import PictureFormat, write_picture
from thumbstream.models import ModelRegistry
from thumbstream.storage import Store
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.tracing import span
from thumbstream.workers import Workers

T = TypeVar("T")


class TooSlowError(ThumbstreamError):
    """The work did not end in the time that a request may take."""


class PreviewTooLargeError(ThumbstreamError):
    """The enlarged preview would have more pixels than this service writes."""


@dataclass(frozen=True, slots=True)
class Limitations:
    """What the pipeline does and accepts, and how long it waits (seconds)."""

    ingest: ImageLimits
    curves: bool
    """Whether the curve of a stream is measured and kept beside it."""
    preview_pixels: int
    work_timeout: float
    store_timeout: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """A durable stream."""

    key: str
    encoded: EncodedThumbnail
    model: str
    new: bool
    """False: the very same stream was there already."""


class Pipeline:
    """The steps, with what they stand on."""

    def __init__(
        self,
        models: ModelRegistry,
        workers: Workers,
        store: Store,
        metrics: Metrics,
        limits: Limitations,
    ) -> None:
        self._models = models
        self._workers = workers
        self._store = store
        self._metrics = metrics
        self._limits = limits

    async def compress(self, picture: Picture, options: EncodeOptions) -> Receipt:
        """Makes and keeps the stream of a picture.

        Raises what `thumbnail` raises, `UnknownModelError`, `OverloadedError`, `TooSlowError` and
        `StoreError`.
        """
        model = self._models.resolve(options.model)
        encoded = await self.work(lambda: self._encode(picture, options, model))
        new = await self._store_all(encoded.stored_values())
        return Receipt(encoded.id, encoded, model, new)

    async def preview(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """A picture file of a stream or of any prefix of one.

        Raises `BitstreamError`, `UnknownModelError`, `PreviewTooLargeError`, `OverloadedError` and
        `TooSlowError`.
        """
        header = parse_header(stream)
        pixels = header.width * header.height * scale * scale
        if pixels > self._limits.preview_pixels:
            raise PreviewTooLargeError(
                f"the preview would have {pixels} pixels; the limit is "
                f"{self._limits.preview_pixels}: ask for a smaller scale"
            )
        return await self.work(lambda: self._show(stream, form, scale))

    async def work(self, job: Callable[[], T]) -> T:
        """The result of ``job``, run in a worker thread.

        Raises `OverloadedError`, `TooSlowError`, and what ``job`` raises.
        """
        try:
            async with asyncio.timeout(self._limits.work_timeout):
                return await self._workers.run(job)
        except TimeoutError:
            raise TooSlowError(f"no result in {self._limits.work_timeout:g} seconds") from None

    def _encode(self, picture: Picture, options: EncodeOptions, model: str) -> EncodedThumbnail:
        with self._metrics.encode_seconds.time():
            return encode_picture(
                picture,
                options,
                self._models.load(model),
                limits=self._limits.ingest,
                curve=self._limits.curves,
                curve_timer=self._metrics.curve_seconds.time(),
            )

    def _show(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        with self._metrics.decode_seconds.time():
            with span("decode"):
                pixels = self._models.codec_for_stream(stream).decode(stream)
            return write_picture(pixels, form, scale)

    async def _store_all(self, values: Mapping[str, bytes]) -> bool:
        # Put at the same time, so that a store that shares commits needs one for both. A curve
        # whose stream got lost on the way says nothing to anybody; a stream whose curve did was
        # not acknowledged, and the next upload of the picture mends it.
        puts = [self._store.put(key, value) for key, value in values.items()]
        try:
            async with asyncio.timeout(self._limits.store_timeout):
                new, *_ = await asyncio.gather(*puts)
        except TimeoutError:
            raise StoreUnavailableError("the store did not answer in time") from None
        return new
