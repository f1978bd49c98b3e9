"""SQLite alone: durability, group commit, several processes, and every way in which it fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.storage.sqlite import SQLiteStore

WRITER = """
import asyncio, sys
from thumbstream.storage.sqlite import SQLiteStore

async def main(path, name, count):
    store = SQLiteStore(path)
    await store.open()
    for start in range(0, count, 50):
        keys = [f"{name}-{i}" for i in range(start, start + 50)]
        await asyncio.gather(*(store.put(key, key.encode()) for key in keys))
        await store.put("shared", name.encode())
        print(start + 50, flush=True)
    if name == "hang":
        await asyncio.sleep(60)
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "thumbs.db"


def size_of(path: Path) -> int:
    return path.stat().st_size


def damage(path: Path) -> None:
    """Leave the header and the schema, and nothing else, of the file as they are."""
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


async def test_the_file_is_what_the_docstring_says(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    await store.put("k", b"v")
    assert store._writer is not None
    settings = await store._on_thread(
        lambda: {
            name: store._writer.execute(f"PRAGMA {name}").fetchone()[0]  # type: ignore[union-attr]
            for name in ("journal_mode", "synchronous", "user_version")
        }
    )
    assert settings == {"journal_mode": "wal", "synchronous": 2, "user_version": 1}
    await store.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["thumbs.db"]
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT id, stream FROM thumb").fetchall() == [("k", b"v")]


async def test_puts_that_wait_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SQLiteStore(path)
    await store.open()
    batches: list[int] = []
    insert = store._insert

    def counting(batch: Sequence[Any]) -> list[bool]:
        batches.append(len(batch))
        return insert(batch)

    monkeypatch.setattr(store, "_insert", counting)
    await asyncio.gather(*(store.put(f"{i}", b"v") for i in range(100)))
    assert batches == [100]
    await store.put("alone", b"v")
    assert batches == [100, 1]
    await store.close()


async def test_close_commits_what_waits(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    puts = [asyncio.create_task(store.put(f"{i}", b"v")) for i in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*puts) == [True] * 50
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT count(*) FROM thumb").fetchone() == (50,)


async def test_processes_share_a_new_file(path: Path) -> None:
    writers = [start_writer(path, name, 200) for name in ("a", "b", "c")]
    for writer in writers:
        assert await asyncio.to_thread(writer.wait, 60) == 0
    store = SQLiteStore(path)
    await store.open()
    keys = [f"{name}-{i}" for name in "abc" for i in range(200)]
    assert await store.get_many(keys) == [key.encode() for key in keys]
    assert await store.get("shared") in (b"a", b"b", b"c")
    await store.close()


async def test_what_was_acknowledged_outlives_a_kill(path: Path) -> None:
    writer = start_writer(path, "hang", 1000)
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < 300:
        line = await asyncio.wait_for(asyncio.to_thread(writer.stdout.readline), 60)
        acknowledged = int(line)
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    store = SQLiteStore(path)
    await store.open()
    keys = [f"hang-{i}" for i in range(acknowledged)]
    assert await store.get_many(keys) == [key.encode() for key in keys]
    await store.close()


async def test_a_full_store_says_so_and_goes_on_reading(path: Path) -> None:
    store = SQLiteStore(path, max_bytes=64 * 1024)
    await store.open()
    assert await store.put("small", b"v") is True
    kept = []

    async def fill() -> None:
        for i in range(100):
            await store.put(f"{i}", bytes(2000))
            kept.append(f"{i}")

    with pytest.raises(StoreFullError):
        await fill()
    assert 10 < len(kept) < 32
    assert size_of(path) <= 64 * 1024
    assert await store.get_many(kept) == [bytes(2000)] * len(kept)
    assert await store.put("small", b"other") is False
    await store.ping()
    await store.close()


async def test_a_full_store_refuses_every_put_of_the_batch(path: Path) -> None:
    store = SQLiteStore(path, max_bytes=32 * 1024)
    await store.open()
    answers = await asyncio.gather(
        *(store.put(f"{i}", bytes(2000)) for i in range(50)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {StoreFullError}
    assert await store.get_many([f"{i}" for i in range(50)]) == [None] * 50
    assert await store.put("small", b"v") is True
    await store.close()


async def test_a_lock_that_stays_is_unavailable_and_reading_goes_on(path: Path) -> None:
    store = SQLiteStore(path, busy_timeout=0.1)
    await store.open()
    await store.put("k", b"v")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            await store.put("x", b"y")
        assert await store.get("k") == b"v"
        other.execute("ROLLBACK")
    assert await store.put("x", b"y") is True
    await store.close()


async def test_a_lock_that_goes_is_waited_for(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        put = asyncio.create_task(store.put("x", b"y"))
        await asyncio.sleep(0.1)
        assert not put.done()
        other.execute("ROLLBACK")
    assert await put is True
    await store.close()


async def test_a_read_that_meets_a_lock_waits_off_the_loop(path: Path) -> None:
    class Locked:
        def execute(self, *_: object) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise error

        def close(self) -> None:
            pass

    store = SQLiteStore(path)
    await store.open()
    await store.put("k", b"v")
    assert store._reader is not None
    store._reader.close()
    store._reader = Locked()  # type: ignore[assignment]
    assert await store.get("k") == b"v"
    assert await store.get_many(["x", "k"]) == [None, b"v"]
    await store.close()


async def refused(path: Path) -> str:
    store = SQLiteStore(path, busy_timeout=0.1)
    with pytest.raises(StoreUnavailableError) as error:
        await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.get("k")
    await store.close()
    return str(error.value)


async def test_files_that_are_no_store(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database, certainly not one" * 300)
    assert "not a database" in await refused(garbage)
    assert garbage.read_bytes() == b"not a database, certainly not one" * 300

    folder = tmp_path / "folder"
    folder.mkdir()
    assert "unable to open" in await refused(folder)
    assert "folder of the store" in await refused(garbage / "below" / "a-file.db")


async def test_files_of_another_schema(tmp_path: Path) -> None:
    for name, statement in (
        ("newer.db", "PRAGMA user_version = 7"),
        ("foreign.db", "CREATE TABLE other (x)"),
    ):
        with sqlite3.connect(tmp_path / name) as other:
            other.execute(statement)
        other.close()
        assert "schema" in await refused(tmp_path / name)


async def test_damage_found_while_reading(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    for i in range(200):
        await store.put(f"{i}", bytes(500))
    await store.close()
    damage(path)
    store = SQLiteStore(path)
    await store.open()
    with pytest.raises(StoreUnavailableError, match="malformed"):
        await store.get("100")
    with pytest.raises(StoreUnavailableError, match="malformed"):
        await store.put("new", b"v")
    await store.close()


async def test_open_twice_is_open_once(path: Path, new_key: Callable[[], str]) -> None:
    store = SQLiteStore(path)
    await store.open()
    await store.open()
    assert await store.put(new_key(), b"v") is True
    await store.close()
