"""Processes of this machine: a killed worker never stops the pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import wait
from contextlib import closing

import pytest
from launch import wait_until

from thumbstream.bulk.jobs import Job
from thumbstream.bulk.pool import ProcessPool
from thumbstream.encoding import EncodeOptions

JOB = Job(EncodeOptions())
SECONDS = 120.0


def workers() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


@pytest.mark.parametrize("killed", [0, 1], ids=["first", "second"])
def test_a_killed_idle_worker_is_replaced(killed: int) -> None:
    """Idle, it holds the lock of the queue: the others can neither work nor be told to end."""
    others = workers()
    with closing(ProcessPool(2)) as pool:
        first = [pool.submit(JOB, []) for _ in range(4)]
        assert not wait(first, SECONDS).not_done
        os.kill(sorted(workers() - others)[killed % len(workers() - others)], signal.SIGKILL)
        wait_until(lambda: _is_usable_again(pool), "the pool works again", SECONDS)
    assert workers() == others


def _is_usable_again(pool: ProcessPool) -> bool:
    future = pool.submit(JOB, [])
    assert not wait([future], SECONDS).not_done
    return future.exception() is None


def test_close_ends_the_workers() -> None:
    others = workers()
    pool = ProcessPool(1)
    assert pool.submit(JOB, []).result(SECONDS) == []
    assert workers() > others
    pool.close()
    assert workers() == others
