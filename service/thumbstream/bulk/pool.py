"""Worker pools: what the loop expects of one, and all cores of this machine.

Processes rather than threads, since encoding and measuring curves are many short array operations
under the interpreter lock: ``loadtest/bench/bulk.py`` measures both. They are those of the service,
with the same limits: a picture that passes one fails alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from thumbstream.bulk.encode_files import Job, Outcome, encode_files, open_model
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


class WorkerPool(Protocol):
    """Runs `encode_files` on batches of files: `LocalPool` or `DaskCluster`."""

    batch_size: int
    """Files of one job."""
    crash_errors: tuple[type[BaseException], ...]
    """Raised by a future whose worker died."""
    isolated: bool
    """A worker that dies fails its own batch only."""

    def max_in_flight(self) -> int:
        """Batches to submit at a time: no more than keep every worker busy."""

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start on ``batch``; a worker that died is replaced."""

    def close(self) -> None:
        """Release the workers. Batches in flight are dropped."""


class LocalPool:
    """A `WorkerPool` of ``workers`` processes, which start with the first batch."""

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
        """Two for each process: one that runs and one that waits."""
        return 2 * self._workers

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start on ``batch``. Raises `JobCrashedError` if the workers do not start."""
        if self._pool is None:
            prepare = partial(open_model, job)
            self._pool = ProcessPool(self._workers, self._workers, self._limits, prepare)
            self._pool.start()
        return asyncio.run_coroutine_threadsafe(_encode(self._pool, job, batch), self._loop)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            asyncio.run_coroutine_threadsafe(self._pool.close(), self._loop).result()
            self._pool = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _encode(pool: ProcessPool, job: Job, batch: Sequence[FileInfo]) -> list[Outcome]:
    """Encode; a batch whose worker was killed is tried twice: its files may not be the cause."""
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
