"""A bounded pool of threads for jobs that keep a core busy.

At most ``threads + queue`` jobs run or wait; `ThreadPool.run` rejects any further job at once. If
the caller is cancelled (a client disconnects, a timeout expires) while its job waits, the job never
runs; a job that already runs continues and keeps its slot until it ends. Threads are used for
networks on a GPU and for planning page budgets; all other jobs run in worker processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import TypeVar

from thumbstream.errors import ThumbstreamError

T = TypeVar("T")


class OverloadedError(ThumbstreamError):
    """All slots are in use; a later retry may succeed."""


class Slots:
    """A counting semaphore that raises `OverloadedError` instead of waiting. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0  # 0 .. limit
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Number of slots in use."""
        return self._used

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take one slot. Raises `OverloadedError` if no slot is free."""
        with self._lock:
            if self._used >= self.limit:
                raise OverloadedError(f"the queue is full ({self.limit})")
            self._used += 1

    def release(self) -> None:
        """Free one slot."""
        with self._lock:
            self._used -= 1


class ThreadPool:
    """A pool of ``threads`` threads with a queue for at most ``queue`` waiting jobs."""

    def __init__(self, threads: int, queue: int) -> None:
        self.threads = threads
        """Number of threads, and so of jobs that can run at the same time."""
        self._slots = Slots(threads + queue)
        # The executor starts its threads on demand, so an unused pool costs nothing.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="thumbstream-worker")

    @property
    def running(self) -> int:
        """Number of jobs that are running now in threads."""
        return min(self._slots.used, self.threads)

    @property
    def waiting(self) -> int:
        """Number of jobs in the queue."""
        return max(0, self._slots.used - self.threads)

    async def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread and return its result.

        Raises `OverloadedError` if the queue is full, and any exception of ``job``.
        """
        self._slots.acquire()
        try:
            # The copied context assigns log lines and spans of the job to the request.
            future = self._executor.submit(copy_context().run, job)
        except BaseException:
            self._slots.release()
            raise
        # The callback runs when the job ends, or at once if the job is cancelled while it waits.
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _future: Future[T]) -> None:
        self._slots.release()

    async def close(self) -> None:
        """Cancel the jobs in the queue, and wait until the running jobs have ended."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
