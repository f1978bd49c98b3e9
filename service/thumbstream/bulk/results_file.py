"""What a site needs of a bulk run: path -> id, length, sides and an inlined preview.

JSON lines or CSV, by the name of the file; written from the journal, row by row, to a file beside
it that takes its name when it is complete.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from thumbstream.bulk.journal import Made

COLUMNS = ("path", "id", "length", "width", "height", "prefix_base64")
"""Lengths in bytes, sides of the original in pixels; ``prefix_base64`` the first 32 bytes."""

Rows = Iterable[tuple[Any, ...]]


def check_name(name: str) -> Path:
    """The path of a manifest; ValueError if its ending names no format."""
    path = Path(name)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"a manifest ends in {' or '.join(_WRITERS)}, not {path.name}")
    return path


def write_manifest(path: Path, pictures: Iterable[tuple[str, Made]]) -> None:
    """Write the manifest at ``path``, or leave what is there as it is. Raises `OSError`."""
    unfinished = path.with_name(path.name + ".part")
    rows = (
        (name, made.id, made.length, made.width, made.height, _base64(made.preview))
        for name, made in pictures
    )
    # Names that are not UTF-8 come out as the bytes that they are; JSON escapes them.
    with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        _WRITERS[path.suffix.lower()](file, rows)
    unfinished.replace(path)


def _write_jsonl(file: TextIO, rows: Rows) -> None:
    for row in rows:
        file.write(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n")


def _write_csv(file: TextIO, rows: Rows) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_WRITERS: dict[str, Callable[[TextIO, Rows], None]] = {".jsonl": _write_jsonl, ".csv": _write_csv}
