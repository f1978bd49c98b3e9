"""Jobs that keep a core busy: encoding an uploaded picture, and decoding a stream for a preview.

`ProcessJobs` runs these jobs in sandboxed worker processes on the CPU. `ThreadJobs` runs the
networks in threads of this process, because a GPU should be used by one process only; it still
decodes picture files in worker processes if it has a `ProcessPool`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from thumbstream.codec.rate_curve import RateCurve
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
    """An encoded thumbnail, and the time that the job took."""

    thumbnail: EncodedThumbnail
    seconds: float
    curve_seconds: float
    """The part of ``seconds`` that measuring the rate-distortion curve took; 0 without a curve."""


RESULTS = (Encoded, EncodedThumbnail, RateCurve)
"""Classes of the results of the jobs, for `ProcessPool`."""


class Jobs(Protocol):
    """Runs jobs in processes or threads. Every job may raise `OverloadedError` and `JobError`."""

    @property
    def running(self) -> int:
        """Number of jobs that are running now."""

    @property
    def waiting(self) -> int:
        """Number of jobs in the queue."""

    def start(self) -> None:
        """Start the worker processes. Slow: call this method from a thread."""

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode the content of a picture file. Raises also the errors of `encode_picture`."""

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """Decode a stream to a picture file with sides enlarged ``scale`` times.

        Raises also `BitstreamError`.
        """

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread. Only for functions whose cost no input can make large."""

    def is_alive(self) -> bool:
        """Return False if a worker process hangs or the workers are stopped."""

    async def close(self) -> None:
        """Stop the workers, also while jobs run, and drop the waiting jobs."""


class Stopwatch:
    """A context manager that adds up the time spent inside all its ``with`` blocks, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._entered = 0.0

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._entered


class ProcessJobs:
    """Runs jobs in worker processes on the CPU, and the functions given to `run` in threads."""

    def __init__(self, pool: ProcessPool, threads: ThreadPool) -> None:
        self._pool, self._threads = pool, threads

    @property
    def running(self) -> int:
        """Number of jobs that are running now in processes or threads."""
        return self._pool.running + self._threads.running

    @property
    def waiting(self) -> int:
        """Number of jobs in both queues."""
        return self._pool.waiting + self._threads.waiting

    def start(self) -> None:
        """Start the worker processes."""
        self._pool.start()

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode the content of a picture file in a worker process."""
        with span("encode"):
            return await self._pool.run(_encode_here, picture, options, limits, curve=curve)

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """Decode a stream to a picture file in a worker process."""
        with span("decode"):
            return await self._pool.run(_decode_here, stream, form, scale)

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread."""
        return await self._threads.run(function)

    def is_alive(self) -> bool:
        """Return False if a worker process hangs or the pool is closed."""
        return self._pool.is_alive()

    async def close(self) -> None:
        """Kill the worker processes, and wait for the jobs that run in threads."""
        await asyncio.gather(self._pool.close(), self._threads.close())


class ThreadJobs:
    """Runs jobs in threads of this process, with the models of ``models``.

    ``pool``: worker processes that reduce picture files to thumbnails. Without ``pool``, the
    threads reduce the picture files.
    """

    def __init__(
        self, models: ModelRegistry, threads: ThreadPool, pool: ProcessPool | None = None
    ) -> None:
        self._models, self._threads, self._pool = models, threads, pool

    @property
    def running(self) -> int:
        """Number of jobs that are running now in threads or processes."""
        return self._threads.running + (self._pool.running if self._pool else 0)

    @property
    def waiting(self) -> int:
        """Number of jobs in both queues."""
        return self._threads.waiting + (self._pool.waiting if self._pool else 0)

    def start(self) -> None:
        """Start the worker processes if there is a ``pool``."""
        if self._pool:
            self._pool.start()

    async def encode(
        self, picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
    ) -> Encoded:
        """Encode the content of a picture file: reduce it in ``pool``, then encode in a thread."""
        source: Picture | Thumbnail = picture
        if self._pool:
            alpha = options.keeps_alpha(self._models.load(options.model))
            reduced = await self._pool.run(_reduce, picture, options.size, limits, alpha=alpha)
            source = _thumbnail_of(*reduced)
        return await self._threads.run(
            lambda: encode_timed(self._models, source, options, limits, curve=curve)
        )

    async def decode(self, stream: bytes, form: PictureFormat, scale: int) -> bytes:
        """Decode a stream to a picture file in a thread."""
        return await self._threads.run(lambda: decode(self._models, stream, form, scale))

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread."""
        return await self._threads.run(function)

    def is_alive(self) -> bool:
        """Return False if a worker process hangs or ``pool`` is closed."""
        return self._pool is None or self._pool.is_alive()

    async def close(self) -> None:
        """Drop the waiting jobs, kill the worker processes, and wait for the jobs in threads."""
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
    """Call `encode_picture` with the model of ``options`` and measure the time."""
    all_of_it, measuring = Stopwatch(), Stopwatch()
    with all_of_it:
        codec = models.load(options.model)
        encoded = encode_picture(
            picture, options, codec, limits=limits, curve=curve, curve_timer=measuring
        )
    return Encoded(encoded, all_of_it.seconds, measuring.seconds)


def decode(models: ModelRegistry, stream: bytes, form: PictureFormat, scale: int) -> bytes:
    """Decode a stream, or any prefix, to a picture file with sides enlarged ``scale`` times."""
    with span("decode"):
        pixels = models.codec_for_stream(stream).decode(stream)
    return write_picture(pixels, form, scale)


def open_default_model() -> None:
    """Open the default model, to prepare a worker process for jobs."""
    installed_models("cpu").load()


def _encode_here(
    picture: bytes, options: EncodeOptions, limits: ImageLimits, *, curve: bool
) -> Encoded:
    return encode_timed(installed_models("cpu"), picture, options, limits, curve=curve)


def _decode_here(stream: bytes, form: PictureFormat, scale: int) -> bytes:
    return decode(installed_models("cpu"), stream, form, scale)


def _reduce(
    picture: bytes, size: int, limits: ImageLimits, *, alpha: bool
) -> tuple[bytes, tuple[int, ...], int, int, bool]:
    """Return the fields of a `Thumbnail`, with the bytes and the shape of its pixels."""
    small = thumbnail(picture, size, limits, alpha=alpha)
    return small.pixels.tobytes(), small.pixels.shape, small.width, small.height, small.truncated


def _thumbnail_of(
    pixels: bytes, shape: tuple[int, ...], width: int, height: int, truncated: bool
) -> Thumbnail:
    array = np.frombuffer(bytearray(pixels), np.uint8).reshape(shape)
    return Thumbnail(array, width, height, truncated)
