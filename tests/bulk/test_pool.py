"""Processes of this machine: a file that crashes or passes a limit fails alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path

import pytest
from bulk_harness import make_pictures, worker_processes
from launch import wait_until

from thumbstream.bulk.encode_files import Job, VersionError
from thumbstream.bulk.pool import LocalPool
from thumbstream.bulk.scan import stat_file
from thumbstream.encoding import EncodeOptions
from thumbstream.errors import JobError, UnknownModelError
from thumbstream.process_pool import JobLimits

JOB = Job(EncodeOptions())
LIMITS = JobLimits(processor_seconds=30)
SECONDS = 120.0


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    with closing(LocalPool(2, LIMITS)) as pool:
        yield pool


def test_files_are_encoded(pool: LocalPool, tmp_path: Path) -> None:
    files = [stat_file(str(path)) for path in make_pictures(tmp_path, 3)]
    futures = [pool.submit(JOB, [file]) for file in files]
    for file, future in zip(files, futures, strict=True):
        [outcome] = future.result(SECONDS)
        assert outcome.result.file == file
        assert outcome.result.encoded is not None
        assert outcome.result.encoded.id in outcome.values


def test_killed_workers_are_replaced(pool: LocalPool) -> None:
    assert not wait([pool.submit(JOB, []) for _ in range(4)], SECONDS).not_done
    killed = worker_processes(os.getpid())
    assert len(killed) == 2
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not killed & worker_processes(os.getpid()), "the workers are dead")
    assert pool.submit(JOB, []).result(SECONDS) == []


def test_a_file_over_a_limit_fails_with_the_reason(tmp_path: Path) -> None:
    [path] = make_pictures(tmp_path, 1)
    with closing(LocalPool(1, JobLimits(processor_seconds=0.001))) as pool:
        [outcome] = pool.submit(JOB, [stat_file(str(path))]).result(SECONDS)
    assert "0.001 seconds of processor time" in str(outcome.result.reason)


def test_faults_of_the_installation_are_raised(pool: LocalPool) -> None:
    with pytest.raises(VersionError):
        pool.submit(Job(EncodeOptions(), version="another"), []).result(SECONDS)


def test_workers_that_do_not_start_are_an_error() -> None:
    with (
        closing(LocalPool(1, LIMITS)) as pool,
        pytest.raises((JobError, UnknownModelError)),
    ):
        pool.submit(Job(EncodeOptions(model="absent")), [])


def test_close_ends_the_workers() -> None:
    pool = LocalPool(1, LIMITS)
    assert pool.submit(JOB, []).result(SECONDS) == []
    workers = worker_processes(os.getpid())
    assert len(workers) == 1
    pool.close()
    wait_until(lambda: not workers & worker_processes(os.getpid()), "the workers ended")
