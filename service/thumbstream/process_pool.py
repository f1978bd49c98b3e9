"""Worker processes for untrusted bytes: bounded in memory, processor time and time, and killable.

::

    run(function, ...) -> slot -> thread i <--pipe--> worker i: drop privileges, then job after job

A thread per worker sends it one job at a time and waits for the answer. A worker that passes a
limit, crashes or does not answer is killed and replaced; its job fails with one of the errors of
`JobError`, and no other job notices. Functions and arguments are pickled, so functions are
importable; a worker opens a model when a job first needs it and keeps it.

The workers are forked from a server process of `multiprocessing` that has imported everything and
was started without the service's settings, so a new one is ready within milliseconds.

Ready-made pools were tried: see docs/adr/0021.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, ParamSpec, TypeVar

from thumbstream import sandbox
from thumbstream.errors import (
    JobCrashedError,
    JobMemoryError,
    JobProcessorTimeError,
    JobTimeoutError,
    ThumbstreamError,
)
from thumbstream.thread_pool import Slots

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = ("thumbstream.jobs",)
"""Imported once, before workers are forked."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that are set to 1: there is a worker for each core already."""
START_SECONDS = 30.0
MARGIN_SECONDS = 5.0
"""`ProcessPool.is_alive` waits so much longer for a job than its limit."""
_OUT_OF_MEMORY = 77
"""Exit status of a worker that ran out of memory: its heap may be in pieces, so it ends."""


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may use."""

    memory_bytes: int = 1 << 30
    """Address space on top of what a worker has before its first job."""
    processor_seconds: float = 3.0
    seconds: float = 30.0
    """Time on the clock, from when a worker takes the job."""


class ProcessPool:
    """``workers`` processes, and room for ``queue`` jobs to wait. Start it before use.

    ``prepare`` is called once in every worker before its first job, outside the limits of jobs.
    """

    def __init__(
        self,
        workers: int,
        queue: int,
        limits: JobLimits,
        prepare: Callable[[], object] = _nothing,
    ) -> None:
        self.workers = workers
        self._limits = limits
        self._prepare = prepare
        self._slots = Slots(workers + queue)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="thumbstream-worker")
        self._context = multiprocessing.get_context("forkserver")
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False

    @property
    def running(self) -> int:
        """Jobs in workers."""
        return min(self._slots.used, self.workers)

    @property
    def waiting(self) -> int:
        """Jobs that no worker has taken yet."""
        return max(0, self._slots.used - self.workers)

    def start(self) -> None:
        """Start the server process and the workers. Slow: call it from a thread."""
        _start_server(self._context)
        self._idle = [
            _Worker(self._context, self._limits, self._prepare) for _ in range(self.workers)
        ]
        for worker in self._idle:
            worker.wait_until_ready()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of ``function(*args, **kwargs)``, called in a worker.

        Raises `OverloadedError`, `JobError` and what the function raises. A job whose caller is
        cancelled is dropped while it waits; one that runs goes on, within its limits.
        """
        self._slots.acquire()
        try:
            future = self._threads.submit(self._run, function, args, kwargs)
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def is_alive(self) -> bool:
        """False when it is closed, or a job has run for longer than its limit allows."""
        overdue = time.monotonic() - self._limits.seconds - MARGIN_SECONDS
        return not self._closed and all(worker.since > overdue for worker in tuple(self._busy))

    async def close(self) -> None:
        """Kill all workers, also those in the middle of a job, and drop the jobs that wait."""
        self._closed = True
        for worker in (*self._busy, *self._idle):
            worker.kill()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    def _release(self, _future: Future[Any]) -> None:
        self._slots.release()

    def _run(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        worker = self._take()
        worker.since = time.monotonic()
        self._busy.add(worker)
        try:
            return worker.call(function, args, kwargs)
        finally:
            self._busy.discard(worker)
            if worker.is_usable() and not self._closed:
                self._idle.append(worker)
            else:
                worker.kill()

    def _take(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_usable():
                return worker
            worker.kill()  # it died while it was idle
        return self._new_worker()

    def _new_worker(self) -> _Worker:
        return _Worker(self._context, self._limits, self._prepare)


class _Worker:
    """One worker process, and this side of its pipe."""

    def __init__(
        self, context: ForkServerContext, limits: JobLimits, prepare: Callable[[], object]
    ) -> None:
        self._limits = limits
        self._pipe, theirs = context.Pipe()
        self._process: ForkServerProcess = context.Process(
            target=_serve, args=(theirs, limits, prepare), daemon=True
        )
        self._process.start()
        theirs.close()
        self._ready = self._killed = False
        self.since = time.monotonic()

    def wait_until_ready(self) -> None:
        """Return when it takes jobs. Raises `JobCrashedError` if it does not start."""
        if not self._ready:
            with contextlib.suppress(EOFError, OSError):
                self._ready = self._pipe.poll(START_SECONDS) and bool(self._pipe.recv())
            if not self._ready:
                self.kill()
                raise JobCrashedError("a worker process did not start")

    def call(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        """The result of a job. Raises what it raises, or a `JobError`."""
        self.wait_until_ready()
        try:
            self._pipe.send((function, args, kwargs))
            if not self._pipe.poll(self._limits.seconds):
                self.kill()
                raise JobTimeoutError(f"no result in {self._limits.seconds:g} seconds")
            succeeded, result = self._pipe.recv()
        except (EOFError, OSError):
            raise self._explain_exit() from None
        if not succeeded:
            raise result
        answer: T = result
        return answer

    def is_usable(self) -> bool:
        """Whether it can take another job."""
        return not self._pipe.closed and self._process.is_alive()

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _explain_exit(self) -> Exception:
        if self._killed:
            return JobCrashedError("the service is stopping")
        self._process.join(1.0)
        status = self._process.exitcode
        self.kill()
        if status == -signal.SIGPROF:
            limit = self._limits.processor_seconds
            return JobProcessorTimeError(f"it takes more than {limit:g} seconds of processor time")
        if status in (_OUT_OF_MEMORY, -signal.SIGKILL):  # SIGKILL: the kernel, short of memory
            return JobMemoryError("a worker process ran out of memory")
        return JobCrashedError(f"a worker process ended with status {status}")


def _start_server(context: ForkServerContext) -> None:
    """Start the process that workers are forked from, without this one's settings."""
    context.set_forkserver_preload(list(PRELOADED))
    environment = dict(os.environ)
    try:
        sandbox.forget_settings()
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # it imports before it is given ours
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(environment)


def _serve(pipe: Connection, limits: JobLimits, prepare: Callable[[], object]) -> None:
    """A worker's life: job after job until its parent ends."""
    # A signal to the whole group (Ctrl-C, a service manager) is for the parent to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sandbox.drop_privileges(limits.memory_bytes)
    prepare()
    pipe.send(True)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, args, kwargs = pipe.recv()
            # Ends the process by SIGPROF when the time is used up, whatever it does.
            signal.setitimer(signal.ITIMER_PROF, limits.processor_seconds)
            answer = _answer(function, args, kwargs)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send(answer)


def _answer(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[bool, Any]:
    try:
        return True, function(*args, **kwargs)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except (ThumbstreamError, OSError) as error:
        return False, error
    except Exception as error:  # a fault of ours; the traceback would be lost on the way
        return False, RuntimeError("".join(traceback.format_exception(error)))
