"""The same job on a Dask cluster of two workers, into a Redis Cluster of three primaries."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from bulk_harness import TIMEOUT_S, Bulk, draw_pictures, free_ports, until
from cluster_harness import dask_scheduler, dask_worker, redis_of_three
from redis.cluster import RedisCluster

import thumbstream
from thumbstream import cli
from thumbstream.ids import identify
from thumbstream.storage import open_store

PICTURES = 80


async def values(url: str, keys: list[str]) -> list[bytes | None]:
    store = open_store(url)
    await store.open()
    try:
        return await store.get_many(keys)
    finally:
        await store.close()


def keys_in(url: str) -> int:
    with RedisCluster.from_url(url.replace("redis+cluster", "redis")) as client:
        return int(client.dbsize(target_nodes=RedisCluster.PRIMARIES))


def test_a_cluster_that_loses_a_worker_in_the_middle(bulk: Bulk, tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path / "in", PICTURES)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with ExitStack() as stack:
        bulk.store = stack.enter_context(redis_of_three(tmp_path, free_ports(6)))
        address = stack.enter_context(dask_scheduler(tmp_path, *free_ports(1)))
        doomed, _ = [
            stack.enter_context(dask_worker(tmp_path, address, name, environment))
            for name in ("doomed", "steady")
        ]
        process = bulk.begin("in", "--scheduler", address, "--manifest", "out.jsonl")
        until(lambda: keys_in(bulk.store) > 20)
        doomed.kill()
        assert process.poll() is None
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
        assert f"{PICTURES} made, 0 done before, 0 failed" in errors
        assert re.search("Remove worker.*doomed", (tmp_path / "scheduler.log").read_text())
        rows = bulk.manifest()
        keys = [rows[f"in/{path.name}"]["id"] for path in paths]
        streams = asyncio.run(values(bulk.store, keys))
    assert [identify(stream or b"") for stream in streams] == keys
    assert streams[7] == thumbstream.encode(paths[7])


def test_no_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("thumbstream.bulk.cluster.CONNECT_S", 0.2)
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    assert cli.main(["compress-all", ".", "--scheduler", address]) == 1
    assert f"no Dask scheduler answers at {address}" in capsys.readouterr().err


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["compress-all", ".", "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "pip install 'thumbstream[dask]'" in capsys.readouterr().err
