"""Stores streams in one SQLite file. This is the default store; it needs no server.

* Durability: WAL mode with ``synchronous=FULL`` syncs the log to disk at every commit, and ``put``
  returns after the commit. Puts that arrive during a commit share the next one (group commit).
* Writes run on a separate thread, since a commit waits for the disk.
* Reads run on the event loop. In WAL mode a reader does not wait for writers or checkpoints, so a
  read is a B-tree lookup in memory, several times cheaper than a switch to a thread. A page that is
  not in the page cache blocks the event loop for one disk read. A locked database does not block
  the event loop: the read then moves to the writer's thread.
* Several processes may share the file if they run on one machine: WAL mode needs shared memory.
* If the file is deleted or replaced while it is open, puts fail, because their values would be
  lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.base import DEFAULT_TIMEOUT_S, matches_id

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""Version of the table's schema, stored as ``PRAGMA user_version``, which is 0 in a new file."""

RETRY_S = 0.01
"""Delay between attempts to enter WAL mode, in seconds. SQLite's busy timeout does not apply."""

PAGE_BYTES = 4096

MAX_BATCH = 1024
"""Most puts in one transaction: about 250 KB of log, and a few milliseconds of inserts."""

_CREATE = "CREATE TABLE thumb (id TEXT PRIMARY KEY, stream BLOB NOT NULL) STRICT, WITHOUT ROWID"
_INSERT = "INSERT OR IGNORE INTO thumb (id, stream) VALUES (?, ?)"
_REPAIR = "UPDATE thumb SET stream = ?2 WHERE id = ?1 AND stream <> ?2"
_SELECT = "SELECT id, stream FROM thumb WHERE id IN (SELECT value FROM json_each(?))"
_SELECT_ONE = "SELECT stream FROM thumb WHERE id = ?"

_Result = TypeVar("_Result")


class _Put(NamedTuple):
    key: str
    value: bytes
    done: asyncio.Future[bool]


class SQLiteStore:
    """A `Store` in the SQLite file at ``path``; `open` creates missing parent folders.

    ``max_bytes`` is the largest size of the file; a put that would exceed it raises
    `StoreFullError`. ``busy_timeout`` is the longest wait, in seconds, for a lock that another
    process holds while it writes.
    """

    name = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int | None = None,
        busy_timeout: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._busy_timeout = busy_timeout
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._pending: list[_Put] = []
        self._committing: asyncio.Task[None] | None = None
        self._file: tuple[int, int] | None = None

    async def open(self) -> None:
        """Open the file. If it does not exist, create the file and its table."""
        try:
            await self._on_thread(self._connect)
        except sqlite3.Error as error:
            raise store_error(error) from error
        except OSError as error:
            raise StoreUnavailableError(f"SQLite: {error}") from error

    async def close(self) -> None:
        """Commit the pending puts, then close the file."""
        reader, self._reader = self._reader, None
        if self._committing is not None:
            await self._committing
        if reader is not None:
            reader.close()
            # The writer closes last, since the last connection moves the log into the file.
            await self._on_thread(self._disconnect)
        self._thread.shutdown(wait=False)

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if there is none."""
        rows = await self._read(_SELECT_ONE, key)
        return rows[0][0] if rows else None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return one value, or None if there is none, for each of ``keys``, with one query."""
        found = dict(await self._read(_SELECT, json.dumps(list(keys))))
        return [found.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` unless ``key`` has a value; return whether it was written.

        Returns after the commit. A damaged value is overwritten (see `Store.put`).
        """
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append(_Put(key, value, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_pending())
        return await done

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` as `put` does, with up to `MAX_BATCH` of them in one commit."""
        await asyncio.gather(*(self.put(key, value) for key, value in values.items()))

    async def ping(self) -> None:
        """Raise `StoreError` if the table cannot be read or the file was deleted or replaced."""
        self._check_file()
        await self._read(_SELECT_ONE, "")

    # Reading, on the event loop.

    async def _read(self, statement: str, parameter: str) -> list[Any]:
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        try:
            return self._reader.execute(statement, (parameter,)).fetchall()
        except sqlite3.Error as error:
            if not is_locked(error):
                raise store_error(error) from error
        try:
            return await self._on_thread(partial(self._read_on_writer, statement, parameter))
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _read_on_writer(self, statement: str, parameter: str) -> list[Any]:
        assert self._writer is not None
        return self._writer.execute(statement, (parameter,)).fetchall()

    # Writing: a list on the event loop, one transaction at a time on the thread.

    async def _commit_pending(self) -> None:
        """Commit pending puts in batches until none is left.

        Puts that arrive during a commit are part of the next batch.
        """
        while self._pending:
            batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
            try:
                new = await self._on_thread(partial(self._insert, batch))
            except Exception as error:  # callers would wait forever otherwise
                if not isinstance(error, StoreError | sqlite3.Error):
                    log.exception("unexpected error of a commit")
                failure = store_error(error)
                for put in batch:
                    if not put.done.done():
                        put.done.set_exception(type(failure)(*failure.args))
            else:
                for put, is_new in zip(batch, new, strict=True):
                    if not put.done.done():
                        put.done.set_result(is_new)
        self._committing = None

    def _insert(self, batch: Sequence[_Put]) -> list[bool]:
        """Insert ``batch`` in one transaction; return for each put whether its value was written.

        A database error rolls back the whole batch.
        """
        writer = self._writer
        assert writer is not None
        self._check_file()  # the log may already belong to the file's successor
        writer.execute("BEGIN IMMEDIATE")
        try:
            new = [_insert_or_repair(writer, put.key, put.value) for put in batch]
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        self._check_file()  # a commit into a deleted file is lost
        return new

    def _check_file(self) -> None:
        if _identity(self._path) != self._file:
            raise StoreUnavailableError(
                f"SQLite: {self._path.name} was deleted or replaced while it was open; restart"
            )

    # Opening and closing, on the thread.

    def _connect(self) -> None:
        if self._writer is None:
            writer = open_writer(self._path, self._max_bytes, self._busy_timeout)
            self._writer, self._reader = writer, open_reader(self._path)
            self._file = _identity(self._path)

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _on_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _insert_or_repair(writer: sqlite3.Connection, key: str, value: bytes) -> bool:
    if writer.execute(_INSERT, (key, value)).rowcount == 1:
        return True
    if matches_id(key, value) and writer.execute(_REPAIR, (key, value)).rowcount == 1:
        log.warning("the damaged value under %s was replaced", key)
        return True
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode number of the file at ``path``, or None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_writer(path: Path, max_bytes: int | None, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection with durable commits; create missing folders, the file and its table.

    ``max_bytes`` is the largest size of the file; ``busy_timeout`` is the longest wait for a lock,
    in seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _enter_wal(writer, busy_timeout)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA fullfsync = ON")  # macOS: flushes the drive's cache as well
        if max_bytes is not None:
            writer.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_BYTES)}")
        _create_table(writer)
    except BaseException:
        writer.close()
        raise
    return writer


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection for any thread; a locked database is an error at once."""
    reader = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    reader.execute("PRAGMA query_only = ON")
    return reader


def _enter_wal(writer: sqlite3.Connection, timeout: float) -> None:
    """Switch the file to WAL mode permanently; repeat for up to ``timeout`` seconds.

    If another process does the same, SQLite reports "busy" at once instead of waiting.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
            continue
        if mode != "wal":
            raise StoreUnavailableError(
                f"SQLite: the file system does not support WAL (journal mode {mode})"
            )
        return


def _create_table(writer: sqlite3.Connection) -> None:
    """Create the table in a new file; reject a file with another version of the schema."""
    # The first of several processes creates the table; the other processes wait here for its lock.
    writer.execute("BEGIN IMMEDIATE")
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        writer.execute(_CREATE)
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif version != SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"SQLite: the file has schema {version}, expected {SCHEMA_VERSION}"
        )
    writer.execute("COMMIT")


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether ``error`` means that another connection holds a lock: a retry may succeed."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def store_error(error: Exception) -> StoreError:
    """Convert ``error`` to the `StoreError` that the methods of the store raise."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_FULL:
        return StoreFullError("the store is full")
    return StoreUnavailableError(f"SQLite: {error}")


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code (the low byte), or 0 if ``error`` has no code."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
