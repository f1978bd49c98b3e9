"""Writes the results of a bulk run: streams and curves to the store, and the results file.

If the store cannot be reached, operations are retried for `RETRY_SECONDS`, because a failover takes
seconds and a run may take hours. If the store stays unreachable or is full, the run ends with an
error; another run with the same journal continues from there.
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
from thumbstream.storage import CREATE_OPTION, Record, Store

RETRY_SECONDS = 60.0
"""Time for which an operation is retried while the store is unreachable."""

RESULT_COLUMNS = ("path", "id", "length", "width", "height", "prefix_base64", "truncated")
"""Columns of the results file. ``length``: of the stream in bytes; ``width`` and ``height``: of the
original in pixels; ``prefix_base64``: the first bytes of the stream; ``truncated``: true if the end
of the file was missing.
"""

_FIRST_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 5.0
_REDIS_PORT = 6379

T = TypeVar("T")
_Rows = Iterable[tuple[Any, ...]]


class StoreWriter:
    """Gives synchronous code access to a store, with retries.

    ``is_stopping``: called before each retry; if it returns True, the error is raised instead.
    ``record``: makes the record of the streams that are stored next.
    """

    def __init__(
        self,
        store: Store,
        is_stopping: Callable[[], bool],
        record: Callable[[], Record] = Record.now,
    ) -> None:
        self._store = store
        self._is_stopping = is_stopping
        self._record = record
        self._loop = asyncio.Runner()

    def open(self) -> None:
        """Open the store and check that the store answers. Raises `StoreError`."""
        self._loop.run(self._store.open())
        self._loop.run(self._store.ping())

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` by key; returns when all are durable. Raises `StoreError`."""
        records = dict.fromkeys(values, self._record())
        self._with_retries(lambda: self._store.put_many(values, records))

    def missing(self, rows: Sequence[JournalRow], *, curves: bool) -> set[str]:
        """Return the ids of ``rows`` whose stream is missing or damaged in the store.

        With ``curves``, also those whose curve is missing. Raises `StoreError`.
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
    """Return a string that identifies a store but does not contain its password.

    ``url``: a URL that `open_store` accepts. The path of an SQLite file is made absolute.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = rest.removeprefix("/").removesuffix(CREATE_OPTION)
        return f"sqlite:{Path(path).absolute()}"
    parts = urlsplit(url)
    [database] = parse_qs(parts.query).get("db", [parts.path.strip("/")])[-1:]
    return f"{scheme}://{parts.hostname or 'localhost'}:{parts.port or _REDIS_PORT}/{database or 0}"


def check_results_name(name: str) -> Path:
    """Return ``name`` as a path. Raises `ValueError` unless it ends in ``.jsonl`` or ``.csv``."""
    path = Path(name)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"a results file ends in {' or '.join(_FORMATS)}, got {path.name}")
    return path


def write_results(path: Path, files: Iterable[tuple[str, EncodedFile]]) -> None:
    """Write the results file as JSON lines or CSV, by the suffix of ``path``. Raises `OSError`.

    An existing file is replaced only after the new file is complete.
    """
    unfinished = path.with_name(path.name + ".part")
    rows = (
        (
            name,
            file.id,
            file.length,
            file.width,
            file.height,
            _base64(file.prefix),
            file.truncated,
        )
        for name, file in files
    )
    # CSV contains the raw bytes of file names that are not UTF-8; JSON escapes such names.
    with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        _FORMATS[path.suffix.lower()](out, rows)
    unfinished.replace(path)


def _write_jsonl(file: TextIO, rows: _Rows) -> None:
    for row in rows:
        file.write(json.dumps(dict(zip(RESULT_COLUMNS, row, strict=True))) + "\n")


def _write_csv(file: TextIO, rows: _Rows) -> None:
    # Quote every text: before 3.11.9 and 3.12.3, Python did not quote a text that contains a CR.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(RESULT_COLUMNS)
    writer.writerows((*row, "true" if truncated else "false") for *row, truncated in rows)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_FORMATS: dict[str, Callable[[TextIO, _Rows], None]] = {".jsonl": _write_jsonl, ".csv": _write_csv}
