from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from thumbstream.bulk import scan
from thumbstream.bulk.scan import (
    MAX_KINDS,
    MAX_PATH_BYTES,
    SkippedFiles,
    read_path_list,
    stat_file,
    walk_images,
)


def walk(folder: Path) -> tuple[set[str], set[str], list[str]]:
    """Found and skipped paths, relative to ``folder``, and folders that could not be read."""
    unreadable: list[str] = []
    skipped: list[str] = []
    found = list(
        walk_images(str(folder), lambda place, _: unreadable.append(place), skipped.append)
    )
    assert len(set(found)) == len(found)
    return (
        {os.path.relpath(path, folder) for path in found},
        {os.path.relpath(path, folder) for path in skipped},
        unreadable,
    )


def test_walk_finds_images_in_all_subfolders(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/c.PNG", "b/d/e.webp", "b/notes.txt", "jpg", "f.jpg.ths"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)  # not followed: it would never end
    (tmp_path / "linked.gif").symlink_to(tmp_path / "a.jpg")
    found, skipped, unreadable = walk(tmp_path)
    assert found == {"a.jpg", "b/c.PNG", "b/d/e.webp", "linked.gif"}
    assert skipped == {"b/notes.txt", "jpg", "f.jpg.ths", "b/up"}
    assert unreadable == []


@pytest.mark.parametrize("extra", [False, True])
def test_walk_skips_apple_double_and_heic_without_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: bool
) -> None:
    monkeypatch.setattr(scan, "find_spec", lambda _: object() if extra else None)
    scan._suffixes.cache_clear()
    for name in ("IMG_1.HEIC", "a.png", "._a.png"):
        (tmp_path / name).touch()
    found, skipped, _ = walk(tmp_path)
    scan._suffixes.cache_clear()
    assert found == ({"a.png", "IMG_1.HEIC"} if extra else {"a.png"})
    assert skipped == ({"._a.png"} if extra else {"._a.png", "IMG_1.HEIC"})


def test_walk_reports_unreadable_folders(tmp_path: Path) -> None:
    assert walk(tmp_path / "gone") == (set(), set(), [str(tmp_path / "gone")])


def test_skipped_files_are_counted_and_named() -> None:
    skipped = SkippedFiles()
    for path in ("in/1.HEIC", "in/2.heic", "in/._a.png", "in/README"):
        skipped.add(path)
    assert skipped.lines() == [
        "skipped 2 .heic files, such as in/1.HEIC",
        "skipped 1 ._* (AppleDouble) file, such as in/._a.png",
        "skipped 1 unnamed-type file, such as in/README",
    ]


def test_kinds_of_skipped_files_are_bounded() -> None:
    skipped = SkippedFiles()
    for number in range(10 * MAX_KINDS):
        skipped.add(f"file.{number}")
    assert len(skipped.lines()) == MAX_KINDS + 1
    assert any(line.startswith(f"skipped {9 * MAX_KINDS} other") for line in skipped.lines())


@pytest.mark.parametrize(
    ("text", "separator", "paths"),
    [
        (b"", b"\n", []),
        (b"a\n\nb c\n", b"\n", ["a", "b c"]),
        (b"a\nlast", b"\n", ["a", "last"]),
        (b"a\r\nb c\r\n\r\nlast\r", b"\n", ["a", "b c", "last"]),
        (b"\xef\xbb\xbfa\nb\n", b"\n", ["a", "b"]),
        (b"a\nb\0c\r\0", b"\0", ["a\nb", "c\r"]),
        (b"\xff.jpg\n", b"\n", ["\udcff.jpg"]),
        (b"x" * MAX_PATH_BYTES + b"\ny", b"\n", ["x" * MAX_PATH_BYTES, "y"]),
    ],
)
def test_path_lists(text: bytes, separator: bytes, paths: list[str]) -> None:
    assert list(read_path_list(io.BytesIO(text), separator)) == paths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\0b\0", "--null"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "--null"),
        ("a.jpg\nb.jpg\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_rejects_invalid_path_lists(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_path_list(io.BytesIO(text)))


def test_rejects_an_endless_line_without_reading_it_all() -> None:
    class Endless(io.RawIOBase):
        bytes_read = 0

        def read(self, size: int = -1) -> bytes:
            self.bytes_read += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(ValueError, match="a line exceeds"):
        next(read_path_list(endless))  # type: ignore[arg-type]
    assert endless.bytes_read < 4 << 20


def test_stat_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1234567890123456789))
    assert stat_file(str(path)) == (str(path), 5, 1234567890123456789)


def test_times_out_of_range_are_clamped(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    os.utime(path, (13569465600, 13569465600))  # the year 2400; some file systems cannot hold it
    assert 0 < stat_file(str(path)).mtime_ns < 1 << 63


def test_stat_file_rejects_what_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", ".", "gone.jpg", "a\0b"):
        with pytest.raises(OSError):  # noqa: PT011 (the system's words)
            stat_file(f"{tmp_path}/{name}")
