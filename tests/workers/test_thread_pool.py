from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from launch import wait_until

from thumbstream.thread_pool import OverloadedError, ThreadPool


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, "the jobs of the pool")


async def test_jobs_run_off_the_event_loop_and_return_their_result() -> None:
    workers = ThreadPool(1, 0)
    assert await workers.run(lambda: threading.current_thread().name) != "MainThread"
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0)
    assert (workers.running, workers.waiting) == (0, 0)
    await workers.close()


async def test_full_queue_rejects_at_once_and_recovers() -> None:
    workers, gate = ThreadPool(2, 1), threading.Event()
    jobs = [asyncio.create_task(workers.run(lambda: gate.wait(10))) for _ in range(3)]
    await until(lambda: workers.running == 2 and workers.waiting == 1)
    started = time.monotonic()
    with pytest.raises(OverloadedError):
        await workers.run(lambda: True)
    assert time.monotonic() - started < 0.5
    gate.set()
    assert await asyncio.gather(*jobs) == [True] * 3
    assert await workers.run(lambda: "room again") == "room again"
    await workers.close()


async def test_cancelled_job_in_the_queue_never_runs() -> None:
    workers, gate, ran = ThreadPool(1, 5), threading.Event(), []
    first = asyncio.create_task(workers.run(lambda: gate.wait(10)))
    await until(lambda: workers.running == 1)
    second = asyncio.create_task(workers.run(lambda: ran.append("second")))
    await until(lambda: workers.waiting == 1)
    second.cancel()
    await until(lambda: workers.waiting == 0)
    gate.set()
    await first
    await workers.run(lambda: ran.append("third"))
    assert ran == ["third"]
    await workers.close()


async def test_running_job_keeps_its_slot_when_cancelled() -> None:
    workers, gate = ThreadPool(1, 0), threading.Event()
    job = asyncio.create_task(workers.run(lambda: gate.wait(10)))
    await until(lambda: workers.running == 1)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    with pytest.raises(OverloadedError):
        await workers.run(lambda: True)
    gate.set()
    await until(lambda: workers.running == 0)
    assert await workers.run(lambda: True)
    await workers.close()


async def test_close_drops_queued_jobs_and_waits_for_running_ones() -> None:
    workers, gate, ended = ThreadPool(1, 5), threading.Event(), []
    running = asyncio.create_task(workers.run(lambda: ended.append(gate.wait(10))))
    await until(lambda: workers.running == 1)
    waiting = asyncio.create_task(workers.run(lambda: ended.append("waiting")))
    await until(lambda: workers.waiting == 1)
    closing = asyncio.create_task(workers.close())
    await asyncio.gather(waiting, return_exceptions=True)
    gate.set()
    await closing
    await running
    assert ended == [True]
    assert waiting.cancelled()
