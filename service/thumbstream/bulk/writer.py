"""Where results are written: the store, and the results file.

A store that cannot be reached is tried again for `RETRY_SECONDS`, because a failover takes seconds
and a run takes hours. Then, or if the store is full, the run ends; the next one continues it.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar
from urllib.parse import parse_qs, urlsplit

from thumbstream.bulk.journal import EncodedFile, JournalRow
from thumbstream.encoding import supports_curve
from thumbstream.errors import StoreUnavailableError
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Store

RETRY_SECONDS = 60.0
"""How long a store may be unreachable."""

RESULT_COLUMNS = ("path", "id", "length", "width", "height", "prefix_base64")
"""Lengths in bytes, sides of the original in pixels; and the first bytes of the stream."""

_FIRST_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 5.0
_REDIS_PORT = 6379

T = TypeVar("T")
_Rows = Iterable[tuple[Any, ...]]


class StoreWriter:
    """A store for synchronous code. ``is_stopping``: whether to give up instead of trying again."""

    def __init__(self, store: Store, is_stopping: Callable[[], bool]) -> None:
        self._store = store
        self._is_stopping = is_stopping
        self._loop = asyncio.Runner()

    def open(self) -> None:
        """Open the store and check that it answers. Raises `StoreError`."""
        self._loop.run(self._store.open())
        self._loop.run(self._store.ping())

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Return when all values are durable. Raises `StoreError`."""
        self._with_retries(lambda: self._store.put_many(values))

    def missing(self, rows: Sequence[JournalRow], *, curves: bool) -> set[str]:
        """Ids of ``rows`` whose stream, or with ``curves`` whose curve, the store lacks.

        Raises `StoreError`.
        """
        with_curve = {row.id for row in rows if curves and supports_curve(row.length)}
        keys = [*(row.id for row in rows), *map(curve_key, with_curve)]
        found = self._with_retries(lambda: self._store.get_many(keys))
        values = dict(zip(keys, found, strict=True))
        lost = {row.id for row in rows if identify(values[row.id] or b"") != row.id}
        return lost | {key for key in with_curve if values[curve_key(key)] is None}

    def close(self) -> None:
        """Close the store."""
        self._loop.run(self._store.close())
        self._loop.close()

    def _with_retries(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        deadline = time.monotonic() + RETRY_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._loop.run(operation())
            except StoreUnavailableError:
                if self._is_stopping() or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)


def store_identity(url: str) -> str:
    """The identity of a store: without its password, and the same from every working folder.

    ``url`` is one that `open_store` accepts.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return f"sqlite:{Path(rest.removeprefix('/')).absolute()}"
    parts = urlsplit(url)
    [database] = parse_qs(parts.query).get("db", [parts.path.strip("/")])[-1:]
    return f"{scheme}://{parts.hostname or 'localhost'}:{parts.port or _REDIS_PORT}/{database or 0}"


def check_results_name(name: str) -> Path:
    """The path of a results file; `ValueError` if its ending names no format."""
    path = Path(name)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"a results file ends in {' or '.join(_FORMATS)}, got {path.name}")
    return path


def write_results(path: Path, files: Iterable[tuple[str, EncodedFile]]) -> None:
    """Write the results file: JSON lines or CSV, by the ending of ``path``. Raises `OSError`.

    It replaces an older one when it is complete.
    """
    unfinished = path.with_name(path.name + ".part")
    rows = (
        (name, file.id, file.length, file.width, file.height, _base64(file.prefix))
        for name, file in files
    )
    # Names that are not UTF-8 are written as their bytes; JSON escapes them.
    with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        _FORMATS[path.suffix.lower()](out, rows)
    unfinished.replace(path)


def _write_jsonl(file: TextIO, rows: _Rows) -> None:
    for row in rows:
        file.write(json.dumps(dict(zip(RESULT_COLUMNS, row, strict=True))) + "\n")


def _write_csv(file: TextIO, rows: _Rows) -> None:
    # Every text is quoted: before 3.11.9 and 3.12.3, Python did not quote one for a CR in it.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(RESULT_COLUMNS)
    writer.writerows(rows)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_FORMATS: dict[str, Callable[[TextIO, _Rows], None]] = {".jsonl": _write_jsonl, ".csv": _write_csv}
