"""Iterates over the paths of pictures in a folder with all its subfolders, or in a list.

Paths are neither collected nor sorted, so that the first path is available at once and memory does
not grow with the number of paths. In a folder, only files with the suffix of a supported format are
pictures; a list may contain any paths.
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
"""File name suffixes, in upper or lower case, of the formats that `thumbstream.images` reads."""

HEIC_SUFFIXES = (".heic", ".heif")
"""File name suffixes of HEIC, which needs the extra ``heif``."""

APPLE_DOUBLE = "._"
"""Prefix of the names of files in which macOS stores its metadata on foreign file systems."""

MAX_PATH_BYTES = 65536
"""Limit of a line's length in bytes; a file with a longer line is not a list of paths."""

MAX_KINDS = 20
"""Number of kinds of skipped files that are counted separately; further kinds are ``other``."""

STANDARD_INPUT = "-"

_CHUNK_BYTES = 1 << 20
_INT64_MAX = (1 << 63) - 1

OnError = Callable[[str, OSError], None]
"""Function that is called with the path of a folder that cannot be read, and the error."""
OnSkip = Callable[[str], None]
"""Function that is called with the path of a file without the suffix of a picture."""


class FileInfo(NamedTuple):
    """The state of a file before it is read, by which the next run detects a changed file."""

    path: str
    size: int
    """Size of the file in bytes."""
    mtime_ns: int
    """Time of modification in nanoseconds since 1970, clipped to 64 bits (the year 2262)."""


def stat_file(path: str) -> FileInfo:
    """Return the state of the file at ``path``. Raises `OSError` unless this is a regular file."""
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
    """The source of a run's paths: a folder, or a list of paths.

    ``name``: the folder, the file of the list, or ``-`` for a list on standard input.
    ``separator``: the byte that ends each path of a list.
    """

    def __init__(self, name: str, separator: bytes = b"\n") -> None:
        self._name = name
        self._separator = separator
        self.countable = name != STANDARD_INPUT
        """Whether `paths` can be called twice, so that one call can count the paths."""

    def paths(self, on_error: OnError, on_skip: OnSkip) -> Iterator[str]:
        """Iterate over the paths; for a folder as `walk_images` does.

        Raises `OSError`, and `ValueError` for an invalid list.
        """
        if self._name == STANDARD_INPUT:
            yield from read_path_list(sys.stdin.buffer, self._separator)
        elif Path(self._name).is_dir():
            yield from walk_images(self._name, on_error, on_skip)
        else:
            with Path(self._name).open("rb") as file:
                yield from read_path_list(file, self._separator)


def walk_images(folder: str, on_error: OnError, on_skip: OnSkip) -> Iterator[str]:
    """Iterate over the paths of the pictures in ``folder`` and all its subfolders, in any order.

    Links to files are followed, links to folders are not. ``on_error`` is called for each folder
    that cannot be read, ``on_skip`` for each file without the suffix of a picture.
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
    """Iterate over the paths in a list, except empty lines. Raises `ValueError` if it is invalid.

    With the default separator, lines may end in LF or CRLF. The list may begin with a UTF-8 byte
    order mark.
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
    """Counts the files that `walk_images` skipped, by their suffix."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, path: str) -> None:
        """Count one skipped file."""
        kind = _kind(path)
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = "other"
        self._counts[kind] += 1
        self._examples.setdefault(kind, path)

    def lines(self) -> list[str]:
        """Return one line of text for each kind: the number of files, and the first path."""
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
