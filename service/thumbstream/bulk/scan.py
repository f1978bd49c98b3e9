"""Paths of pictures, one after the other: from a folder with all its subfolders, or from a list.

Nothing is collected or sorted: the first path comes at once, and ten million take no more memory
than ten. In a folder, file names decide which files are pictures; a list is taken as it is.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff"),
)
"""Endings, in any case, of the formats that `thumbstream.images` reads."""

HEIC_SUFFIXES = (".heic", ".heif")
"""Endings of HEIC, which is read where the extra ``heif`` is installed."""

APPLE_DOUBLE = "._"
"""Begins the names of files in which macOS keeps what other file systems cannot."""

MAX_PATH_BYTES = 65536
"""Far beyond what any system takes: a longer line means that the file is not a list of paths."""

MAX_KINDS = 20
"""Kinds of skipped files that are counted one by one; the rest are counted together."""

STANDARD_INPUT = "-"

_CHUNK_BYTES = 1 << 20
_INT64_MAX = (1 << 63) - 1

OnError = Callable[[str, OSError], None]
"""Called with a folder that cannot be read."""
OnSkip = Callable[[str], None]
"""Called with the path of a file that is not a picture by its name."""


class FileInfo(NamedTuple):
    """A file before it was read. If it changes afterwards, the next run encodes it again."""

    path: str
    size: int
    """Bytes."""
    mtime_ns: int
    """Nanoseconds since 1970, at most what a database column holds (the year 2262)."""


def stat_file(path: str) -> FileInfo:
    """The file at ``path``. Raises `OSError`, also if it is not a regular file."""
    try:
        status = Path(path).stat()
    except ValueError as error:  # a NUL in the path
        raise OSError(str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise OSError("a folder, not a picture file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe could block for ever
        raise OSError("not a regular file")
    mtime_ns = max(-_INT64_MAX, min(status.st_mtime_ns, _INT64_MAX))
    return FileInfo(path, status.st_size, mtime_ns)


class Source:
    """The paths of a run. ``name``: a folder, a file with a list, or ``-`` for standard input."""

    def __init__(self, name: str, separator: bytes = b"\n") -> None:
        self._name = name
        self._separator = separator
        self.countable = name != STANDARD_INPUT
        """Whether `paths` can be called twice, to count them first."""

    def paths(self, on_error: OnError, on_skip: OnSkip) -> Iterator[str]:
        """Iterate over the paths. Raises `OSError`, and `ValueError` for an invalid list."""
        if self._name == STANDARD_INPUT:
            yield from read_path_list(sys.stdin.buffer, self._separator)
        elif Path(self._name).is_dir():
            yield from walk_images(self._name, on_error, on_skip)
        else:
            with Path(self._name).open("rb") as file:
                yield from read_path_list(file, self._separator)


def walk_images(folder: str, on_error: OnError, on_skip: OnSkip) -> Iterator[str]:
    """Paths of the pictures in ``folder`` and all its subfolders, in no order.

    Links to files are followed, links to folders are not. ``on_error`` gets a folder that cannot be
    read, ``on_skip`` a file that is not a picture by its name.
    """
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif _is_image_name(entry.name):
                        yield entry.path
                    else:
                        on_skip(entry.path)
        except OSError as error:
            on_error(current, error)


def read_path_list(file: BinaryIO, separator: bytes = b"\n") -> Iterator[str]:
    """The paths in a list, without empty ones. Raises `ValueError` for an invalid list.

    Lines may end in LF or CRLF, and the list may begin with a byte order mark of UTF-8.
    """
    rest, first = b"", True
    while chunk := file.read(_CHUNK_BYTES):
        rest += chunk
        if first:
            rest, first = _without_mark(rest), False
        *names, rest = rest.split(separator)
        yield from _decode_paths(names, separator)
        if len(rest) > MAX_PATH_BYTES:
            raise ValueError(f"not a list of paths: a line exceeds {MAX_PATH_BYTES} bytes")
    yield from _decode_paths([rest], separator)


class SkippedFiles:
    """Counts the files that a walk skipped, by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, path: str) -> None:
        """Count one file."""
        kind = _kind(path)
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = "other"
        self._counts[kind] += 1
        self._examples.setdefault(kind, path)

    def lines(self) -> list[str]:
        """One line for each kind: how many, and the first one."""
        return [
            f"skipped {count} {kind} file{'s' * (count > 1)}, such as {self._examples[kind]}"
            for kind, count in self._counts.most_common()
        ]


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(_suffixes()) and not name.startswith(APPLE_DOUBLE)


@cache
def _suffixes() -> tuple[str, ...]:
    return (*SUFFIXES, *(HEIC_SUFFIXES if find_spec("pillow_heif") else ()))


def _kind(path: str) -> str:
    name = PurePath(path).name
    if name.startswith(APPLE_DOUBLE):
        return f"{APPLE_DOUBLE}* (AppleDouble)"
    return PurePath(name).suffix.lower() or "unnamed-type"


def _without_mark(data: bytes) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("the list of paths is in UTF-16: save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _decode_paths(names: list[bytes], separator: bytes) -> Iterator[str]:
    for name in names:
        if separator == b"\n":
            name = name.removesuffix(b"\r")
        if b"\0" in name:
            raise ValueError("the list of paths contains NUL bytes: use --null")
        if name:
            yield os.fsdecode(name)
