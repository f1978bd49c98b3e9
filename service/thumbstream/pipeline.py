"""The two operations of the service that run a neural network, `compress` and `preview`.

    compress   thumbnail -> encode -> measure the curve -> store stream and curve
    preview    check the size -> decode -> enlarge and write

Steps that keep a core busy run as jobs (`thumbstream.jobs`), so the event loop is never blocked.
`Pipeline.compress` returns only after the store has confirmed that stream and curve are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from thumbstream.codec.bitstream import parse_header
from thumbstream.encoding import EncodedThumbnail, EncodeOptions
from thumbstream.errors import JobTimeoutError, StoreUnavailableError, ThumbstreamError
from thumbstream.images import ImageLimits
from thumbstream.images.write import PictureFormat
from thumbstream.jobs import Jobs
from thumbstream.models import ModelRegistry
from thumbstream.storage import Record, Store
from thumbstream.storage.base import NO_LABEL
from thumbstream.telemetry.metrics import Metrics

T = TypeVar("T")

MAX_PREVIEW_PIXELS = 4 * 1024 * 1024
"""Limit of pixels of an enlarged preview, to bound the time and memory of writing the file."""


class PreviewTooLargeError(ThumbstreamError):
    """The enlarged preview would have more than `MAX_PREVIEW_PIXELS` pixels."""


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Limits of the pipeline; times in seconds."""

    image_limits: ImageLimits
    measure_curves: bool
    job_timeout: float
    store_timeout: float
    retention_days: int = 0
    """Days after its last upload at which the store deletes a stream; 0: never."""


@dataclass(frozen=True, slots=True)
class CompressResult:
    """A stream that the store holds durably, and how the stream was made."""

    id: str
    encoded: EncodedThumbnail
    model: str
    new: bool
    """Whether the stream is new to the store; False if the store already held the same stream."""


class Pipeline:
    """Runs `compress` and `preview` with the models, jobs and store of one application."""

    def __init__(
        self,
        models: ModelRegistry,
        jobs: Jobs,
        store: Store,
        metrics: Metrics,
        config: PipelineConfig,
    ) -> None:
        self._models = models
        self._jobs = jobs
        self._store = store
        self._metrics = metrics
        self._config = config

    async def compress(
        self, picture: bytes, options: EncodeOptions, *, label: str = NO_LABEL
    ) -> CompressResult:
        """Encode the content of a picture file, and store the stream and its curve under ``label``.

        Raises `IngestError`, `UnknownModelError`, `OverloadedError`, `JobError` and `StoreError`.
        """
        model = self._models.resolve(options.model)
        config = self._config
        encoded = await self._in_time(
            self._jobs.encode(
                picture,
                replace(options, model=model),
                config.image_limits,
                curve=config.measure_curves,
            )
        )
        self._metrics.encode_seconds.observe(encoded.seconds)
        self._metrics.curve_seconds.observe(encoded.curve_seconds)
        thumbnail = encoded.thumbnail
        new = await self._store_thumbnail(thumbnail, label)
        return CompressResult(thumbnail.id, thumbnail, model, new)

    async def preview(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """Decode a stream, or any prefix, to a picture file with sides enlarged ``scale`` times.

        Raises `BitstreamError`, `UnknownModelError`, `PreviewTooLargeError`, `OverloadedError` and
        `JobError`.
        """
        header = parse_header(stream)
        pixels = header.width * header.height * scale * scale
        if pixels > MAX_PREVIEW_PIXELS:
            raise PreviewTooLargeError(
                f"the preview would have {pixels} pixels, more than {MAX_PREVIEW_PIXELS}: "
                "use a smaller scale"
            )
        with self._metrics.decode_seconds.time():
            return await self._in_time(self._jobs.decode(stream, form, scale))

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread and return its result.

        Raises `OverloadedError`, `JobTimeoutError`, and any exception of ``function``.
        """
        return await self._in_time(self._jobs.run(function))

    async def _in_time(self, job: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._config.job_timeout):
                return await job
        except TimeoutError:
            raise JobTimeoutError(f"no result in {self._config.job_timeout:g} seconds") from None

    async def _store_thumbnail(self, thumbnail: EncodedThumbnail, label: str) -> bool:
        # If only one of stream and curve is stored, the upload fails, and repeating the upload
        # stores the other value.
        record = Record.now(label, retention_days=self._config.retention_days)
        try:
            async with asyncio.timeout(self._config.store_timeout):
                written = await self._store.put_many(
                    thumbnail.stored_values(), {thumbnail.id: record}
                )
        except TimeoutError:
            raise StoreUnavailableError("the store did not answer in time") from None
        return thumbnail.id in written
