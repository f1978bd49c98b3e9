from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from bulk_harness import until

from thumbstream.bulk import progress as progressing
from thumbstream.bulk.journal import Entry, Made
from thumbstream.bulk.progress import Progress
from thumbstream.bulk.scan import Found

MADE = Entry(Found("a.jpg", 1, 1), Made("A" * 22, 300, 640, 480, b""))


def run(progress: Progress) -> None:
    """Ten pictures, counted in the background: four were done before, three are made now."""
    counted = threading.Event()

    def everything() -> Iterator[int]:
        yield from range(10)
        counted.set()

    progress.count(everything)
    until(counted.is_set)
    until(lambda: progress.total == 10)
    progress.skipped(4)
    progress.settled([MADE, Entry(Found("b\x1b.jpg", 1, 1), reason="cut off"), MADE])
    progress.close()


def test_a_bar_where_there_is_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progressing, "REDRAW_S", 0.0)
    run(Progress())
    shown = capsys.readouterr().err
    assert "7/10" in shown
    assert "thumbstream: b\\x1b.jpg: cut off" in shown


def test_lines_where_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progressing, "LINE_S", 0.0)
    run(Progress())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("thumbstream: 4 of 10 pictures")
    assert lines[1] == "thumbstream: b\\x1b.jpg: cut off"
    assert lines[2].startswith("thumbstream: 7 of 10 pictures, ")
    assert lines[2].endswith(" left")


def test_what_cannot_be_counted_has_no_total(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no list")

    progress = Progress()
    progress.count(broken)
    progress.settled([MADE])
    progress.close()
    assert progress.total is None
    assert capsys.readouterr().err == ""
