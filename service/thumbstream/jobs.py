"""The work that keeps a core busy: encoding an upload, decoding a preview.

`ProcessJobs` runs it in worker processes, which hostile input cannot hurt. `ThreadJobs` runs the
networks in threads of this process, for a GPU, which belongs to one process; picture files are
decoded in worker processes all the same if there are any.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from thumbstream.encoding import EncodedThumbnail, EncodeOptions, Picture, encode_picture
from thumbstream.images import ImageLimits, Thumbnail, thumbnail
from thumbstream.images.write import PictureFormat, write_picture
from thumbstream.models import ModelRegistry, installed_models
from thumbstream.process_pool import ProcessPool
from thumbstream.telemetry.tracing import span
from thumbstream.thread_pool import ThreadPool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded upload, and the time that it took."""

    thumbnail: EncodedThumbnail
    seconds: float
    curve_seconds: float
    """Part of ``seconds`` in which the rate-distortion curve was measured."""


class Jobs(Protocol):
    """Where jobs run. Every coroutine may raise `OverloadedError` and `JobError`."""

    @property
    def running(self) -> int:
        """Jobs being worked on."""

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""

    def start(self) -> None:
        """Get ready for jobs. Slow: call it from a thread."""

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode a picture file; raises what `encode_picture` raises."""

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """A stream to a picture file; raises `BitstreamError`."""

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread: one whose cost no input can make large."""

    def is_alive(self) -> bool:
        """False when jobs do not make progress."""

    async def close(self) -> None:
        """Stop, also while jobs run."""


class Stopwatch:
    """Adds up the seconds in which it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._entered = 0.0

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._entered


class ProcessJobs:
    """Jobs in worker processes, on the CPU; only `run` uses threads."""

    def __init__(self, pool: ProcessPool, threads: ThreadPool) -> None:
        self._pool, self._threads = pool, threads

    @property
    def running(self) -> int:
        """Jobs being worked on."""
        return self._pool.running + self._threads.running

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._pool.waiting + self._threads.waiting

    def start(self) -> None:
        """Start the worker processes."""
        self._pool.start()

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode a picture file."""
        with span("encode"):
            return await self._pool.run(_encode_here, picture, options, limits, curve=curve)

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """A stream to a picture file."""
        with span("decode"):
            return await self._pool.run(_decode_here, stream, form, scale)

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread."""
        return await self._threads.run(function)

    def is_alive(self) -> bool:
        """False when a worker process does not answer."""
        return self._pool.is_alive()

    async def close(self) -> None:
        """Kill the worker processes."""
        await asyncio.gather(self._pool.close(), self._threads.close())


class ThreadJobs:
    """Jobs in threads of this process, with its own models.

    ``pool``: worker processes that reduce picture files to thumbnails; None: threads do.
    """

    def __init__(
        self, models: ModelRegistry, threads: ThreadPool, pool: ProcessPool | None = None
    ) -> None:
        self._models, self._threads, self._pool = models, threads, pool

    @property
    def running(self) -> int:
        """Jobs being worked on."""
        return self._threads.running + (self._pool.running if self._pool else 0)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return self._threads.waiting + (self._pool.waiting if self._pool else 0)

    def start(self) -> None:
        """Start the worker processes, if there are any."""
        if self._pool:
            self._pool.start()

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode a picture file."""
        source: Picture | Thumbnail = picture
        if self._pool:
            alpha = options.keeps_alpha(self._models.load(options.model))
            source = await self._pool.run(_reduce, picture, options.size, limits, alpha=alpha)
        return await self._threads.run(
            lambda: encode_timed(self._models, source, options, limits, curve=curve)
        )

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """A stream to a picture file."""
        return await self._threads.run(lambda: decode(self._models, stream, form, scale))

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread."""
        return await self._threads.run(function)

    def is_alive(self) -> bool:
        """False when a worker process does not answer."""
        return self._pool is None or self._pool.is_alive()

    async def close(self) -> None:
        """End the jobs that run, and drop those that wait."""
        closing: list[Any] = [self._threads.close()]
        if self._pool:
            closing.append(self._pool.close())
        await asyncio.gather(*closing)


def encode_timed(
    models: ModelRegistry,
    picture: Picture | Thumbnail,
    options: EncodeOptions,
    limits: ImageLimits,
    *,
    curve: bool,
) -> Encoded:
    """`encode_picture` with the model of ``options``, timed."""
    all_of_it, measuring = Stopwatch(), Stopwatch()
    with all_of_it:
        codec = models.load(options.model)
        encoded = encode_picture(
            picture, options, codec, limits=limits, curve=curve, curve_timer=measuring
        )
    return Encoded(encoded, all_of_it.seconds, measuring.seconds)


def decode(models: ModelRegistry, stream: bytes, form: PictureFormat, scale: int) -> bytes:
    """A stream, or any prefix of one, to a picture file with its sides enlarged ``scale`` times."""
    with span("decode"):
        pixels = models.codec_for_stream(stream).decode(stream)
    return write_picture(pixels, form, scale)


def open_default_model() -> None:
    """Prepare a worker process: open the default model."""
    installed_models("cpu").load()


def _encode_here(
    picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
) -> Encoded:
    return encode_timed(installed_models("cpu"), picture, options, limits, curve=curve)


def _decode_here(stream: bytes, form: PictureFormat, scale: int) -> bytes:
    return decode(installed_models("cpu"), stream, form, scale)


def _reduce(picture: bytes, size: int, limits: ImageLimits, *, alpha: bool) -> Thumbnail:
    return thumbnail(picture, size, limits, alpha=alpha)
