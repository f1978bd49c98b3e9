from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from launch import wait_until

from thumbstream.bulk.journal import EncodedFile, FileResult
from thumbstream.bulk.scan import FileInfo
from thumbstream.cli import progress as progress_module
from thumbstream.cli.progress import Progress

ENCODED = FileResult(FileInfo("a.jpg", 1, 1), EncodedFile("A" * 22, 300, 640, 480, b""))
FAILED = FileResult(FileInfo("b\x1b.jpg", 1, 1), reason="cut off")


def run(progress: Progress) -> None:
    """Ten files, counted in the background: four were done before, three are finished now."""
    counted = threading.Event()

    def paths() -> Iterator[str]:
        yield from map(str, range(10))
        counted.set()

    progress.count(paths)
    assert counted.wait(60)
    wait_until(lambda: progress.total == 10, "the total is 10")
    progress.add_done(4)
    progress.add_results([ENCODED, FAILED, ENCODED])
    progress.close()


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress_module, "REDRAW_SECONDS", 0.0)
    run(Progress())
    output = capsys.readouterr().err
    assert "7/10" in output
    assert "thumbstream: b\\x1b.jpg: cut off" in output


def test_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "LOG_INTERVAL_SECONDS", 0.0)
    run(Progress())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("thumbstream: 4 of 10 pictures")
    assert lines[1] == "thumbstream: b\\x1b.jpg: cut off"
    assert lines[2].startswith("thumbstream: 7 of 10 pictures, ")
    assert lines[2].endswith(" left")


def test_an_invalid_list_has_no_total(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[str]:
        yield "1"
        raise ValueError("invalid list")

    progress = Progress()
    progress.count(broken)
    progress.add_results([ENCODED])
    progress.close()
    assert progress.total is None
    assert capsys.readouterr().err == ""
