"""The same job on a Dask cluster that loses a worker, into a Redis Cluster of three primaries."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from bulk_harness import TIMEOUT_S, Bulk, make_pictures
from cluster_harness import dask_scheduler, dask_worker, documented, redis_of_three
from launch import clean_environment, free_port, free_ports, wait_until

import thumbstream
from thumbstream import cli
from thumbstream.ids import identify
from thumbstream.storage import open_store

PICTURES = 40


async def values(url: str, keys: list[str]) -> list[bytes | None]:
    store = open_store(url)
    await store.open()
    try:
        return await store.get_many(keys)
    finally:
        await store.close()


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(bulk: Bulk, tmp_path: Path) -> None:
    """The worker is stopped before the run starts, so it holds batches when it is killed.

    The scheduler, the other workers and the run are started by the commands of docs/bulk.md.
    """
    from distributed import Client  # an extra, which the quick tests do without

    paths = make_pictures(tmp_path / "in", PICTURES)
    environment = clean_environment()
    with ExitStack() as stack:
        bulk.store = stack.enter_context(redis_of_three(tmp_path, free_ports(6)))
        address = stack.enter_context(dask_scheduler(tmp_path, free_port(), environment))

        places = {
            "tcp://scheduler:8786": address,
            "redis+cluster://redis-1:6379": bulk.store,
            "/mnt/photos": "in",
        }

        def start_worker(name: str, *arguments: str) -> Callable[[int], None]:
            worker = dask_worker(tmp_path, name, environment, arguments)
            return stack.enter_context(worker).send_signal

        # Without a nanny, which would restart it.
        doomed = start_worker("doomed", address, "--nthreads", "1", "--no-nanny")
        client = stack.enter_context(Client(address, set_as_default=False))
        client.wait_for_workers(1, timeout=TIMEOUT_S)
        doomed(signal.SIGSTOP)
        run = documented("thumbstream compress-all", places)
        process = bulk.start(*run, "--results", "out.jsonl")
        wait_until(lambda: any(client.processing().values()), "the worker has batches", TIMEOUT_S)
        start_worker("steady", *documented("dask worker", places))
        doomed(signal.SIGKILL)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
        assert f"{PICTURES} encoded, 0 done before, 0 failed" in errors
        assert re.search("Remove worker.*doomed", (tmp_path / "scheduler.log").read_text())
        rows = bulk.results()
        keys = [rows[f"in/{path.name}"]["id"] for path in paths]
        streams = asyncio.run(values(bulk.store, keys))
    assert [identify(stream or b"") for stream in streams] == keys
    assert streams[7] == thumbstream.encode(paths[7])


@pytest.mark.slow
def test_no_scheduler_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("thumbstream.bulk.cluster.CONNECT_SECONDS", 0.2)
    address = f"tcp://127.0.0.1:{free_port()}"
    assert cli.main(["compress-all", ".", "--scheduler", address]) == 1
    assert f"no Dask scheduler answers at {address}" in capsys.readouterr().err


@pytest.mark.slow
def test_rejects_a_scheduler_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with dask_scheduler(tmp_path, free_port(), clean_environment()) as address:
        monkeypatch.setattr("thumbstream.__version__", "another")
        assert cli.main(["compress-all", ".", "--scheduler", address]) == 1
    assert "needs thumbstream another, has " in capsys.readouterr().err


def test_the_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["compress-all", ".", "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "pip install 'thumbstream[dask]'" in capsys.readouterr().err
