"""Worker pools: all cores of this machine, as processes that each open the codec once.

Processes rather than threads, since encoding and measuring curves are many short array operations
under the interpreter lock: ``loadtest/bench/bulk.py`` measures both.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Protocol

from thumbstream.bulk.jobs import Job, Outcome, encode_files
from thumbstream.bulk.scan import FileInfo

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 for workers, unless they are set already: there is one worker for each core."""


class WorkerPool(Protocol):
    """Runs `encode_files` on batches of files: `ProcessPool` or `DaskCluster`."""

    crash_errors: tuple[type[BaseException], ...]
    """Raised by a future whose worker died, of its own batch or of another."""

    def max_in_flight(self) -> int:
        """Batches to submit at a time: no more than keep every worker busy."""

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start on ``batch``; after a crash, with new workers."""

    def close(self) -> None:
        """Release the workers. Batches in flight are dropped."""


class ProcessPool:
    """A `WorkerPool` of ``workers`` processes, which start with the first batch."""

    crash_errors: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._lifeline: tuple[Connection, Connection] | None = None

    def max_in_flight(self) -> int:
        """Two for each process: one that runs and one that waits."""
        return 2 * self._workers

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start on ``batch``."""
        try:
            return self._running().submit(encode_files, job, batch)
        except BrokenProcessPool:
            self._kill_workers()
            self.close()
            return self._running().submit(encode_files, job, batch)

    def close(self) -> None:
        """Drop the batches that wait, and return when those that run have ended."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        self._kill_workers()

    def _running(self) -> ProcessPoolExecutor:
        if self._executor is None:
            for name in THREAD_VARIABLES:
                os.environ.setdefault(name, "1")
            # Not forked: this process has threads, and a fork would copy the locks they hold.
            context = multiprocessing.get_context("spawn")
            self._lifeline = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self._workers,
                mp_context=context,
                initializer=_start_worker,
                initargs=self._lifeline[:1],
            )
        return self._executor

    def _kill_workers(self) -> None:
        """End the workers that are left: `shutdown` of a broken executor would wait for them.

        The executor sends them SIGTERM, which they ignore, or a message, which they cannot receive
        if the dead worker held the lock of the queue.
        """
        if self._lifeline is not None:
            for end in self._lifeline[::-1]:
                end.close()
            self._lifeline = None


def _start_worker(lifeline: Connection) -> None:
    # The parent handles a signal to the whole group (Ctrl-C, a service manager): it lets workers
    # finish their batches.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(lifeline,), daemon=True).start()


def _exit_with_parent(lifeline: Connection) -> None:
    """End this process when the other end of ``lifeline`` is closed, or its process is killed."""
    lifeline.poll(None)
    os._exit(1)
