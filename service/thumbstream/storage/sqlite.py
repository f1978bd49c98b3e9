"""Streams in one SQLite file: the embedded default, nothing to install or to run.

* Durable: WAL with ``synchronous=FULL`` syncs the log at every commit, and ``put`` returns after
  it. The syncs are shared: while one commit is under way, the puts that arrive wait in a list and
  make up the next transaction (group commit).
* Writing happens on one thread of its own, since a commit waits for the disk.
* Reading happens on the event loop. Under WAL a reader waits for no writer and no checkpoint, so a
  get is a walk down a B-tree in memory, several times cheaper than handing it to a thread. Two
  things could hold the loop up: a page that is not in the page cache, which costs one disk read,
  and a lock, which is not waited for there: that read goes to the writer's thread.
* Several processes may share the file (on one machine: WAL needs shared memory).

How a file is opened, set up and checked: ``sqlite_file``.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from thumbstream.errors import StoreUnavailableError
from thumbstream.storage.sqlite_file import (
    BUSY_TIMEOUT_S,
    is_locked,
    open_reader,
    open_writer,
    store_error,
)

MAX_BATCH = 1024
"""Puts in one transaction: about 250 KB of log, some milliseconds of inserts."""

_INSERT = "INSERT OR IGNORE INTO thumb (id, stream) VALUES (?, ?)"
_SELECT = "SELECT id, stream FROM thumb WHERE id IN (SELECT value FROM json_each(?))"
_SELECT_ONE = "SELECT stream FROM thumb WHERE id = ?"

_Result = TypeVar("_Result")


class _Put(NamedTuple):
    key: str
    value: bytes
    done: asyncio.Future[bool]


class SQLiteStore:
    """A `Store` in the SQLite file at ``path``; folders above it are created.

    ``max_bytes`` bounds the size of the file (a put beyond it raises `StoreFullError`);
    ``busy_timeout`` is how long a put waits for another process that is writing, seconds.
    """

    name = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int | None = None,
        busy_timeout: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._busy_timeout = busy_timeout
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._waiting: list[_Put] = []
        self._committing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file, and set it up if it is new."""
        try:
            await self._on_thread(self._connect)
        except sqlite3.Error as error:
            raise store_error(error) from error
        except OSError as error:
            raise StoreUnavailableError(f"the folder of the store: {error}") from error

    async def close(self) -> None:
        """Commit the puts that wait, then close the file."""
        reader, self._reader = self._reader, None
        if self._committing is not None:
            await self._committing
        if reader is not None:
            reader.close()
            # Last of all: it takes the log back into the file.
            await self._on_thread(self._disconnect)
        self._thread.shutdown(wait=False)

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""
        rows = await self._read(_SELECT_ONE, key)
        return rows[0][0] if rows else None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``, in their order, by one query."""
        found = dict(await self._read(_SELECT, json.dumps(list(keys))))
        return [found.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        """Keep ``value`` under ``key`` unless there is one; returns after the commit."""
        if self._reader is None:
            raise StoreUnavailableError("the store is not open")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Put(key, value, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting())
        return await done

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each: they wait together, so one commit takes up to `MAX_BATCH`."""
        await asyncio.gather(*(self.put(key, value) for key, value in values.items()))

    async def ping(self) -> None:
        """Return if the table can be read."""
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
            return await self._on_thread(partial(self._read_waiting, statement, parameter))
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _read_waiting(self, statement: str, parameter: str) -> list[Any]:
        assert self._writer is not None
        return self._writer.execute(statement, (parameter,)).fetchall()

    # Writing: a list on the event loop, a transaction at a time on the thread.

    async def _commit_waiting(self) -> None:
        """Commit until nothing waits; everything that arrived during a commit shares the next."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                news = await self._on_thread(partial(self._insert, batch))
            except Exception as error:  # Whatever it is, every caller must hear of it.
                failure = store_error(error)
                for put in batch:
                    if not put.done.done():
                        put.done.set_exception(type(failure)(*failure.args))
            else:
                for put, new in zip(batch, news, strict=True):
                    if not put.done.done():
                        put.done.set_result(new)
        self._committing = None

    def _insert(self, batch: Sequence[_Put]) -> list[bool]:
        """Insert ``batch`` in one transaction; which of them are new. All are durable, or none."""
        writer = self._writer
        assert writer is not None
        writer.execute("BEGIN IMMEDIATE")
        try:
            news = [writer.execute(_INSERT, put[:2]).rowcount == 1 for put in batch]
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        return news

    # Opening and closing, on the thread.

    def _connect(self) -> None:
        if self._writer is None:
            writer = open_writer(self._path, self._max_bytes, self._busy_timeout)
            self._writer, self._reader = writer, open_reader(self._path)

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _on_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
