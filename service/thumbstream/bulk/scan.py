"""Paths of pictures, one after the other: from a folder with all below it, or from a list.

Nothing is collected and nothing is sorted: the first path comes at once, and ten million take no
more memory than ten. In a folder the file names tell what is a picture; a list is believed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff"),
)
"""Endings, in any case, of the formats that `thumbstream.images` reads."""

LONGEST_PATH = 65536
"""Bytes: far beyond what any system takes. A longer one means that the list is none."""

_CHUNK = 1 << 20
"""Bytes of a list read at a time."""

Complain = Callable[[str, OSError], None]


class Found(NamedTuple):
    """A file as it was before it was read: what changed since is made again by the next run."""

    path: str
    size: int
    """Bytes."""
    mtime_ns: int


def look(path: str) -> Found:
    """The file at ``path``. Raises `OSError`, also for what is no regular file."""
    try:
        seen = Path(path).stat()
    except ValueError as error:  # a NUL in the path
        raise OSError(str(error)) from None
    if not stat.S_ISREG(seen.st_mode):  # opening a pipe could wait for ever
        raise OSError("not a regular file")
    return Found(path, seen.st_size, seen.st_mtime_ns)


def pictures_below(folder: str, complain: Complain) -> Iterator[str]:
    """Paths of the pictures in ``folder`` and in all folders below, in no order.

    Links to files are followed, links to folders are not. A folder that cannot be read is told to
    ``complain`` and passed by.
    """
    below = [folder]
    while below:
        place = below.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
                    elif entry.name.lower().endswith(SUFFIXES):
                        yield entry.path
        except OSError as error:
            complain(place, error)


def paths_listed(file: BinaryIO, separator: bytes = b"\n") -> Iterator[str]:
    """Paths in a list, empty ones left out. Raises `ValueError` for what cannot be a list."""
    rest = b""
    while chunk := file.read(_CHUNK):
        *whole, rest = (rest + chunk).split(separator)
        yield from map(_path, filter(None, whole))
        if len(rest) > LONGEST_PATH:
            raise ValueError("this is no list of paths: one of them does not end")
    if rest:
        yield _path(rest)


def _path(name: bytes) -> str:
    if b"\0" in name:
        raise ValueError("this is no list of paths, one a line: it holds NUL bytes (see --null)")
    return os.fsdecode(name)
