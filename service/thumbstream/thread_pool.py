"""A bounded pool of threads for jobs that keep a core busy.

`ThreadPool.run` takes a slot or rejects the job at once: never more than ``threads + queue`` jobs
run or wait. A job whose caller is cancelled (the client disconnected, the time is up) leaves the
queue without running; one that already runs keeps its slot until it ends. Threads are enough for
networks on a GPU and for planning budgets; other jobs run in worker processes.
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
    """No slot is free; trying later may help."""


class Slots:
    """A counting semaphore that rejects instead of waiting. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0  # 0 .. limit
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Slots in use."""
        return self._used

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Raises `OverloadedError` when no slot is free."""
        with self._lock:
            if self._used >= self.limit:
                raise OverloadedError(f"the queue is full ({self.limit})")
            self._used += 1

    def release(self) -> None:
        """Frees one slot."""
        with self._lock:
            self._used -= 1


class ThreadPool:
    """``threads`` threads, and a queue for ``queue`` jobs."""

    def __init__(self, threads: int, queue: int) -> None:
        self.threads = threads
        """Jobs that run at a time."""
        self._slots = Slots(threads + queue)
        # Starts a thread when there is a job for it, and so costs nothing before the first.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="thumbstream-worker")

    @property
    def running(self) -> int:
        """Jobs in threads."""
        return min(self._slots.used, self.threads)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return max(0, self._slots.used - self.threads)

    async def run(self, job: Callable[[], T]) -> T:
        """The result of ``job``, run in a thread. Raises `OverloadedError`, and what it raises."""
        self._slots.acquire()
        try:
            # In a copy of the context: what the job logs and traces belongs to the request.
            future = self._executor.submit(copy_context().run, job)
        except BaseException:
            self._slots.release()
            raise
        # Called when the job has ended, and at once when it is cancelled while it waits.
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _future: Future[T]) -> None:
        self._slots.release()

    async def close(self) -> None:
        """Drops the jobs in the queue, and returns when those that run have ended."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
