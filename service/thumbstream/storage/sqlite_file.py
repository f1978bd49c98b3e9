"""Opening the SQLite file of a store: WAL, durability, schema; and what its errors mean."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError

SCHEMA_VERSION = 1
"""Kept in ``PRAGMA user_version``; 0 is a file that nobody has set up yet."""

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process before it gives up, seconds."""

RETRY_S = 0.01
"""Between two tries of what SQLite does not wait for by itself, seconds."""

PAGE_BYTES = 4096

_CREATE = "CREATE TABLE thumb (id TEXT PRIMARY KEY, stream BLOB NOT NULL) STRICT, WITHOUT ROWID"


def open_writer(path: Path, max_bytes: int | None, busy_timeout: float) -> sqlite3.Connection:
    """A connection that commits durably, to a file that is set up (by it, if nobody has)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _enter_wal(writer, busy_timeout)
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute("PRAGMA fullfsync = ON")  # macOS: through the drive's own cache as well.
        if max_bytes is not None:
            writer.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_BYTES)}")
        _set_up(writer)
    except BaseException:
        writer.close()
        raise
    return writer


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, waits for no lock, and may be used on another thread."""
    reader = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    reader.execute("PRAGMA query_only = ON")
    return reader


def _enter_wal(writer: sqlite3.Connection, patience: float) -> None:
    """Switch the file to WAL, for ever; SQLite answers "busy" at once where others do the same."""
    deadline = time.monotonic() + patience
    while True:
        try:
            (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
            continue
        if mode != "wal":
            raise StoreUnavailableError(f"the file system cannot hold a WAL: journal mode {mode}")
        return


def _set_up(writer: sqlite3.Connection) -> None:
    """Create the table in a new file; refuse a file of another schema."""
    # One process sets the file up; the others wait here and find it done.
    writer.execute("BEGIN IMMEDIATE")
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        writer.execute(_CREATE)
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif version != SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"the file holds schema {version}, this version reads schema {SCHEMA_VERSION}"
        )
    writer.execute("COMMIT")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock; waiting may help."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def store_error(error: Exception) -> StoreError:
    """What ``error`` means for who uses the store."""
    if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_FULL:
        return StoreFullError("the store is full")
    return StoreUnavailableError(f"the store cannot be used: {error}")


def _code(error: sqlite3.Error) -> int:
    """The primary result code: the low byte. 0 for errors of Python's own making."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
