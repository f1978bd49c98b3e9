from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from thumbstream.bulk.scan import LONGEST_PATH, look, paths_listed, pictures_below


def walked(folder: Path) -> tuple[set[str], list[str]]:
    """Paths below ``folder``, relative to it, and the places that could not be read."""
    complaints: list[str] = []
    found = list(pictures_below(str(folder), lambda place, _: complaints.append(place)))
    assert len(set(found)) == len(found)
    return {os.path.relpath(path, folder) for path in found}, complaints


def test_pictures_of_all_folders(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/c.PNG", "b/d/e.webp", "b/notes.txt", "jpg", "f.jpg.ths"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)  # not followed: it would never end
    (tmp_path / "linked.gif").symlink_to(tmp_path / "a.jpg")
    assert walked(tmp_path) == ({"a.jpg", "b/c.PNG", "b/d/e.webp", "linked.gif"}, [])


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert walked(tmp_path / "gone") == (set(), [str(tmp_path / "gone")])


@pytest.mark.parametrize(
    ("text", "separator", "paths"),
    [
        (b"", b"\n", []),
        (b"a\n\nb c\n", b"\n", ["a", "b c"]),
        (b"a\nlast", b"\n", ["a", "last"]),
        (b"a\nb\0c\0", b"\0", ["a\nb", "c"]),
        (b"\xff.jpg\n", b"\n", ["\udcff.jpg"]),
        (b"x" * LONGEST_PATH + b"\ny", b"\n", ["x" * LONGEST_PATH, "y"]),
    ],
)
def test_lists(text: bytes, separator: bytes, paths: list[str]) -> None:
    assert list(paths_listed(io.BytesIO(text), separator)) == paths


@pytest.mark.parametrize("text", [b"a\0b\0", b"\xff\xd8\xff\xe0\0\x10JFIF\0"])
def test_what_is_no_list_of_lines(text: bytes) -> None:
    with pytest.raises(ValueError, match="--null"):
        list(paths_listed(io.BytesIO(text)))


def test_a_list_without_an_end_is_not_read_into_memory() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(ValueError, match="does not end"):
        next(paths_listed(endless))  # type: ignore[arg-type]
    assert endless.given < 4 << 20


def test_a_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1234567890123456789))
    assert look(str(path)) == (str(path), 5, 1234567890123456789)


def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", ".", "gone.jpg", "a\0b"):
        with pytest.raises(OSError):  # noqa: PT011 (the system's words)
            look(f"{tmp_path}/{name}")
