"""``thumbstream upload`` against a real service, also while that fails."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from launch import Service, clean_environment, free_port, wait_until

from thumbstream import cli
from thumbstream.client import Client

NewPicture = Callable[[], bytes]
SECONDS = 120


@pytest.fixture
def pictures(tmp_path: Path, new_picture: NewPicture) -> Path:
    """A folder with six pictures, one of them in a subfolder, and a file of another kind."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.png").write_bytes(new_picture())
    (folder / "more" / "5.png").write_bytes(new_picture())
    (folder / "notes.txt").write_text("not a picture")
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "thumbstream", "upload", "photos", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stderr=subprocess.PIPE, text=True
    )


def upload(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and standard error."""
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=SECONDS)
    return process.returncode, errors


def results(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "done.jsonl").read_text().splitlines()
    return {row["path"]: row for row in map(json.loads, lines)}


def done_in_journal(folder: Path) -> int:
    """After the run, which has the journal for itself."""
    with closing(sqlite3.connect(folder / "upload.journal")) as db:
        return int(db.execute("SELECT count(*) FROM picture WHERE status = 'done'").fetchone()[0])


def wait_for_uploads(service: Service, count: int) -> None:
    def stored() -> bool:
        lines = httpx.get(f"{service.url}/metrics").text.splitlines()
        name = 'thumbstream_requests_total{route="/compress",status="201"}'
        return any(float(line.split()[-1]) >= count for line in lines if line.startswith(name))

    wait_until(stored, f"{count} uploads")


def test_uploads_a_folder_and_continues(
    pictures: Path, service: Service, new_picture: NewPicture
) -> None:
    folder = pictures.parent
    options = ("--server", service.url, "--results", "done.jsonl", "--target", "bytes:60")
    status, errors = upload(folder, *options)
    assert status == 0, errors
    assert "6 encoded, 0 done before, 0 failed" in errors
    assert "skipped 1 .txt file, such as photos/notes.txt" in errors
    first = results(folder)
    assert set(first) == {f"photos/{n}.png" for n in range(5)} | {"photos/more/5.png"}
    for row in first.values():
        stream = httpx.get(f"{service.url}/thumb/{row['id']}").content
        assert len(stream) == row["length"] <= 60
        assert (row["width"], row["height"]) == (96, 64)

    (pictures / "new.png").write_bytes(new_picture())
    status, errors = upload(folder, *options)
    assert "1 encoded, 6 done before, 0 failed" in errors
    assert len(results(folder)) == 7
    status, errors = upload(folder, "--server", service.url)
    assert (status, "another --journal" in errors) == (1, True)  # the options have changed


def test_rejected_pictures_do_not_end_the_run(pictures: Path, service: Service) -> None:
    (pictures / "broken.jpg").write_bytes(b"not a picture")
    (pictures / "gone.png").symlink_to("nowhere")
    status, errors = upload(pictures.parent, "--server", service.url)
    assert status == 1
    assert "6 encoded, 0 done before, 2 failed" in errors
    assert "photos/broken.jpg: the picture is none of JPEG" in errors
    assert "photos/gone.png: No such file" in errors


def test_a_token_from_a_file(pictures: Path, start_service: Callable[..., Service]) -> None:
    service = start_service(THUMBSTREAM_TOKENS="shop:a-secret-of-a-shop")
    folder = pictures.parent
    status, errors = upload(folder, "--server", service.url)
    assert status == 1
    assert "unauthorized (401)" in errors
    assert "the same command continues" in errors
    (folder / "token").write_text("a-secret-of-a-shop\n")
    options = ("--server", service.url, "--token-file", "token", "--label", "holidays")
    status, errors = upload(folder, *options)
    assert (status, "another --journal" in errors) == (1, True)  # the first one had no label
    status, errors = upload(folder, *options, "--journal", "labelled.journal")
    assert (status, "6 encoded" in errors) == (0, True), errors
    with Client(service.url, token="a-secret-of-a-shop") as client:
        assert len(client.streams("holidays").streams) == 6


@pytest.mark.parametrize("url", ["http://127.0.0.1:x", "http://127.0.0.1:99999", "127.0.0.1:80"])
def test_an_invalid_url_is_one_line(
    pictures: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = str(pictures.parent / "new.journal")
    assert cli.main(["upload", str(pictures), "--server", url, "--journal", journal]) == 1
    expected = f"thumbstream: --server: expected a URL such as http://host:8000, got {url!r}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("content", ["", "\n", "schlüssel", "two\nlines"])
def test_a_file_without_a_token_is_an_error(
    pictures: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token, journal = pictures.parent / "token", str(pictures.parent / "new.journal")
    token.write_text(content, encoding="utf-8")
    options = ["--server", "http://127.0.0.1", "--token-file", str(token), "--journal", journal]
    assert cli.main(["upload", str(pictures), *options]) == 1
    assert capsys.readouterr().err == (
        f"thumbstream: --token-file: expected a token of printable ASCII characters in {token}\n"
    )


def test_verify_uploads_what_another_service_lacks(
    pictures: Path, service: Service, start_service: Callable[..., Service]
) -> None:
    folder, other = pictures.parent, start_service()
    assert upload(folder, "--server", service.url)[0] == 0
    status, errors = upload(folder, "--server", other.url)
    assert (status, "--verify" in errors) == (1, True)
    for expected in ("6 encoded, 0 done before", "0 encoded, 6 done before"):
        status, errors = upload(folder, "--server", other.url, "--verify")
        assert (status, expected in errors) == (0, True), errors


def test_a_signal_finishes_what_is_in_flight(
    pictures: Path, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    for number in range(60):
        (pictures / f"more-{number}.png").write_bytes(new_picture())
    folder = pictures.parent
    service = start_service()
    options = ("--server", service.url, "--connections", "2")
    process = start(folder, *options)
    wait_for_uploads(service, 3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    done = done_in_journal(folder)
    assert 0 < done < 66
    assert f"{done} encoded, 0 done before, 0 failed; stopped" in errors
    status, errors = upload(folder, *options)
    assert (status, f"{66 - done} encoded, {done} done before" in errors) == (0, True), errors


def test_a_restart_of_the_service_loses_nothing(
    pictures: Path, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    for number in range(40):
        (pictures / f"more-{number}.png").write_bytes(new_picture())
    folder, service = pictures.parent, start_service()
    process = start(folder, "--server", service.url, "--results", "done.jsonl")
    wait_for_uploads(service, 3)
    service.kill()
    assert process.poll() is None
    service.start()
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, "46 encoded" in errors) == (0, True), errors
    ids = [row["id"] for row in results(folder).values()]
    assert all(httpx.get(f"{service.url}/thumb/{key}?bytes=4").is_success for key in ids)


def test_ends_if_the_service_stays_away(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thumbstream.cli.upload.ATTEMPTS", 2)
    monkeypatch.chdir(pictures.parent)
    url = f"http://someone:hunter2@127.0.0.1:{free_port()}"
    assert cli.main(["upload", "photos", "--server", url, "--connections", "1"]) == 1
    errors = capsys.readouterr().err
    assert "stopped: the same command continues" in errors
    assert "hunter2" not in errors
    assert b"hunter2" not in Path("upload.journal").read_bytes()


@pytest.mark.parametrize("url", ["thumbs.example", "ftp://thumbs.example", "http://"])
def test_rejects_a_server_that_is_not_a_url(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["upload", ".", "--server", url]) == 1
    assert "--server: expected a URL" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
