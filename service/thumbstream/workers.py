"""Workers: a bounded pool of threads for work that keeps a core busy.

`Workers.run` takes a place or refuses at once: the number of jobs that wait or run never exceeds
``threads + queue``. A job whose caller is cancelled (the client has gone, the time is up) leaves
the queue without having run; one that already runs keeps its place until it ends. Threads are
enough, because ONNX Runtime and Pillow release the interpreter lock while they work.
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
    """Every place is taken; the caller should come back later."""


class Slots:
    """A bounded semaphore that never waits; safe to use from every thread."""

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
        """Take a slot. Raises `OverloadedError` if all are in use."""
        with self._lock:
            if self._used >= self.limit:
                raise OverloadedError(f"all {self.limit} slots are in use")
            self._used += 1

    def release(self) -> None:
        """Free a slot."""
        with self._lock:
            self._used -= 1


class Workers:
    """``threads`` threads, and room for ``queue`` jobs to wait."""

    def __init__(self, threads: int, queue: int) -> None:
        self._threads = threads
        self._slots = Slots(threads + queue)
        # It starts a thread when there is a job for it, and so costs nothing before the first.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="thumbstream-worker")

    @property
    def threads(self) -> int:
        """Jobs that run at a time."""
        return self._threads

    @property
    def running(self) -> int:
        """Jobs in threads."""
        return min(self._slots.used, self._threads)

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken up yet."""
        return max(0, self._slots.used - self._threads)

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
        """Drops jobs that wait, and returns when those that run have ended."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
