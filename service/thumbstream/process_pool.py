"""A pool of worker processes for untrusted bytes, with limits of memory and time for each job.

::

    run(function, ...) -> slot -> thread i <--pipe--> worker i: drop privileges, then job after job

For each running job, one thread sends the job to a worker and waits for the answer. A worker that
exceeds a limit, crashes or does not answer is killed and replaced; its job fails with a subclass of
`JobError`, and other jobs are not affected. Functions and arguments are pickled, so a function must
be importable by its name. Results are pickled too, but this process accepts only instances of
classes that it expects (`thumbstream.results`). A worker opens a model when a job first needs the
model, and keeps it open.

The workers are forked from the fork server of `multiprocessing`, which has already imported the
package, so a new worker is ready within milliseconds. The fork server is started without the
service's settings, which contain secrets.

docs/adr/0021 explains why no existing pool is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from thumbstream import results, sandbox
from thumbstream.errors import (
    JobCrashedError,
    JobMemoryError,
    JobProcessorTimeError,
    JobTimeoutError,
)
from thumbstream.thread_pool import Slots

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = ("thumbstream.jobs",)
"""Modules that the fork server imports once, before it forks workers."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables set to 1, so that libraries use one thread: the pool has one worker for each core."""
START_SECONDS = 30.0
MARGIN_SECONDS = 5.0
"""Time over the limit of a job after which `ProcessPool.is_alive` reports a hanging worker."""
MAX_RESULT_BYTES = 1 << 26
"""Limit of the length of a pickled result; previews are the largest results."""
_READY = b"ready"
_OUT_OF_MEMORY = 77
"""Exit status of a worker after a `MemoryError`, since its heap may be too fragmented to go on."""


def _nothing() -> None:
    """Do nothing: the default of ``prepare``."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of one job."""

    memory_bytes: int = 1 << 30
    """Address space in addition to what the worker process uses when it starts."""
    processor_seconds: float = 3.0
    seconds: float = 30.0
    """Elapsed time since a worker has received the job."""


_server_lock = threading.Lock()
"""Held while this process's environment is that of the fork server."""


class ProcessPool:
    """A pool of ``workers`` processes with a queue for at most ``queue`` waiting jobs.

    Call `start` before the first job. ``prepare`` is called once in every worker process before its
    first job; the time limits of ``limits`` do not apply to this call. ``classes``: dataclasses,
    named tuples and exceptions that jobs may return or raise, in addition to `results.ERRORS`.
    ``readable``: files and folders that jobs may read, besides Python's packages and libraries;
    None: any. It is enforced where the kernel has Landlock.
    """

    def __init__(
        self,
        workers: int,
        queue: int,
        limits: JobLimits,
        prepare: Callable[[], object] = _nothing,
        *,
        classes: Iterable[type] = (),
        readable: Iterable[Path] | None = (),
    ) -> None:
        self.workers = workers
        self._limits = limits
        self._prepare = prepare
        self._classes = results.ERRORS | frozenset(classes)
        self._readable = None if readable is None else tuple(readable)
        self._slots = Slots(workers + queue)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="thumbstream-worker")
        self._context = multiprocessing.get_context("forkserver")
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False
        self._lock = threading.Lock()
        """Held by `close` while it kills workers, and while a worker becomes busy or idle."""

    @property
    def running(self) -> int:
        """Number of jobs that are running now in workers."""
        return min(self._slots.used, self.workers)

    @property
    def waiting(self) -> int:
        """Number of jobs in the queue."""
        return max(0, self._slots.used - self.workers)

    def start(self) -> None:
        """Start the fork server and the workers. Slow: call this method from a thread."""
        sandbox.hide_memory()
        _start_server(self._context)
        self._idle = [self._new_worker() for _ in range(self.workers)]
        for worker in self._idle:
            worker.wait_until_ready()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function(*args, **kwargs)`` in a worker and return the result.

        Raises `OverloadedError`, `JobError` and the exceptions of ``function``; an exception of an
        unexpected class becomes a `RuntimeError`, and a result of one a `JobCrashedError`. If the
        caller is cancelled, a waiting job is dropped, and a running job continues within its
        limits.
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
        """Return False if the pool is closed, or a job still runs long after its time limit."""
        now = time.monotonic()
        return not self._closed and all(worker.deadline > now for worker in tuple(self._busy))

    async def close(self) -> None:
        """Kill all workers, including those that run a job, and drop the waiting jobs."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.kill()
            for worker in self._busy:
                worker.end()  # the thread that reads from its pipe closes the pipe
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    def _release(self, _future: Future[Any]) -> None:
        self._slots.release()

    def _run(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        worker = self._take()
        try:
            return worker.call(function, args, kwargs)
        finally:
            with self._lock:
                self._busy.discard(worker)
                if usable := not self._closed and worker.is_usable():
                    self._idle.append(worker)
            if not usable:
                worker.kill()

    def _take(self) -> _Worker:
        """Return a usable worker, which counts as busy. Raises `JobCrashedError` if closed."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            worker = worker or self._new_worker()
            with self._lock:
                if usable := not self._closed and worker.is_usable():
                    worker.deadline = time.monotonic() + worker.seconds + MARGIN_SECONDS
                    self._busy.add(worker)
            if usable:
                return worker
            worker.kill()  # the worker died while it was idle, or the pool was closed
            if self._closed:
                raise JobCrashedError("the service is stopping")

    def _new_worker(self) -> _Worker:
        _start_server(self._context)  # if the last one has ended
        return _Worker(self._context, self._limits, self._prepare, self._classes, self._readable)


class _Worker:
    """One worker process, and the parent's end of the pipe to this process."""

    def __init__(
        self,
        context: ForkServerContext,
        limits: JobLimits,
        prepare: Callable[[], object],
        classes: frozenset[type],
        readable: tuple[Path, ...] | None,
    ) -> None:
        self._limits = limits
        self._classes = classes
        self._pipe, theirs = context.Pipe()
        self._process: ForkServerProcess = context.Process(
            target=_serve, args=(theirs, limits, prepare, classes, readable), daemon=True
        )
        self._process.start()
        theirs.close()
        self._ready = self._killed = False
        self.deadline = 0.0
        """When the worker counts as hanging, by the monotonic clock, while it is busy."""

    @property
    def seconds(self) -> float:
        """Most seconds until `call` returns: the limit of a job, after the start if not ready."""
        return self._limits.seconds + (0.0 if self._ready else START_SECONDS)

    def wait_until_ready(self) -> None:
        """Wait until the worker accepts jobs. Raises `JobCrashedError` if it does not start."""
        if not self._ready:
            with contextlib.suppress(EOFError, OSError):
                self._ready = self._pipe.poll(START_SECONDS) and self._pipe.recv_bytes(8) == _READY
            if not self._ready:
                self.kill()
                raise JobCrashedError("a worker process did not start")

    def call(self, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        """Run a job and return its result. Raises the exception of the job, or a `JobError`."""
        self.wait_until_ready()
        try:
            _send_job(self._pipe, function, args, kwargs)
            if not self._pipe.poll(self._limits.seconds):
                self.kill()
                raise JobTimeoutError(f"no result in {self._limits.seconds:g} seconds")
            message = self._pipe.recv_bytes(MAX_RESULT_BYTES)
        except (EOFError, OSError):
            raise self._explain_exit() from None
        try:
            succeeded, result = results.loads(message, self._classes)
        except ValueError as error:
            self.kill()
            raise JobCrashedError(f"a worker process sent an invalid result: {error}") from None
        if not succeeded:
            raise result
        answer: T = result
        return answer

    def is_usable(self) -> bool:
        """Return whether the worker can accept another job."""
        if self._pipe.closed or not self._process.is_alive():
            return False
        # The pipe of an idle worker is readable only at its end, which precedes the exit status.
        return not (self._ready and self._pipe.poll())

    def end(self) -> None:
        """Kill the process at once."""
        self._killed = True
        self._process.kill()

    def kill(self) -> None:
        """Kill the process at once, wait for its end and close the pipe."""
        self.end()
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
        if status is None:
            return JobCrashedError("a worker process closed its pipe or sent too many bytes")
        return JobCrashedError(f"a worker process ended with status {status}")


def _start_server(context: ForkServerContext) -> None:
    """Start the fork server with an environment that lacks the settings of this process.

    Does nothing while the fork server runs.
    """
    with _server_lock:
        if _server_is_running():
            return  # other threads may read the environment, so it changes only if it must
        context.set_forkserver_preload(list(PRELOADED))
        environment = dict(os.environ)
        try:
            sandbox.forget_settings()
            os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
            # The fork server imports modules before it receives the sys.path of this process.
            os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
            forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(environment)


def _server_is_running() -> bool:
    """Return whether the fork server runs, without reaping it, which `forkserver` does."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return False
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid is not None and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _serve(
    pipe: Connection,
    limits: JobLimits,
    prepare: Callable[[], object],
    classes: frozenset[type],
    readable: tuple[Path, ...] | None,
) -> None:
    """Run in a worker process: drop privileges, then run one job after another until EOF."""
    # A signal to the whole group (Ctrl-C, a service manager) is for the parent to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sandbox.drop_privileges(limits.memory_bytes, readable)
    prepare()
    pipe.send_bytes(_READY)
    sandbox.lower_priority()  # only now: on a busy machine the start would pass its limit
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, args, kwargs = _receive_job(pipe)
            # SIGPROF ends the process when its processor time is used up.
            signal.setitimer(signal.ITIMER_PROF, limits.processor_seconds)
            answer = _answer(function, args, kwargs, classes)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send_bytes(results.dumps(answer))


def _send_job(pipe: Connection, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Send a job. Bytes among ``args`` follow as messages of their own: that saves two copies."""
    buffers: list[pickle.PickleBuffer] = []
    args = [pickle.PickleBuffer(arg) if type(arg) is bytes else arg for arg in args]
    job = pickle.dumps((function, args, kwargs), protocol=5, buffer_callback=buffers.append)
    pipe.send((job, len(buffers)))
    for buffer in buffers:
        pipe.send_bytes(buffer)


def _receive_job(pipe: Connection) -> Any:
    """Receive function, arguments and keyword arguments of `_send_job`."""
    job, count = pipe.recv()
    buffers = [pipe.recv_bytes() for _ in range(count)]
    return pickle.loads(job, buffers=buffers)  # noqa: S301 - sent by the service


def _answer(
    function: Callable[..., Any], args: Any, kwargs: Any, classes: frozenset[type]
) -> tuple[bool, Any]:
    try:
        return True, function(*args, **kwargs)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:
        if type(error) in classes:
            return False, error
        # A bug, in general: pickling would lose its traceback.
        return False, RuntimeError("".join(traceback.format_exception(error)))
