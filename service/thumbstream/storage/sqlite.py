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
* A deletion is one transaction on the thread, and overwrites the deleted bytes in the file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError
from thumbstream.ids import curve_key
from thumbstream.storage.base import (
    DEFAULT_TIMEOUT_S,
    NO_LABEL,
    PAGE_SIZE,
    LabelPage,
    LabelRemoval,
    Record,
    ScanPage,
    StreamInfo,
    is_curve_key,
    matches_id,
)

log = logging.getLogger(__name__)

SCHEMA_VERSION = 2
"""Version of the schema, stored as ``PRAGMA user_version``, which is 0 in a new file."""

RETRY_S = 0.01
"""Delay between attempts to enter WAL mode, in seconds. SQLite's busy timeout does not apply."""

PAGE_BYTES = 4096

MAX_BATCH = 1024
"""Most puts in one transaction: about 250 KB of log, and a few milliseconds of inserts."""

_CREATE = "CREATE TABLE thumb (id TEXT PRIMARY KEY, stream BLOB NOT NULL) STRICT, WITHOUT ROWID"
# From schema 1 to 2. No row is rewritten, so this takes no longer for a large file.
_MIGRATE = (
    "ALTER TABLE thumb ADD COLUMN created INTEGER",
    "ALTER TABLE thumb ADD COLUMN expires INTEGER",
    "ALTER TABLE thumb ADD COLUMN unlabelled INTEGER NOT NULL DEFAULT 1",
    "CREATE TABLE label (label TEXT, id TEXT, PRIMARY KEY (label, id)) STRICT, WITHOUT ROWID",
    "CREATE INDEX label_of_id ON label (id)",
    "CREATE INDEX thumb_expires ON thumb (expires) WHERE expires IS NOT NULL",
)
# For a file of schema 1 that must not be changed: temporary names hide those of the file.
_SHOW_AS_SCHEMA_2 = (
    "CREATE TEMP VIEW thumb AS SELECT id, stream, NULL AS created, NULL AS expires, "
    "1 AS unlabelled FROM main.thumb",
    "CREATE TEMP TABLE label (label TEXT, id TEXT)",
)
_INSERT = (
    "INSERT OR IGNORE INTO thumb (id, stream, created, expires, unlabelled) VALUES (?, ?, ?, ?, ?)"
)
_MERGE = (
    "UPDATE thumb SET created = coalesce(min(created, ?2), created, ?2), expires = ?3, "
    "unlabelled = max(unlabelled, ?4) WHERE id = ?1"
)
_INSERT_CURVE = (
    "INSERT OR IGNORE INTO thumb (id, stream) "
    "SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM thumb WHERE id = substr(?1, 2))"
)
_INSERT_LABEL = "INSERT OR IGNORE INTO label (label, id) VALUES (?, ?)"
_REPAIR = "UPDATE thumb SET stream = ?2 WHERE id = ?1 AND stream <> ?2"
_SELECT = "SELECT id, stream FROM thumb WHERE id IN (SELECT value FROM json_each(?))"
_SELECT_ONE = "SELECT stream FROM thumb WHERE id = ?"
_INFO = (
    "SELECT thumb.id, length(stream), created, expires, unlabelled, "
    "(SELECT json_group_array(label) FROM label WHERE label.id = thumb.id) FROM thumb "
)
_SELECT_INFO = _INFO + "WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 (constants)
_SELECT_LABELLED = (
    _INFO
    + "JOIN label AS l ON l.id = thumb.id WHERE l.label = ? AND l.id > ? ORDER BY l.id LIMIT ?"
)
_SELECT_KEYS = "SELECT id FROM thumb WHERE id > ? ORDER BY id LIMIT ?"
_SELECT_EXPIRED = "SELECT id FROM thumb WHERE expires <= ? LIMIT ?"
_SELECT_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_DELETE = "DELETE FROM thumb WHERE id IN (SELECT value FROM json_each(?))"
_DELETE_LABELS = "DELETE FROM label WHERE id IN (SELECT value FROM json_each(?))"
_SELECT_OF_LABEL = "SELECT id FROM label WHERE label = ? ORDER BY id LIMIT ?"
_REMOVE_LABEL = "DELETE FROM label WHERE label = ? AND id <= ?"
_SELECT_UNUSED = (
    "SELECT id FROM thumb WHERE id IN (SELECT value FROM json_each(?)) AND unlabelled = 0 "
    "AND NOT EXISTS (SELECT 1 FROM label WHERE label.id = thumb.id)"
)

_ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
"""The first characters of keys, in the order in which SQLite sorts them."""

_Result = TypeVar("_Result")


class _Put(NamedTuple):
    key: str
    value: bytes
    record: Record
    done: asyncio.Future[bool]


class SQLiteStore:
    """A `Store` in the SQLite file at ``path``.

    ``create``: whether `open` creates the file, and ``create_folder``, whether its folder as well.
    ``max_bytes`` is the largest size of the file; a put that would exceed it raises
    `StoreFullError`. ``busy_timeout`` is the longest wait, in seconds, for a lock that another
    process holds while it writes. ``read_only``: the file must exist, is not migrated, and may be
    in a folder that cannot be written; every change raises `StoreUnavailableError`.
    """

    name = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int | None = None,
        busy_timeout: float = DEFAULT_TIMEOUT_S,
        create: bool = True,
        create_folder: bool = False,
        read_only: bool = False,
    ) -> None:
        self._path = Path(path)
        self._create = create
        self._create_folder = create_folder
        self._read_only = read_only
        self._max_bytes = max_bytes
        self._busy_timeout = busy_timeout
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._pending: list[_Put] = []
        self._committing: asyncio.Task[None] | None = None
        self._file: tuple[int, int] | None = None

    async def open(self) -> None:
        """Open the file; create or migrate its tables. The error message names the file."""
        try:
            await self._on_thread(self._connect)
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"SQLite: {self._path}: {error}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreUnavailableError(f"SQLite: {self._path}: {reason}") from error

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

    async def put(self, key: str, value: bytes, record: Record | None = None) -> bool:
        """Store ``value`` unless ``key`` has a value; return whether it was written.

        Returns after the commit. A damaged value is overwritten (see `Store.put`).
        """
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append(_Put(key, value, record or Record.now(), done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_pending())
        return await done

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        """Store ``values`` as `put` does, with up to `MAX_BATCH` of them in one commit."""
        records = records or {}
        puts = (self.put(key, value, records.get(key)) for key, value in values.items())
        written = await asyncio.gather(*puts)
        return {key for key, new in zip(values, written, strict=True) if new}

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the streams ``keys``, their curves and records, in one transaction."""
        await self._write(lambda writer: _delete(writer, keys))

    async def delete_curves(self, keys: Sequence[str]) -> None:
        """Delete the curves of the streams ``keys``, in one transaction."""
        curves = json.dumps(list(map(curve_key, keys)))
        await self._write(lambda writer: writer.execute(_DELETE, (curves,)))

    async def info_many(self, keys: Sequence[str]) -> list[StreamInfo | None]:
        """Return the length and record of each of ``keys``, with one query."""
        rows = await self._read(_SELECT_INFO, json.dumps(list(keys)))
        found = {row[0]: _stream_info(*row) for row in rows}
        return [found.get(key) for key in keys]

    async def list_label(self, label: str, *, after: str = "", limit: int = PAGE_SIZE) -> LabelPage:
        """Return up to ``limit`` streams of ``label`` with ids above ``after``."""
        rows = await self._read(_SELECT_LABELLED, label, after, limit)
        streams = [_stream_info(*row) for row in rows]
        return LabelPage(streams, streams[-1].key if len(streams) == limit else None)

    async def remove_label(self, label: str, *, limit: int = PAGE_SIZE) -> LabelRemoval:
        """Remove ``label`` from up to ``limit`` streams in one transaction (see `Store`)."""

        def remove(writer: sqlite3.Connection) -> LabelRemoval:
            keys = _first_column(writer.execute(_SELECT_OF_LABEL, (label, limit)))
            if not keys:
                return LabelRemoval([], more=False)
            writer.execute(_REMOVE_LABEL, (label, keys[-1]))
            unused = _first_column(writer.execute(_SELECT_UNUSED, (json.dumps(keys),)))
            _delete(writer, unused)
            return LabelRemoval(unused, more=len(keys) == limit)

        return await self._write(remove)

    async def scan(self) -> AsyncIterator[ScanPage]:
        """Yield all keys in their order, page by page."""
        after = ""
        while rows := await self._read(_SELECT_KEYS, after, PAGE_SIZE):
            after = rows[-1][0]
            yield ScanPage([key for (key,) in rows], _fraction(after))

    async def delete_expired(self) -> int:
        """Delete the streams whose time is over, `PAGE_SIZE` in one transaction."""
        now, deleted = int(time.time()), 0

        def delete(writer: sqlite3.Connection) -> int:
            # Selected within the transaction: another upload may have set the time anew.
            keys = _first_column(writer.execute(_SELECT_EXPIRED, (now, PAGE_SIZE)))
            _delete(writer, keys)
            return len(keys)

        while await self._read(_SELECT_EXPIRED, now, 1):
            deleted += await self._write(delete)
        return deleted

    async def used_bytes(self) -> int:
        """Return the size of the database file in bytes, without its log."""
        [(size,)] = await self._read(_SELECT_SIZE)
        return int(size)

    async def ping(self) -> None:
        """Raise `StoreError` if the table cannot be read or the file was deleted or replaced."""
        self._check_file()
        await self._read(_SELECT_ONE, "")

    # Reading, on the event loop.

    async def _read(self, statement: str, *parameters: str | int) -> list[Any]:
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        try:
            return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            if not is_locked(error):
                raise store_error(error) from error
        try:
            return await self._on_thread(partial(self._read_on_writer, statement, parameters))
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _read_on_writer(self, statement: str, parameters: Sequence[str | int]) -> list[Any]:
        assert self._writer is not None
        return self._writer.execute(statement, parameters).fetchall()

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
        return self._transact(lambda writer: [_insert_or_merge(writer, put) for put in batch])

    async def _write(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run ``work`` in a transaction of its own; return its result after the commit."""
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        try:
            return await self._on_thread(partial(self._transact, work))
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        writer = self._writer
        assert writer is not None
        self._check_file()  # the log may already belong to the file's successor
        writer.execute("BEGIN IMMEDIATE")
        try:
            result = work(writer)
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        self._check_file()  # a commit into a deleted file is lost
        return result

    def _check_file(self) -> None:
        if _identity(self._path) != self._file:
            raise StoreUnavailableError(
                f"SQLite: {self._path.name} was deleted or replaced while it was open; restart"
            )

    # Opening and closing, on the thread.

    def _connect(self) -> None:
        if self._writer is None:
            self._check_path()
            if self._read_only:
                self._writer = open_unchanged(self._path, self._busy_timeout)
                self._reader = open_unchanged(self._path, 0.0)
            else:
                self._writer = open_writer(self._path, self._max_bytes, self._busy_timeout)
                self._reader = open_reader(self._path)
            self._file = _identity(self._path)

    def _check_path(self) -> None:
        folder = self._path.absolute().parent
        if self._create_folder:
            folder.mkdir(parents=True, exist_ok=True)
        elif self._create and not folder.exists():
            raise StoreUnavailableError(
                f"SQLite: {self._path}: the folder {folder} does not exist; create it, or add "
                "?create=true to the URL"
            )
        elif not self._create and not self._path.exists():
            raise StoreUnavailableError(f"SQLite: {self._path}: no such file")

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _on_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _insert_or_merge(writer: sqlite3.Connection, put: _Put) -> bool:
    """Insert a value, or merge its record with that of the existing value, which may be repaired.

    Returns whether the value was written.
    """
    key, value, record, _ = put
    if is_curve_key(key):
        return writer.execute(_INSERT_CURVE, (key, value)).rowcount == 1
    facts = (record.created, record.expires, int(NO_LABEL in record.labels))
    new = writer.execute(_INSERT, (key, value, *facts)).rowcount == 1
    if not new:
        writer.execute(_MERGE, (key, *facts))
        if matches_id(key, value) and writer.execute(_REPAIR, (key, value)).rowcount == 1:
            log.warning("the damaged value under %s was replaced", key)
            new = True
    writer.executemany(_INSERT_LABEL, [(label, key) for label in record.labels - {NO_LABEL}])
    return new


def _delete(writer: sqlite3.Connection, keys: Sequence[str]) -> None:
    writer.execute(_DELETE, (json.dumps([*keys, *map(curve_key, keys)]),))
    writer.execute(_DELETE_LABELS, (json.dumps(list(keys)),))


def _stream_info(
    key: str, length: int, created: int | None, expires: int | None, unlabelled: int, labels: str
) -> StreamInfo:
    """Convert a row of `_INFO`."""
    names = json.loads(labels) + [NO_LABEL] * unlabelled
    return StreamInfo(key, length, Record(created, frozenset(names), expires))


def _first_column(rows: sqlite3.Cursor) -> list[str]:
    return [row[0] for row in rows]


def _fraction(key: str) -> float:
    """Return how many of all keys are below ``key``, from 0 to 1, as ids are uniform hashes.

    The keys of curves begin with the last character of `_ALPHABET`, so they follow all streams.
    """
    streams = len(_ALPHABET) - 1
    share = (_ALPHABET.find(key.lstrip("~")[:1]) + 1) / streams
    return 0.5 + share / 2 if is_curve_key(key) else share / 2


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode number of the file at ``path``, or None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_writer(path: Path, max_bytes: int | None, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection with durable commits; create the file, and create or migrate its tables.

    ``max_bytes`` is the largest size of the file; ``busy_timeout`` is the longest wait for a lock,
    in seconds.
    """
    writer = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _check_tables(writer)
        _enter_wal(writer, busy_timeout)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA fullfsync = ON")  # macOS: flushes the drive's cache as well
        writer.execute("PRAGMA secure_delete = ON")  # deleted bytes become zeros in the file
        if max_bytes is not None:
            writer.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_BYTES)}")
        _create_tables(writer)
    except BaseException:
        writer.close()
        raise
    return writer


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection for any thread; a locked database is an error at once."""
    reader = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    reader.execute("PRAGMA query_only = ON")
    return reader


def open_unchanged(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection for any thread that changes nothing, not even an older schema.

    If there is no log, and SQLite cannot make one, the file is read as one that never changes.
    """
    try:
        return _open_uri(path, "mode=ro", busy_timeout)
    except sqlite3.OperationalError as error:
        log_file = path.with_name(f"{path.name}-wal")
        has_log = log_file.exists() and log_file.stat().st_size > 0
        if has_log or _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _open_uri(path, "mode=ro&immutable=1", busy_timeout)


def _open_uri(path: Path, options: str, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _check_tables(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 1:
            connection.execute("PRAGMA temp_store = MEMORY")
            for statement in _SHOW_AS_SCHEMA_2:
                connection.execute(statement)
        elif version != SCHEMA_VERSION:
            raise _unknown_schema(version)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_tables(writer: sqlite3.Connection) -> None:
    """Reject the database of another program, before its journal mode is changed for good."""
    tables = _first_column(writer.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))
    if tables and "thumb" not in tables:
        raise StoreUnavailableError("SQLite: the file is a database of another program")


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


def _create_tables(writer: sqlite3.Connection) -> None:
    """Create the tables in a new file, or migrate them; reject a file with an unknown schema."""
    # The first of several processes creates the tables; the others wait here for its lock.
    writer.execute("BEGIN IMMEDIATE")
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        writer.execute(_CREATE)
        version = 1
    if version == 1:
        for statement in _MIGRATE:
            writer.execute(statement)
        version = SCHEMA_VERSION
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if version != SCHEMA_VERSION:
        raise _unknown_schema(version)
    writer.execute("COMMIT")


def _unknown_schema(version: int) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"SQLite: the file has schema {version}, expected at most {SCHEMA_VERSION}"
    )


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
