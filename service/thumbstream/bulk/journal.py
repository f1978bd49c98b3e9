"""The journal: what has become of every picture, in one SQLite file.

* A row says ``done`` only after the store said that the stream is durable, so a run may be killed
  at any moment: what was done is not done again, what was not is not missed.
* It is looked up by path, some pictures at a time; memory does not grow with it. It also is the
  result: which path has which id (`Journal.pictures`).
* It belongs to one job (how the streams are made, and for which store) and to one run at a time.

SQLite and not lines of JSON, because a million lines would have to be read into memory to know what
is done. Commits are not synced to disk one by one: a machine that loses power may forget the last
rows, and those pictures are made again.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thumbstream.bulk.scan import Found
from thumbstream.errors import ThumbstreamError

SCHEMA_VERSION = 1
"""Kept in ``PRAGMA user_version``."""

_CREATE = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE picture (
  path ANY PRIMARY KEY, -- TEXT; BLOB where the name is not UTF-8
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, -- of the file when it was looked at
  status TEXT NOT NULL, -- done, failed
  reason TEXT, -- why it failed; the others are NULL then
  id TEXT, length INTEGER, width INTEGER, height INTEGER, preview BLOB
) STRICT, WITHOUT ROWID;
"""
_COLUMNS = "path, size, mtime_ns, status, reason, id, length, width, height, preview"
_RECORD = f"INSERT OR REPLACE INTO picture ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (no input)
_FIND = "SELECT size, mtime_ns, id, length FROM picture WHERE path = ? AND status = 'done'"
_PICTURES = "SELECT path, id, length, width, height, preview FROM picture WHERE status = 'done'"


class JournalError(ThumbstreamError):
    """A journal that cannot be used, or not for this job."""


class Made(NamedTuple):
    """A stream that is durable."""

    id: str
    length: int
    """Bytes."""
    width: int
    """Of the upright original, pixels."""
    height: int
    preview: bytes
    """The first bytes of the stream."""


class Entry(NamedTuple):
    """What has become of a picture: ``made``, or the ``reason`` why not."""

    found: Found
    made: Made | None = None
    reason: str | None = None


class Kept(NamedTuple):
    """What the journal knows of a picture that is done."""

    size: int
    mtime_ns: int
    id: str
    length: int


class Journal:
    """The journal in the file at ``path``, opened (and made, if there is none) for one ``job``.

    Raises `JournalError` for a file that is none, is in use, or belongs to another job.
    """

    def __init__(self, path: str | Path, job: Mapping[str, object]) -> None:
        self._path = Path(path)
        try:
            self._db = sqlite3.connect(self._path, timeout=0.0, isolation_level=None)
            try:
                self._open()
                self._claim({name: json.dumps(value) for name, value in job.items()})
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path}: {_told(error)}") from error

    def find(self, path: str) -> Kept | None:
        """What is known of a picture that is done; None of any other."""
        row = self._db.execute(_FIND, (_key(path),)).fetchone()
        return None if row is None else Kept(*row)

    def record(self, entries: Sequence[Entry]) -> None:
        """Note what has become of some pictures, all or none. Raises `JournalError`."""
        rows = [
            (_key(path), size, mtime_ns, "failed", reason, *[None] * 5)
            if made is None
            else (_key(path), size, mtime_ns, "done", None, *made)
            for (path, size, mtime_ns), made, reason in entries
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(_RECORD, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path}: {_told(error)}") from error

    def pictures(self) -> Iterator[tuple[str, Made]]:
        """Path and stream of every picture that is done, by path."""
        for path, *made in self._db.execute(f"{_PICTURES} ORDER BY path"):
            yield (path if isinstance(path, str) else os.fsdecode(path)), Made(*made)

    def belongs_to(self, name: str, value: object) -> bool:
        """Whether the journal was begun with this ``value`` in its job."""
        return self._job()[name] == json.dumps(value)

    def adopt(self, name: str, value: object) -> None:
        """Change a ``value`` of the job."""
        self._db.execute("UPDATE job SET value = ? WHERE name = ?", (json.dumps(value), name))

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _open(self) -> None:
        # No second run while this one is at it: both would do the same work.
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

    def _job(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT name, value FROM job"))

    def _claim(self, job: Mapping[str, str]) -> None:
        """Write the job into a new journal; hold it against that of an old one.

        The store is not held against anything here: a run that verifies may bring another.
        """
        known = self._job()
        if not known:
            self._db.executemany("INSERT INTO job VALUES (?, ?)", job.items())
            return
        other = [name for name in job if name != "store" and known.get(name) != job[name]]
        if other:
            told = "; ".join(f"{name}: {known.get(name)}, now {job[name]}" for name in other)
            raise JournalError(
                f"the journal {self._path} is of another job ({told}): use another --journal"
            )


def _key(path: str) -> Any:
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def _told(error: sqlite3.Error) -> str:
    if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    ):
        return "another run is using it"
    return str(error)
