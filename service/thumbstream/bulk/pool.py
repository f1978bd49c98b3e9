"""All cores of this machine: a pool of processes, each with the codec opened once.

Processes and not threads, since encoding and measuring curves are many short array operations
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

from thumbstream.bulk.jobs import Job, Outcome, make
from thumbstream.bulk.scan import Found

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1, unless they are set, for workers: there is one for each core already."""


class Processes:
    """An `Engine` of ``workers`` processes; they start with the first batch."""

    crashes: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def room(self) -> int:
        """Two for each process: one that runs and one that waits."""
        return 2 * self._workers

    def submit(self, job: Job, batch: Sequence[Found]) -> Future[list[Outcome]]:
        """Begin the work on ``batch``."""
        try:
            return self._running().submit(make, job, batch)
        except BrokenProcessPool:
            self.close()
            return self._running().submit(make, job, batch)

    def close(self) -> None:
        """Drop what waits, and return when what runs has ended."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            for name in ONE_THREAD:
                os.environ.setdefault(name, "1")
            # Not forked: this process has threads, of which a fork would take the locks along.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_begin_worker
            )
        return self._pool


def _begin_worker() -> None:
    # A signal to the whole group (Ctrl-C, a service manager) is the parent's to answer: it lets
    # the workers finish what they are at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A worker of a parent that was killed would wait for its next batch for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
