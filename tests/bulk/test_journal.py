from __future__ import annotations

import base64
import csv
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from thumbstream.bulk.journal import Entry, Journal, JournalError, Made
from thumbstream.bulk.results_file import COLUMNS, check_name, write_manifest
from thumbstream.bulk.scan import Found

JOB = {"model": "m", "size": 32, "target": None, "store": "sqlite:/a"}
MADE = Made("A" * 22, 300, 640, 480, bytes(range(32)))
NOT_UTF_8 = os.fsdecode(b'caf\xe9,"1".jpg')


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "j"


def test_what_was_recorded_is_there_the_next_time(place: Path) -> None:
    with closing(Journal(place, JOB)) as journal:
        journal.record([Entry(Found("a", 5, 7), MADE), Entry(Found("b", 6, 8), reason="broken")])
        journal.record([Entry(Found(NOT_UTF_8, 1, 2), MADE)])
    with closing(Journal(place, JOB)) as journal:
        assert journal.find("a") == (5, 7, MADE.id, 300)
        assert journal.find(NOT_UTF_8) == (1, 2, MADE.id, 300)
        assert journal.find("b") is None  # to be tried again
        assert journal.find("c") is None
        assert dict(journal.pictures()) == {"a": MADE, NOT_UTF_8: MADE}


def test_the_last_word_counts(place: Path) -> None:
    with closing(Journal(place, JOB)) as journal:
        journal.record([Entry(Found("a", 5, 7), reason="cut off")])
        journal.record([Entry(Found("a", 9, 9), MADE)])
        assert journal.find("a") == (9, 9, MADE.id, 300)
        journal.record([Entry(Found("a", 1, 1), reason="cut off")])
        assert journal.find("a") is None
        assert list(journal.pictures()) == []


def test_people_can_read_it(place: Path) -> None:
    with closing(Journal(place, JOB)) as journal:
        journal.record([Entry(Found("b", 6, 8), reason="broken")])
    with closing(sqlite3.connect(place)) as db:
        asked = "SELECT path, reason FROM picture WHERE status = 'failed'"
        assert db.execute(asked).fetchall() == [("b", "broken")]


def test_another_job_is_refused(place: Path) -> None:
    Journal(place, JOB).close()
    with pytest.raises(JournalError, match="size: 32, now 64"):
        Journal(place, JOB | {"size": 64})


def test_another_store_is_told_and_may_be_adopted(place: Path) -> None:
    Journal(place, JOB).close()
    other = JOB | {"store": "redis://b"}
    with closing(Journal(place, other)) as journal:
        assert not journal.belongs_to("store", "redis://b")
        journal.adopt("store", "redis://b")
    with closing(Journal(place, other)) as journal:
        assert journal.belongs_to("store", "redis://b")


def test_one_run_at_a_time(place: Path) -> None:
    with (
        closing(Journal(place, JOB)),
        pytest.raises(JournalError, match="another run is using it"),
    ):
        Journal(place, JOB)


def test_another_file_is_left_alone(place: Path) -> None:
    place.write_text("my notes, which are longer than the header of a database " * 20)
    with pytest.raises(JournalError):
        Journal(place, JOB)
    assert place.read_text().startswith("my notes")


def test_another_database_is_left_alone(place: Path) -> None:
    with closing(sqlite3.connect(place)) as db:
        db.execute("CREATE TABLE thumb (id TEXT)")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(JournalError, match="not a journal"):
        Journal(place, JOB)


def test_a_journal_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "gone" / "j", JOB)


PICTURES = [("a.jpg", MADE), (NOT_UTF_8, MADE._replace(length=7))]
PREVIEW = base64.b64encode(MADE.preview).decode()


def test_a_manifest_in_json(tmp_path: Path) -> None:
    path = check_name(f"{tmp_path}/m.jsonl")
    write_manifest(path, PICTURES)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    expected = ("a.jpg", MADE.id, 300, 640, 480, PREVIEW)
    assert rows[0] == dict(zip(COLUMNS, expected, strict=True))
    assert [row["path"] for row in rows] == ["a.jpg", NOT_UTF_8]
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_manifest_in_csv(tmp_path: Path) -> None:
    path = check_name(f"{tmp_path}/m.CSV")
    write_manifest(path, PICTURES)
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    assert list(csv.reader(text.splitlines())) == [
        list(COLUMNS),
        ["a.jpg", MADE.id, "300", "640", "480", PREVIEW],
        [NOT_UTF_8, MADE.id, "7", "640", "480", PREVIEW],
    ]


def test_a_manifest_of_no_known_format() -> None:
    with pytest.raises(ValueError, match=r"\.jsonl or \.csv"):
        check_name("m.xml")
