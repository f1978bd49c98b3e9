"""Backups as docs/operations.md has them: taken under load, restored, every stream read."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
from fakes import photo
from launch import wait_until
from service_harness import Launch, Launched

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "backup_sqlite.py"
HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""A connection for every request, without the certificates that httpx.get reads for each."""

pytestmark = pytest.mark.slow
"""Processes are started and stopped under load: several seconds each."""


def upload(server: Launched, seed: int) -> tuple[str, bytes]:
    """The id of an acknowledged stream, and the stream."""
    answer = HTTP.post(f"{server.url}/compress", content=photo(seed=seed))
    assert answer.status_code == 201
    key = answer.json()["id"]
    return key, HTTP.get(f"{server.url}/thumb/{key}").content


@contextmanager
def uploading(server: Launched) -> Iterator[Callable[[], int]]:
    """Uploads, two at a time, while the block runs; yields the number of acknowledged ones."""
    over, acknowledged = threading.Event(), [0, 0]

    def go_on(which: int) -> None:
        while not over.is_set():
            upload(server, 1_000_000 * (which + 1) + acknowledged[which])
            acknowledged[which] += 1

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(go_on, which) for which in range(2)]
        try:
            yield lambda: sum(acknowledged)
        finally:
            over.set()
        for writer in writers:
            writer.result()


def check(server: Launched, streams: dict[str, bytes]) -> None:
    """Every acknowledged stream is there, exact and with its curve, and uploads work."""
    for key, stream in streams.items():
        assert HTTP.get(f"{server.url}/thumb/{key}").content == stream
        by_quality = HTTP.get(f"{server.url}/thumb/{key}?ssim=0.1")
        assert "immutable" in by_quality.headers["cache-control"]  # without its curve it would not
    upload(server, 77)


def test_sqlite(launch: Launch, tmp_path: Path) -> None:
    store, copy = tmp_path / "streams.db", tmp_path / "backups" / "streams.db"
    copy.parent.mkdir()
    server = launch(THUMBSTREAM_STORE=f"sqlite:///{store}")
    streams = dict(upload(server, seed) for seed in range(20))
    with uploading(server) as acknowledged:
        wait_until(lambda: acknowledged() > 5, "uploads are acknowledged")
        before = acknowledged()
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(store), str(copy)],
            capture_output=True,
            text=True,
            check=True,
        )
        wait_until(lambda: acknowledged() > before + 5, "uploads are acknowledged")
    values = int(done.stdout.split(": ")[1].split()[0])
    assert values >= 2 * (len(streams) + before)  # each with its curve
    assert [path.name for path in copy.parent.iterdir()] == ["streams.db"]

    # The store is lost: stop, and put the copy in its place; nothing of the old one may stay.
    server.process.send_signal(signal.SIGINT)
    server.process.wait(60)
    for path in tmp_path.glob("streams.db*"):
        path.unlink()
    shutil.copy(copy, store)
    check(launch(THUMBSTREAM_STORE=f"sqlite:///{store}"), streams)


def test_backup_never_overwrites_and_reports_errors(tmp_path: Path) -> None:
    store, copy = tmp_path / "streams.db", tmp_path / "copy.db"
    store.write_bytes(b"no database at all, of any kind" * 100)

    def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run().returncode == 2
    assert "not a database" in run(store, copy).stderr
    assert "no such file" in run(tmp_path / "elsewhere.db", copy).stderr
    assert not copy.exists()
    copy.write_text("yesterday's")
    failed = run(store, copy)
    assert (failed.returncode, copy.read_text()) == (1, "yesterday's")


def test_redis(launch: Launch, start_redis: Callable[..., object], tmp_path: Path) -> None:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    lost = start_redis(options=durable)
    server = launch(THUMBSTREAM_STORE=lost.url)
    streams = dict(upload(server, seed) for seed in range(20))
    with uploading(server) as acknowledged, redis.Redis(port=lost.port) as client:
        wait_until(lambda: acknowledged() > 5, "uploads are acknowledged")
        client.bgsave()
        wait_until(
            lambda: not client.info("persistence")["rdb_bgsave_in_progress"],
            "uploads are acknowledged",
        )
        assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
        shutil.copy(lost.folder / "dump.rdb", tmp_path / "dump.rdb")
    server.process.send_signal(signal.SIGINT)
    server.process.wait(60)
    lost.stop()
    shutil.rmtree(lost.folder)

    # A new server reads the snapshot only while it keeps no append-only file of its own ...
    fresh = start_redis()
    fresh.stop()
    shutil.copy(tmp_path / "dump.rdb", fresh.folder / "dump.rdb")
    fresh.start()
    with redis.Redis(port=fresh.port) as client:
        assert client.dbsize() >= 2 * len(streams)
        # ... then it makes one of what it has, and is started as it was before.
        client.config_set("appendonly", "yes")
        wait_until(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "uploads are acknowledged",
        )
        assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"
    fresh.stop()
    (fresh.folder / "dump.rdb").unlink()
    fresh.options = durable
    fresh.start()
    check(launch(THUMBSTREAM_STORE=fresh.url), streams)
