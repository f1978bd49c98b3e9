"""The results file, and which stores are the same. Writing to stores: ``test_runner``."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import pytest
from test_journal import ENCODED, NOT_UTF_8

from thumbstream.bulk.writer import (
    RESULT_COLUMNS,
    check_results_name,
    store_identity,
    write_results,
)

FILES = [("a.jpg", ENCODED), (NOT_UTF_8, ENCODED._replace(length=7)), ("a\rb\n.png", ENCODED)]
PREFIX = base64.b64encode(ENCODED.prefix).decode()


def test_results_in_json(tmp_path: Path) -> None:
    path = check_results_name(f"{tmp_path}/m.jsonl")
    write_results(path, FILES)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    expected = ("a.jpg", ENCODED.id, 300, 640, 480, PREFIX, True)
    assert rows[0] == dict(zip(RESULT_COLUMNS, expected, strict=True))
    assert [row["path"] for row in rows] == [path for path, _ in FILES]
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


def test_results_in_csv(tmp_path: Path) -> None:
    path = check_results_name(f"{tmp_path}/m.CSV")
    write_results(path, FILES)
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert list(csv.reader(file)) == [
            list(RESULT_COLUMNS),
            ["a.jpg", ENCODED.id, "300", "640", "480", PREFIX, "true"],
            [NOT_UTF_8, ENCODED.id, "7", "640", "480", PREFIX, "true"],
            ["a\rb\n.png", ENCODED.id, "300", "640", "480", PREFIX, "true"],
        ]


def test_rejects_a_results_file_of_unknown_format() -> None:
    with pytest.raises(ValueError, match=r"\.jsonl or \.csv"):
        check_results_name("m.xml")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h", "redis://user:secret@H:6379?db=0"),
        ("redis://h/2", "redis://h/1?db=2"),
        ("redis://h/2", "redis://h?socket_timeout=1&db=2"),
        ("sqlite:///x.db", "sqlite:///./x.db"),
        ("rediss+cluster://h", "rediss+cluster://h:6379"),
    ],
)
def test_urls_of_the_same_store(one: str, other: str) -> None:
    assert store_identity(one) == store_identity(other)


def test_relative_and_absolute_paths_name_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_identity("sqlite:///x.db") == store_identity(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///x#1.db", "sqlite:///x#2.db"),
        ("sqlite:///x?1.db", "sqlite:///x?2.db"),
        ("sqlite:///x%31.db", "sqlite:///x1.db"),
        ("redis://h/1", "redis://h/2"),
        ("redis://h/1", "redis://h/1?db=2"),
        ("redis://h", "redis://h:6380"),
        ("redis://h", "redis+cluster://h"),
        ("redis://[::1]", "redis://[::2]"),
    ],
)
def test_urls_of_different_stores(one: str, other: str) -> None:
    assert store_identity(one) != store_identity(other)


def test_no_password_in_the_identity() -> None:
    assert "secret" not in store_identity("redis://user:secret@h:1/2?password=secret")
