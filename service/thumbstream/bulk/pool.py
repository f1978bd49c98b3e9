"""The interface of worker pools, and `LocalPool`, which uses the cores of this machine.

`LocalPool` uses processes and not threads, because encoding consists of many short array operations
that hold the interpreter lock; ``loadtest/bench/bulk.py`` measures both. The processes are a
`ProcessPool`, as in the service, with the same limits: a picture that exceeds a limit fails without
affecting other pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol, TypeVar

from thumbstream.bulk.encode_files import RESULTS, Job, Outcome, encode_files, open_model
from thumbstream.bulk.journal import FileResult
from thumbstream.bulk.scan import FileInfo
from thumbstream.errors import (
    JobCrashedError,
    JobError,
    JobMemoryError,
    JobProcessorTimeError,
    JobTimeoutError,
)
from thumbstream.process_pool import JobLimits, ProcessPool

AnyJob = TypeVar("AnyJob", contravariant=True)


class WorkerPool(Protocol[AnyJob]):
    """Encodes batches of files: `LocalPool` or `DaskCluster` by `encode_files`, or a service."""

    batch_size: int
    """Number of files in one batch."""
    crash_errors: tuple[type[BaseException], ...]
    """Exceptions that a future raises if its worker died."""
    isolated: bool
    """Whether a worker that dies affects only its own batch, which must then be the cause."""

    def max_in_flight(self) -> int:
        """Return the number of batches in flight that keeps every worker busy."""

    def submit(self, job: AnyJob, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start to encode ``batch``. The pool replaces workers that have died."""

    def close(self) -> None:
        """Release the workers, and drop the batches in flight."""


class LocalPool:
    """A `WorkerPool` of ``workers`` local processes, which are started for the first batch."""

    batch_size = 1
    crash_errors: tuple[type[BaseException], ...] = (JobCrashedError,)
    isolated = True

    def __init__(self, workers: int, limits: JobLimits) -> None:
        self._workers = workers
        self._limits = limits
        self._pool: ProcessPool | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def max_in_flight(self) -> int:
        """Return two batches for each process: one that runs and one that waits."""
        return 2 * self._workers

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start to encode ``batch``. Raises `JobCrashedError` if the workers do not start."""
        if self._pool is None:
            prepare = partial(open_model, job)
            self._pool = ProcessPool(
                *(self._workers, self._workers, self._limits, prepare),
                classes=RESULTS,
                readable=None,  # pictures are in any folder
            )
            self._pool.start()
        return asyncio.run_coroutine_threadsafe(_encode(self._pool, job, batch), self._loop)

    def close(self) -> None:
        """Kill the worker processes."""
        if self._pool is not None:
            asyncio.run_coroutine_threadsafe(self._pool.close(), self._loop).result()
            self._pool = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _encode(pool: ProcessPool, job: Job, batch: Sequence[FileInfo]) -> list[Outcome]:
    """Encode a batch; try again once if the worker died, since its files may not be the cause."""
    with contextlib.suppress(JobMemoryError, JobCrashedError):
        return await _encode_once(pool, job, batch)
    try:
        return await _encode_once(pool, job, batch)
    except JobMemoryError as error:
        return _failed(batch, error)


async def _encode_once(pool: ProcessPool, job: Job, batch: Sequence[FileInfo]) -> list[Outcome]:
    try:
        return await pool.run(encode_files, job, batch)
    except (JobProcessorTimeError, JobTimeoutError) as error:
        return _failed(batch, error)


def _failed(batch: Sequence[FileInfo], error: JobError) -> list[Outcome]:
    return [Outcome(FileResult(file, reason=str(error))) for file in batch]
