"""The journal of a bulk run: the result of every file, in one SQLite file.

* A row is ``done`` only after the store has confirmed that the stream is durable. So a run may be
  killed at any moment: the next run skips the files that are done and encodes all other files.
* Rows are looked up by path, so memory does not grow with the journal.
* The journal also maps each path to the id of its stream (`Journal.encoded_files`).
* A journal belongs to one job (encoding parameters and store), and only one run at a time uses it.
* When a run moves the journal to another store, its ``done`` rows become ``unverified``: each
  counts as done only after the new store was found to have its stream.

The journal is not a file of JSON lines, because all lines would have to be read into memory to find
the files that are done. Commits are not synced one by one: after a power failure, the last rows may
be missing, and the next run encodes the files of these rows again.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from thumbstream.bulk.scan import FileInfo
from thumbstream.errors import ThumbstreamError

SCHEMA_VERSION = 2
"""Version of the tables, stored in ``PRAGMA user_version``."""

STORE = "store"
"""Name of the row in the table ``job`` that contains the identity of the store."""

_CREATE = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE picture (
  path ANY PRIMARY KEY, -- TEXT; BLOB where the name is not UTF-8
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, -- of the file before it was read
  status TEXT NOT NULL, -- done, unverified (done, but of another store), failed
  reason TEXT, -- why it failed; the others are NULL then
  id TEXT, length INTEGER, width INTEGER, height INTEGER, prefix BLOB, truncated INTEGER
) STRICT, WITHOUT ROWID;
"""
_COLUMNS = "path, size, mtime_ns, status, reason, id, length, width, height, prefix, truncated"
_RECORD = f"INSERT OR REPLACE INTO picture ({_COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608 (no input)
_FIND = (
    "SELECT size, mtime_ns, id, length, status = 'done' FROM picture "
    "WHERE path = ? AND status IN ('done', 'unverified')"
)
_ENCODED = (
    "SELECT path, id, length, width, height, prefix, truncated FROM picture WHERE status = 'done'"
)


class JournalError(ThumbstreamError):
    """The journal cannot be read or written, is in use, or belongs to another job."""


class EncodedFile(NamedTuple):
    """Description of a stream that was made from one file."""

    id: str
    length: int
    """Length of the stream in bytes."""
    width: int
    """Width of the original picture in pixels, after its EXIF orientation was applied."""
    height: int
    prefix: bytes
    """The first bytes of the stream."""
    truncated: bool = False
    """Whether the end of the file was missing, and with it perhaps a part of the picture."""


class FileResult(NamedTuple):
    """The result of one file: either ``encoded``, or the ``reason`` why encoding failed."""

    file: FileInfo
    encoded: EncodedFile | None = None
    reason: str | None = None


class JournalRow(NamedTuple):
    """The row of an encoded file: size and time of the file, id and length of its stream."""

    size: int
    mtime_ns: int
    id: str
    length: int
    is_verified: bool
    """False if only another store is known to have the stream."""

    def matches(self, file: FileInfo) -> bool:
        """Return whether ``file`` has the size and time of modification recorded in this row."""
        return (self.size, self.mtime_ns) == (file.size, file.mtime_ns)


class Journal:
    """The journal in the SQLite file at ``path``, which is created if it does not exist.

    ``job``: the fingerprint of the run's `Job`. ``store``: the identity of the store. Raises
    `JournalError` if the file is not a journal, is in use, belongs to another job, or, unless
    ``any_store`` is True, belongs to another store. With ``any_store``, such a journal is moved to
    ``store``, and its rows become unverified.
    """

    def __init__(
        self,
        path: str | Path,
        job: Mapping[str, object],
        store: str,
        *,
        any_store: bool = False,
    ) -> None:
        self._path = Path(path)
        with self._errors():
            self._db = sqlite3.connect(self._path, timeout=0.0, isolation_level=None)
            try:
                self._open()
                self._check_job({**job, STORE: store}, any_store=any_store)
            except BaseException:
                self._db.close()
                raise

    def find(self, path: str) -> JournalRow | None:
        """Return the row of a file, or None if it was not encoded. Raises `JournalError`."""
        with self._errors():
            row = self._db.execute(_FIND, (_path_value(path),)).fetchone()
        return None if row is None else JournalRow(*row)

    def record(self, results: Sequence[FileResult]) -> None:
        """Record results in one transaction. Raises `JournalError`."""
        rows = [
            (_path_value(path), size, mtime_ns, "failed", reason, *[None] * 6)
            if encoded is None
            else (_path_value(path), size, mtime_ns, "done", None, *encoded)
            for (path, size, mtime_ns), encoded, reason in results
        ]
        with self._transaction():
            self._db.executemany(_RECORD, rows)

    def record_verified(self, paths: Iterable[str]) -> None:
        """Record that the store has the streams of these encoded files. Raises `JournalError`."""
        done = "UPDATE picture SET status = 'done' WHERE path = ?"
        with self._transaction():
            self._db.executemany(done, ((_path_value(path),) for path in paths))

    def encoded_files(self) -> Iterator[tuple[str, EncodedFile]]:
        """Iterate over the files that are done, ordered by path. Raises `JournalError`."""
        with self._errors():
            for path, *encoded, truncated in self._db.execute(f"{_ENCODED} ORDER BY path"):
                name = path if isinstance(path, str) else os.fsdecode(path)
                yield name, EncodedFile(*encoded)._replace(truncated=bool(truncated))

    def close(self) -> None:
        """Close the SQLite file and release its lock."""
        self._db.close()

    def _open(self) -> None:
        # The lock excludes a second run, which would encode the same files.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (version, tables) == (0, 0):
            for statement in _CREATE.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION or not self._is_journal():
            raise JournalError(f"{self._path} is not a journal that this version reads")
        self._db.execute("COMMIT")

    def _is_journal(self) -> bool:
        named = "SELECT count(*) FROM sqlite_schema WHERE name IN ('job', 'picture')"
        (tables,) = self._db.execute(named).fetchone()
        return bool(tables == 2)

    def _check_job(self, job: Mapping[str, object], *, any_store: bool) -> None:
        """Write ``job`` into a new journal, or compare ``job`` with that of an existing journal."""
        values = {name: json.dumps(value) for name, value in job.items()}
        recorded = dict(self._db.execute("SELECT name, value FROM job"))
        if not recorded:
            self._db.executemany("INSERT INTO job VALUES (?, ?)", values.items())
            return
        changed = {name for name in values if recorded.get(name) != values[name]}
        differences = "; ".join(
            f"{name}: {recorded.get(name)}, now {values[name]}" for name in sorted(changed)
        )
        if changed - {STORE}:
            raise JournalError(
                f"the journal {self._path} is of another job ({differences}): use another --journal"
            )
        if changed and not any_store:
            raise JournalError(
                f"the journal {self._path} is of another store ({differences}): "
                "use another --journal, or --verify to encode what this store lacks"
            )
        if changed:
            with self._transaction():
                self._db.execute("UPDATE picture SET status = 'unverified' WHERE status = 'done'")
                self._db.execute("UPDATE job SET value = ? WHERE name = ?", (values[STORE], STORE))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {_explain(error)}") from error


def _path_value(path: str) -> Any:
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def _explain(error: sqlite3.Error) -> str:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another run is using it"
    return str(error)
