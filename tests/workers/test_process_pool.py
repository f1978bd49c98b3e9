"""Worker processes keep their limits, and a worker that passes one is replaced."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import jobs
import numpy
import pytest
from launch import wait_until

from thumbstream import process_pool, sandbox
from thumbstream.errors import (
    BitstreamError,
    JobCrashedError,
    JobMemoryError,
    JobProcessorTimeError,
    JobTimeoutError,
)
from thumbstream.process_pool import JobLimits, ProcessPool
from thumbstream.thread_pool import OverloadedError

MEBIBYTE = 1 << 20
LIMITS = JobLimits(memory_bytes=128 * MEBIBYTE)
READABLE = (Path("/proc/self"),)  # and this folder, which is in Python's path
linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")
landlock = pytest.mark.skipif(
    sys.platform != "linux" or not sandbox._supports_landlock(ctypes.CDLL(None)),
    reason="the kernel has no Landlock",
)


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProcessPool]:
    monkeypatch.setenv("THUMBSTREAM_TOKENS", "a-secret-token")
    pool = ProcessPool(1, 2, LIMITS, readable=READABLE)
    await asyncio.to_thread(pool.start)
    yield pool
    await pool.close()


def has_ended(pid: int) -> bool:
    """Whether a process has closed its files, reaped by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_returns_results_and_reuses_the_worker(pool: ProcessPool) -> None:
    assert await pool.run(jobs.add, 2, b=3) == 5
    assert await pool.run(jobs.process_id) == await pool.run(jobs.process_id) != os.getpid()


async def test_raises_the_error_of_the_job(pool: ProcessPool) -> None:
    with pytest.raises(BitstreamError, match="the stream is empty"):
        await pool.run(jobs.fail, BitstreamError("the stream is empty"))
    assert await pool.run(jobs.add, 1, 1) == 2


async def test_unexpected_errors_keep_their_traceback(pool: ProcessPool) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*jobs\.py.*ZeroDivisionError: oops"):
        await pool.run(jobs.fail, ZeroDivisionError("oops"))


@pytest.mark.parametrize(
    ("limits", "job", "error"),
    [
        (JobLimits(processor_seconds=0.2, seconds=120), (jobs.spin,), JobProcessorTimeError),
        (JobLimits(seconds=1), (jobs.sleep, 60), JobTimeoutError),
        (LIMITS, (jobs.allocate, 512 * MEBIBYTE), JobMemoryError),
        (LIMITS, (jobs.crash,), JobCrashedError),
    ],
    ids=["processor time", "time", "memory", "crash"],
)
async def test_worker_that_passes_a_limit_is_replaced(
    limits: JobLimits, job: tuple[Any, ...], error: type[Exception]
) -> None:
    pool = ProcessPool(1, 2, limits, readable=READABLE)
    await asyncio.to_thread(pool.start)
    before = await pool.run(jobs.process_id)
    with pytest.raises(error):
        await pool.run(*job)
    assert await pool.run(jobs.process_id) != before
    assert pool.running == 0
    await pool.close()


async def test_limits_are_per_job(pool: ProcessPool) -> None:
    for _ in range(8):
        assert await pool.run(jobs.allocate, 64 * MEBIBYTE) == 64 * MEBIBYTE


async def test_full_queue_is_refused_at_once(pool: ProcessPool) -> None:
    running = [asyncio.create_task(pool.run(jobs.sleep, 0.5)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="full"):
        await pool.run(jobs.add, 1, 1)
    assert (pool.running, pool.waiting) == (1, 2)
    await asyncio.gather(*running)
    assert await pool.run(jobs.add, 1, 1) == 2


async def test_cancelled_job_is_dropped_while_it_waits(pool: ProcessPool) -> None:
    first = asyncio.create_task(pool.run(jobs.sleep, 0.5))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(pool.run(jobs.sleep, 60))
    await asyncio.sleep(0.05)
    second.cancel()
    await first
    assert await pool.run(jobs.add, 1, 1) == 2


async def test_idle_worker_that_dies_is_replaced(pool: ProcessPool) -> None:
    pid = await pool.run(jobs.process_id)
    os.kill(pid, 9)
    wait_until(lambda: has_ended(pid), "the worker has died")
    assert await pool.run(jobs.process_id) != pid


async def test_close_ends_running_jobs() -> None:
    pool = ProcessPool(1, 2, JobLimits(seconds=60), readable=READABLE)
    await asyncio.to_thread(pool.start)
    running = asyncio.create_task(pool.run(jobs.sleep, 60))
    await asyncio.sleep(0.2)
    assert pool.is_alive()
    started = time.monotonic()
    await pool.close()
    assert time.monotonic() - started < 10
    assert not pool.is_alive()
    with pytest.raises(JobCrashedError):
        await running


async def test_workers_do_not_see_the_settings(pool: ProcessPool) -> None:
    seen = await pool.run(jobs.environment)
    assert "a-secret-token" not in "".join(seen.values())
    assert os.environ["THUMBSTREAM_TOKENS"] == "a-secret-token"


async def test_fork_server_that_dies_is_replaced_without_the_settings(pool: ProcessPool) -> None:
    server, worker = await pool.run(jobs.parent_id), await pool.run(jobs.process_id)
    for pid in (server, worker):
        os.kill(pid, 9)
        wait_until(lambda pid=pid: has_ended(pid), "the process has died")
    seen = await pool.run(jobs.environment)
    assert "a-secret-token" not in "".join(seen.values())
    assert await pool.run(jobs.parent_id) != server
    assert os.environ["THUMBSTREAM_TOKENS"] == "a-secret-token"


@linux
async def test_workers_have_few_privileges(pool: ProcessPool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(PermissionError):
            await pool.run(jobs.connect, server.getsockname()[1])
        assert await pool.run(jobs.open_files) < 12
    with pytest.raises(PermissionError):
        await pool.run(jobs.kill, os.getpid())
    with pytest.raises(PermissionError):
        await pool.run(jobs.write, str(tmp_path / "file"))
    assert await pool.run(jobs.niceness) == 19


@linux
@pytest.mark.parametrize("name", ["environ", "maps", "mem"])
async def test_workers_do_not_read_the_memory_of_the_service(pool: ProcessPool, name: str) -> None:
    with pytest.raises(PermissionError):
        await pool.run(jobs.read, f"/proc/{os.getpid()}/{name}")


def secret_file(folder: Path) -> str:
    file = folder / "file"
    file.write_bytes(b"content")
    file.chmod(0o400)
    return str(file)


@landlock
async def test_workers_read_libraries_and_what_is_named(pool: ProcessPool, tmp_path: Path) -> None:
    for path in (jobs.__file__, numpy.__file__, process_pool.__file__, os.__file__):
        assert await pool.run(jobs.read, path) == Path(path).read_bytes()
    for path in (secret_file(tmp_path), "/etc/passwd", "/proc/1/cmdline", "pyproject.toml"):
        with pytest.raises(PermissionError):
            await pool.run(jobs.read, path)
    with pytest.raises(PermissionError):
        await pool.run(os.listdir, str(tmp_path))


@linux
async def test_workers_of_a_pool_for_any_file_read_those_of_their_user(tmp_path: Path) -> None:
    pool = ProcessPool(1, 2, LIMITS, readable=None)
    assert await pool.run(jobs.read, secret_file(tmp_path)) == b"content"
    with pytest.raises(PermissionError):
        await pool.run(jobs.write, str(tmp_path / "another"))
    await pool.close()


@linux
async def test_workers_send_no_signals_to_other_processes(pool: ProcessPool) -> None:
    assert await pool.run(jobs.send_signals, os.getpid()) == [errno.EPERM] * 4


async def test_worker_that_aborts_is_replaced(pool: ProcessPool) -> None:
    with pytest.raises(JobCrashedError, match=f"status -{signal.SIGABRT:d}"):
        await pool.run(jobs.abort)
    assert await pool.run(jobs.add, 1, 1) == 2


async def test_results_of_unexpected_classes_are_not_unpickled(pool: ProcessPool) -> None:
    before = await pool.run(jobs.process_id)
    with pytest.raises(JobCrashedError, match=r"unexpected class builtins\.exec"):
        await pool.run(jobs.exploit)
    assert "EXPLOITED" not in os.environ
    assert await pool.run(jobs.process_id) != before


async def test_results_over_the_limit_are_not_received(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbstream.process_pool.MAX_RESULT_BYTES", 1000)
    assert len(await pool.run(bytes, 900)) == 900
    with pytest.raises(JobCrashedError, match="too many bytes"):
        await pool.run(bytes, 1000)
    assert await pool.run(jobs.add, 1, 1) == 2


async def test_start_of_a_worker_does_not_count_as_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbstream.process_pool.MARGIN_SECONDS", 0.0)
    pool = ProcessPool(1, 2, JobLimits(seconds=0.5), partial(time.sleep, 1), readable=READABLE)
    running = asyncio.create_task(pool.run(jobs.add, 1, 1))  # the job waits for the first worker
    while not running.done():
        assert pool.is_alive()
        await asyncio.sleep(0.05)
    assert await running == 2
    await pool.close()


async def test_new_worker_leaves_the_environment_alone(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await pool.run(jobs.process_id)
    monkeypatch.setattr("thumbstream.sandbox.forget_settings", pytest.fail)
    os.kill(pid, 9)
    wait_until(lambda: has_ended(pid), "the worker has died")
    assert await pool.run(jobs.process_id) != pid


async def test_worker_that_is_taken_while_the_pool_closes_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ProcessPool(1, 2, JobLimits(seconds=60), readable=READABLE)
    starting, closed = threading.Event(), threading.Event()
    new_worker = pool._new_worker

    def slow_start() -> Any:
        starting.set()
        closed.wait(30)
        return new_worker()

    monkeypatch.setattr(pool, "_new_worker", slow_start)
    running = asyncio.create_task(pool.run(jobs.sleep, 60))
    await asyncio.to_thread(starting.wait)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    closed.set()
    with pytest.raises(JobCrashedError, match="stopping"):
        await asyncio.wait_for(running, 20)
    await closing
