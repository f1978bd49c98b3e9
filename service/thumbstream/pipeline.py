"""The two use cases that need a network, as lists of steps.

    compress   thumbnail -> encode -> measure the curve -> store stream and curve
    preview    check the size -> decode -> enlarge and write

The steps that keep a core busy run together in one worker thread; the event loop only waits. A
`CompressResult` is returned only after the store has confirmed that stream and curve are durable.
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

MAX_PREVIEW_PIXELS = 4 * 1024 * 1024
"""Of an enlarged preview: bounds the time and memory of writing it."""


class JobTimeoutError(ThumbstreamError):
    """The job did not end in the time that a request may take."""


class PreviewTooLargeError(ThumbstreamError):
    """The enlarged preview would have more than `MAX_PREVIEW_PIXELS` pixels."""


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Limits of the pipeline; times in seconds."""

    image_limits: ImageLimits
    measure_curves: bool
    job_timeout: float
    store_timeout: float


@dataclass(frozen=True, slots=True)
class CompressResult:
    """A durable stream."""

    id: str
    encoded: EncodedThumbnail
    model: str
    new: bool
    """False: the store already had the same stream."""


class Pipeline:
    """Runs the steps with the models, threads and store of a service."""

    def __init__(
        self,
        models: ModelRegistry,
        workers: Workers,
        store: Store,
        metrics: Metrics,
        config: PipelineConfig,
    ) -> None:
        self._models = models
        self._workers = workers
        self._store = store
        self._metrics = metrics
        self._config = config

    async def compress(self, picture: Picture, options: EncodeOptions) -> CompressResult:
        """Encodes a picture and stores its stream.

        Raises `IngestError`, `UnknownModelError`, `OverloadedError`, `JobTimeoutError` and
        `StoreError`.
        """
        model = self._models.resolve(options.model)
        encoded = await self.run_job(lambda: self._encode(picture, options, model))
        new = await self._store_values(encoded.stored_values())
        return CompressResult(encoded.id, encoded, model, new)

    async def preview(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """A picture file of a stream or any prefix of one, its sides enlarged ``scale`` times.

        Raises `BitstreamError`, `UnknownModelError`, `PreviewTooLargeError`, `OverloadedError` and
        `JobTimeoutError`.
        """
        header = parse_header(stream)
        pixels = header.width * header.height * scale * scale
        if pixels > MAX_PREVIEW_PIXELS:
            raise PreviewTooLargeError(
                f"the preview would have {pixels} pixels, more than {MAX_PREVIEW_PIXELS}: "
                "use a smaller scale"
            )
        return await self.run_job(lambda: self._decode_preview(stream, form, scale))

    async def run_job(self, job: Callable[[], T]) -> T:
        """The result of ``job``, run in a worker thread.

        Raises `OverloadedError`, `JobTimeoutError`, and what ``job`` raises.
        """
        try:
            async with asyncio.timeout(self._config.job_timeout):
                return await self._workers.run(job)
        except TimeoutError:
            raise JobTimeoutError(f"no result in {self._config.job_timeout:g} seconds") from None

    def _encode(self, picture: Picture, options: EncodeOptions, model: str) -> EncodedThumbnail:
        with self._metrics.encode_seconds.time():
            return encode_picture(
                picture,
                options,
                self._models.load(model),
                limits=self._config.image_limits,
                curve=self._config.measure_curves,
                curve_timer=self._metrics.curve_seconds.time(),
            )

    def _decode_preview(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        with self._metrics.decode_seconds.time():
            with span("decode"):
                pixels = self._models.codec_for_stream(stream).decode(stream)
            return write_picture(pixels, form, scale)

    async def _store_values(self, values: Mapping[str, bytes]) -> bool:
        # Put concurrently, so that a store that shares commits needs one for both. If only one of
        # them is stored, the upload is not acknowledged, and repeating it stores the other.
        puts = [self._store.put(key, value) for key, value in values.items()]
        try:
            async with asyncio.timeout(self._config.store_timeout):
                new, *_ = await asyncio.gather(*puts)
        except TimeoutError:
            raise StoreUnavailableError("the store did not answer in time") from None
        return new
