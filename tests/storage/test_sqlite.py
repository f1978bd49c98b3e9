"""SQLiteStore: durability, group commit, several processes, and failures."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.storage import Record, StreamInfo
from thumbstream.storage.sqlite import SQLiteStore

UNPRIVILEGED = 65534
"""A user without rights, for root's tests."""

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
    """Overwrite everything but the header and the schema."""
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


async def test_file_settings(path: Path) -> None:
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
    assert settings == {"journal_mode": "wal", "synchronous": 2, "user_version": 2}
    await store.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["thumbs.db"]
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT id, stream FROM thumb").fetchall() == [("k", b"v")]


async def test_pending_puts_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_close_commits_pending_puts(path: Path) -> None:
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


async def test_acknowledged_puts_survive_sigkill(path: Path) -> None:
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


async def test_full_store_can_still_be_read(path: Path) -> None:
    store = SQLiteStore(path, max_bytes=128 * 1024)
    await store.open()
    assert await store.put("small", b"v") is True
    stored = []

    async def fill() -> None:
        for i in range(100):
            await store.put(f"{i}", bytes(2000))
            stored.append(f"{i}")

    with pytest.raises(StoreFullError):
        await fill()
    assert 10 < len(stored) < 64
    assert size_of(path) <= 128 * 1024
    assert await store.get_many(stored) == [bytes(2000)] * len(stored)
    assert await store.put("small", b"other") is False
    await store.ping()
    await store.close()


async def test_full_store_rejects_every_put_of_a_batch(path: Path) -> None:
    store = SQLiteStore(path, max_bytes=32 * 1024)
    await store.open()
    answers = await asyncio.gather(
        *(store.put(f"{i}", bytes(2000)) for i in range(50)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {StoreFullError}
    assert await store.get_many([f"{i}" for i in range(50)]) == [None] * 50
    assert await store.put("small", b"v") is True
    await store.close()


async def test_held_lock_times_out_and_reads_continue(path: Path) -> None:
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


async def test_put_waits_for_a_lock(path: Path) -> None:
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


async def test_locked_read_waits_on_the_thread(path: Path) -> None:
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


async def open_fails(path: Path) -> str:
    store = SQLiteStore(path, busy_timeout=0.1)
    with pytest.raises(StoreUnavailableError) as error:
        await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.get("k")
    await store.close()
    return str(error.value)


async def test_rejects_files_that_are_not_a_store(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database, certainly not one" * 300)
    assert "not a database" in await open_fails(garbage)
    assert garbage.read_bytes() == b"not a database, certainly not one" * 300

    folder = tmp_path / "folder"
    folder.mkdir()
    assert "unable to open" in await open_fails(folder)
    assert "does not exist" in await open_fails(garbage / "below" / "a-file.db")


async def test_file_of_an_earlier_version_is_migrated(path: Path) -> None:
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE thumb (id TEXT PRIMARY KEY, stream BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        old.execute("INSERT INTO thumb VALUES ('old', x'0102'), ('~old', x'03')")
        old.execute("PRAGMA user_version = 1")
    old.close()
    store, other = SQLiteStore(path), SQLiteStore(path)
    await asyncio.gather(store.open(), other.open())
    await other.close()
    assert await store.get_many(["old", "~old"]) == [b"\1\2", b"\3"]
    assert await store.info_many(["old"]) == [StreamInfo("old", 2, Record(None))]
    assert await store.put("old", b"\1\2", Record(7, frozenset({"a"}))) is False
    assert await store.info_many(["old"]) == [StreamInfo("old", 2, Record(7, frozenset({"", "a"})))]
    assert (await store.remove_label("a")).deleted == []
    # A process of the earlier version may still have the file open.
    with sqlite3.connect(path) as earlier:
        earlier.execute("INSERT OR IGNORE INTO thumb (id, stream) VALUES ('new', x'04')")
    earlier.close()
    assert await store.info_many(["new"]) == [StreamInfo("new", 1, Record(None))]
    await store.close()


async def test_reading_only_does_not_migrate_a_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.execute(
            "CREATE TABLE thumb (id TEXT PRIMARY KEY, stream BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        old.execute("INSERT INTO thumb VALUES ('old', x'0102'), ('~old', x'03')")
        old.execute("PRAGMA user_version = 1")
        old.commit()
    before = path.read_bytes()
    store = SQLiteStore(path, read_only=True)
    await store.open()
    assert await store.get_many(["old", "~old"]) == [b"\1\2", b"\3"]
    assert await store.info_many(["old"]) == [StreamInfo("old", 2, Record(None))]
    assert (await store.list_label("a")).streams == []
    assert [page.keys async for page in store.scan()] == [["old", "~old"]]
    for change in (store.put("k", b"v"), store.delete_many(["old"]), store.delete_curves(["old"])):
        with pytest.raises(StoreUnavailableError):
            await change
    await store.close()
    assert path.read_bytes() == before


async def test_reading_only_sees_what_a_service_writes(path: Path) -> None:
    service, store = SQLiteStore(path), SQLiteStore(path, read_only=True)
    await service.open()
    await store.open()
    await service.put("k", b"v")
    await store.ping()
    assert await store.get("k") == b"v"
    await store.close()
    await service.close()
    for content in (b"", b"no database" * 999):
        path.write_bytes(content)
        store = SQLiteStore(path, read_only=True)
        with pytest.raises(StoreUnavailableError, match="SQLite: "):
            await store.open()
        await store.close()


@contextmanager
def write_protected(folder: Path) -> Iterator[None]:
    """Take from ``folder`` and its files the permission to write; root gives up its rights."""
    user = os.geteuid()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


async def test_reading_only_works_in_a_folder_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # other users may not enter tmp_path
        path = Path(name) / "a #1?.db"
        store = SQLiteStore(path)
        await store.open()
        await store.put("k", b"v")
        await store.close()
        with write_protected(Path(name)):
            with pytest.raises(StoreUnavailableError):
                await SQLiteStore(path).open()
            store = SQLiteStore(path, read_only=True)
            await store.open()
            await store.ping()
            assert await store.get("k") == b"v"
            assert await store.used_bytes() > 0
            await store.close()
        assert list(Path(name).iterdir()) == [path]


async def test_deleted_bytes_are_not_in_the_file(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    secret = os.urandom(300)
    await store.put("k", secret)
    await store.put("other", b"v")
    await store.delete_many(["k"])
    await store.close()
    assert secret[:64] not in path.read_bytes()


async def test_an_expired_stream_that_is_uploaded_again_is_kept(path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    await store.put_many({f"{n}": b"v" for n in range(1200)}, {"7": Record(1, expires=5)})
    await store.put("8", b"v", Record(1, expires=5))
    await store.put("8", b"v", Record(2, expires=2**33))
    assert await store.delete_expired() == 1
    assert await store.delete_expired() == 0
    assert await store.get_many(["7", "8"]) == [None, b"v"]
    await store.close()


async def test_rejects_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 7")
    assert "schema" in await open_fails(path)


@pytest.mark.parametrize("version", [0, 2])
async def test_leaves_the_database_of_another_program_alone(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (x)")
        other.execute(f"PRAGMA user_version = {version}")
        assert "another program" in await open_fails(path)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_damaged_file_is_unavailable(path: Path) -> None:
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


async def test_open_may_be_repeated(path: Path, new_key: Callable[[], str]) -> None:
    store = SQLiteStore(path)
    await store.open()
    await store.open()
    assert await store.put(new_key(), b"v") is True
    await store.close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_deleted_or_replaced_file_takes_no_puts(path: Path, replaced: bool) -> None:
    store = SQLiteStore(path)
    await store.open()
    await store.put("k", b"v")
    path.unlink()
    if replaced:
        other = SQLiteStore(path)
        await other.open()
        await other.close()
    with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
        await store.put("new", b"v")
    with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
        await store.ping()
    await store.close()


async def test_bug_in_a_commit_is_logged_with_its_traceback(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Sequence[Any]) -> list[bool]:
        raise AttributeError("a bug")

    store = SQLiteStore(path)
    await store.open()
    monkeypatch.setattr(store, "_insert", fails)
    with pytest.raises(StoreUnavailableError, match="a bug"):
        await store.put("k", b"v")
    assert "Traceback" in caplog.text
    await store.close()
