"""The embedded store: killed processes, several processes, no room, no right to write."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from fault_process import service_process, users_of
from fault_service import Users, service, until

from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.ids import identify
from thumbstream.storage.sqlite import SQLiteStore

SMALL_DISK_BYTES = 512 * 1024


async def upload_until_it_dies(users: Users) -> None:
    with suppress(httpx.TransportError):
        while True:
            await users.upload()


async def test_sigkill_during_uploads_loses_no_acknowledged_stream(
    tmp_path: Path, fault_rounds: int
) -> None:
    path = tmp_path / "thumbs.db"
    process = service_process(tmp_path, f"sqlite:///{path}")
    await asyncio.to_thread(process.start)
    async with users_of(process) as users:
        for _ in range(fault_rounds):
            before = len(users.acknowledged)
            uploads = [asyncio.create_task(upload_until_it_dies(users)) for _ in range(8)]
            await until(lambda before=before: len(users.acknowledged) > before + 30)
            process.kill()
            await asyncio.gather(*uploads)
            await asyncio.to_thread(process.start)
            assert await users.lost() == []
            assert await users.upload()
    process.kill()
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = plain.execute("SELECT id, stream FROM thumb").fetchall()
    assert len(rows) >= len(users.acknowledged)
    assert [key for key, stream in rows if identify(stream) != key] == []


async def test_processes_share_a_file_and_one_is_killed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/thumbs.db"
    processes = [service_process(tmp_path, store) for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes))
    first, second = processes
    async with users_of(first) as doomed, users_of(second) as users:
        uploads = [asyncio.create_task(upload_until_it_dies(each)) for each in (doomed, users) * 3]
        await until(lambda: len(doomed.acknowledged) > 20 and len(users.acknowledged) > 20)
        first.kill()
        count = len(users.acknowledged)
        await until(lambda: len(users.acknowledged) > count + 10)
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
        assert users.refused_uploads == 0
        users.acknowledged += doomed.acknowledged
        assert await users.lost() == []
    second.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={SMALL_DISK_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes the rights of root, which this process lacks")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_full_disk_is_507_until_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    async with service(f"sqlite:///{small_disk}/thumbs.db", measure_curves=False) as users:
        assert await users.upload()
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(free - 32 * 1024))
        async with users.load(uploaders=2, readers=1):
            await until(lambda: users.full > 5)
            reads = users.served_reads
            await until(lambda: users.served_reads > reads)
        assert users.refused_reads == 0
        assert await users.ready()
        assert await users.lost() == []
        ballast.unlink()
        assert await users.upload()
        assert await users.lost() == []
    async with service(f"sqlite:///{small_disk}/thumbs.db") as later:
        later.acknowledged = users.acknowledged
        assert await later.lost() == []


async def test_file_size_limit_raises_store_full_until_it_is_raised(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "thumbs.db", max_bytes=64 * 1024)
    await store.open()
    stored = []

    async def fill() -> None:
        for number in range(100):
            await store.put(f"{number}", bytes(2000))
            stored.append(f"{number}")

    with pytest.raises(StoreFullError):
        await fill()
    assert await store.get_many(stored) == [bytes(2000)] * len(stored)
    writer = store._writer
    assert writer is not None
    await store._on_thread(lambda: writer.execute("PRAGMA max_page_count = 1000000"))
    assert await store.put("more", b"space") is True
    await store.close()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, without the rights of root, who may write everywhere."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    user = 65534
    if os.geteuid() == 0:
        os.chown(folder, user, user)
        os.seteuid(user)
    yield folder
    os.seteuid(os.getuid())
    shutil.rmtree(folder)


async def test_read_only_file_prevents_startup_and_is_not_changed(
    unprivileged: Path,
) -> None:
    path = unprivileged / "thumbs.db"
    store = SQLiteStore(path)
    await store.open()
    await store.put("k", b"v")
    await store.close()
    before = path.read_bytes()
    path.chmod(0o444)
    unprivileged.chmod(0o555)
    with pytest.raises(StoreUnavailableError, match="readonly"):
        await SQLiteStore(path).open()
    assert path.read_bytes() == before
    unprivileged.chmod(0o755)
    path.chmod(0o644)
    await store_works(path)


async def store_works(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    assert await store.get("k") == b"v"
    assert await store.put("x", b"y") is True
    await store.close()


async def test_foreign_lock_times_out_uploads_and_reads_continue(
    tmp_path: Path,
) -> None:
    path = tmp_path / "thumbs.db"
    async with service(f"sqlite:///{path}", store_timeout_seconds=0.5) as users:
        assert await users.upload()
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            async with users.load(uploaders=2, readers=2):
                await until(lambda: users.refused_uploads > 2)
                reads = users.served_reads
                await until(lambda: users.served_reads > reads)
            assert users.refused_reads == 0
            assert await users.healthy()
            other.execute("ROLLBACK")
        await until(users.upload)
        assert await users.lost() == []
