#!/usr/bin/env python3
"""Copies a thumbstream SQLite store while it is in use: ``backup_sqlite.py STORE COPY``.

The copy is a consistent snapshot with every stream acknowledged before the command was started.
Reads and uploads continue meanwhile. It gets its final name only when it is complete, checked and
synced; an existing file is never replaced. Needs Python 3.11 and nothing else. Prints
the number of copied values; exit status 1 if anything failed.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Copy, and return the exit status."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    store, copy = map(Path, arguments)
    try:
        values = backup(store, copy)
    except (OSError, sqlite3.Error) as error:
        print(f"backup_sqlite: {store}: {error}", file=sys.stderr)
        return 1
    print(f"{copy}: {values} values, {copy.stat().st_size} bytes")
    return 0


def backup(store: Path, copy: Path) -> int:
    """Copy ``store`` to ``copy``; the number of its values. Raises `OSError`, `sqlite3.Error`."""
    if not store.is_file():
        raise FileNotFoundError("no such file")
    if copy.exists():
        raise FileExistsError(f"{copy} is there already")
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(store, timeout=30, isolation_level=None)) as source:
        # One statement, one moment: under WAL it waits for no writer, and no writer for it.
        source.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part)) as copied:
        (verdict,) = copied.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")
        (values,) = copied.execute("SELECT count(*) FROM thumb").fetchone()
    for path in (part, copy.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path == part:
            part.rename(copy)  # then its folder is synced, in which the name now is
    return int(values)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
