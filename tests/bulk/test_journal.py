from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from thumbstream.bulk.journal import EncodedFile, FileResult, Journal, JournalError
from thumbstream.bulk.scan import FileInfo

JOB = {"model": "m", "size": 32, "target": None}
STORE = "sqlite:/a"
ENCODED = EncodedFile("A" * 22, 300, 640, 480, bytes(range(32)), True)
NOT_UTF_8 = os.fsdecode(b'caf\xe9,"1".jpg')


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "j"


def test_results_are_there_in_the_next_run(place: Path) -> None:
    with closing(Journal(place, JOB, STORE)) as journal:
        journal.record(
            [
                FileResult(FileInfo("a", 5, 7), ENCODED),
                FileResult(FileInfo("b", 6, 8), reason="broken"),
            ]
        )
        journal.record([FileResult(FileInfo(NOT_UTF_8, 1, 2), ENCODED)])
    with closing(Journal(place, JOB, STORE)) as journal:
        assert journal.find("a") == (5, 7, ENCODED.id, 300, True)
        assert journal.find(NOT_UTF_8) == (1, 2, ENCODED.id, 300, True)
        assert journal.find("b") is None  # to be tried again
        assert journal.find("c") is None
        assert dict(journal.encoded_files()) == {"a": ENCODED, NOT_UTF_8: ENCODED}


def test_the_last_result_of_a_path_counts(place: Path) -> None:
    with closing(Journal(place, JOB, STORE)) as journal:
        journal.record([FileResult(FileInfo("a", 5, 7), reason="cut off")])
        journal.record([FileResult(FileInfo("a", 9, 9), ENCODED)])
        assert journal.find("a") == (9, 9, ENCODED.id, 300, True)
        journal.record([FileResult(FileInfo("a", 1, 1), reason="cut off")])
        assert journal.find("a") is None
        assert list(journal.encoded_files()) == []


def test_failures_can_be_queried_with_sql(place: Path) -> None:
    with closing(Journal(place, JOB, STORE)) as journal:
        journal.record([FileResult(FileInfo("b", 6, 8), reason="broken")])
    with closing(sqlite3.connect(place)) as db:
        query = "SELECT path, reason FROM picture WHERE status = 'failed'"
        assert db.execute(query).fetchall() == [("b", "broken")]


def test_rejects_another_job(place: Path) -> None:
    Journal(place, JOB, STORE).close()
    with pytest.raises(JournalError, match="size: 32, now 64"):
        Journal(place, JOB | {"size": 64}, STORE)


def test_another_store_makes_rows_unverified(place: Path) -> None:
    with closing(Journal(place, JOB, STORE)) as journal:
        journal.record([FileResult(FileInfo(path, 5, 7), ENCODED) for path in "ab"])
    other = "redis://b"
    with pytest.raises(JournalError, match=r"another store .*sqlite:/a.*redis://b.*--verify"):
        Journal(place, JOB, other)
    with closing(Journal(place, JOB, other, any_store=True)) as journal:
        assert list(journal.encoded_files()) == []
        journal.record_verified(["a"])
        assert journal.find("a") == (5, 7, ENCODED.id, 300, True)
    with closing(Journal(place, JOB, other)) as journal:
        assert dict(journal.encoded_files()) == {"a": ENCODED}
        assert journal.find("b") == (5, 7, ENCODED.id, 300, False)
    with pytest.raises(JournalError, match="another store"):
        Journal(place, JOB, STORE)


def test_one_run_at_a_time(place: Path) -> None:
    with (
        closing(Journal(place, JOB, STORE)),
        pytest.raises(JournalError, match="another run is using it"),
    ):
        Journal(place, JOB, STORE)


def test_another_file_is_left_unchanged(place: Path) -> None:
    place.write_text("my notes, which are longer than the header of a database " * 20)
    with pytest.raises(JournalError):
        Journal(place, JOB, STORE)
    assert place.read_text().startswith("my notes")


def test_another_database_is_left_unchanged(place: Path) -> None:
    with closing(sqlite3.connect(place)) as db:
        db.execute("CREATE TABLE thumb (id TEXT)")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(JournalError, match="not a journal"):
        Journal(place, JOB, STORE)


def test_a_damaged_journal_is_a_journal_error(place: Path) -> None:
    with closing(Journal(place, JOB, STORE)) as journal:
        journal.record([FileResult(FileInfo(str(n), n, n), ENCODED) for n in range(999)])
    data = bytearray(place.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    place.write_bytes(data)
    with pytest.raises(JournalError), closing(Journal(place, JOB, STORE)) as journal:
        journal.find("1")


def test_rejects_a_journal_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "gone" / "j", JOB, STORE)
