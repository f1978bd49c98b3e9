"""``thumbstream compress-all`` as it is typed: real processes, the published model, SQLite."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bulk_harness import Bulk, make_pictures, stored, worker_processes
from launch import wait_until
from PIL import Image

import thumbstream
from thumbstream import cli
from thumbstream.codec.prefix_search import MIN_CANDIDATE
from thumbstream.ids import CURVE_MARK
from thumbstream.server.app import create_app
from thumbstream.settings import Settings

PICTURES = 110
"""Pictures that keep two processes busy for some seconds."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
        monkeypatch.delenv(name)


async def uploaded(store: Path, paths: Sequence[Path], query: str, **chosen: Any) -> None:
    """Send the pictures to POST /compress of a service with this store."""
    app = create_app(Settings(store=f"sqlite:///{store}", encode_workers=1, **chosen))
    await app.services.open()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for path in paths:
            answer = await http.post(f"/compress?{query}", content=path.read_bytes())
            assert answer.status_code in (200, 201), answer.text
    await app.services.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "query"),
    [
        ("", ""),
        ("--size 16 --max-bytes 40 --alpha flatten", "size=16&max_bytes=40&alpha=flatten"),
        ("--target ssim:0.6 --no-curves", "target=ssim:0.6"),
    ],
)
async def test_stores_the_same_as_uploads(bulk: Bulk, options: str, query: str) -> None:
    paths = make_pictures(bulk.folder / "pictures", 3)
    glass = Image.linear_gradient("L").resize((40, 60))
    clear = Image.merge("LA", (glass, glass)).convert("RGBA")
    clear.save(bulk.folder / "pictures" / "glass.png")
    paths.append(bulk.folder / "pictures" / "glass.png")
    status, errors = bulk.run("pictures", *options.split(), "--workers", 1)
    assert (status, "4 encoded" in errors) == (0, True), errors
    await uploaded(bulk.folder / "up.db", paths, query, measure_curves="--no-curves" not in options)
    streams = stored(bulk.folder / "streams.db")
    assert streams == stored(bulk.folder / "up.db")
    curves = [key for key in streams if key.startswith(CURVE_MARK)]
    assert len(streams) == 4 + len(curves)
    assert len(curves) == (0 if "--no-curves" in options else 4)


def test_invalid_files_are_reported(bulk: Bulk) -> None:
    good = make_pictures(bulk.folder / "in", 2)
    (bulk.folder / "in" / "text.jpg").write_text("not a picture")
    (bulk.folder / "in" / "cut.png").write_bytes(good[0].read_bytes()[:90])
    for attempt in ("2 encoded, 0 done before, 2 failed", "0 encoded, 2 done before, 2 failed"):
        status, errors = bulk.run("in", "--results", "out.jsonl", "--workers", 1)
        assert status == 1
        assert attempt in errors
        assert "in/text.jpg: the picture is none of JPEG" in errors
        assert "in/cut.png: " in errors
    results = bulk.results()
    assert sorted(results) == ["in/0.png", "in/1.png"]
    for path, row in results.items():
        stream = stored(bulk.folder / "streams.db")[row["id"]]
        assert stream == thumbstream.encode(bulk.folder / path)
        assert row["length"] == len(stream) > MIN_CANDIDATE
        with Image.open(bulk.folder / path) as picture:
            assert (row["width"], row["height"]) == picture.size


def test_a_list_on_standard_input(bulk: Bulk) -> None:
    paths = make_pictures(bulk.folder / "in", 2)
    odd = paths[0].rename(bulk.folder / "in" / "two\nlines \x1b[31m.png")
    given = "\0".join([str(odd), "in/1.png", "in/gone\x1b.png"])
    status, errors = bulk.run("-", "--null", "--results", "out.jsonl", stdin=given)
    assert status == 1
    assert "2 encoded" in errors
    assert "gone\\x1b.png: No such file" in errors
    assert set(bulk.results()) == {str(odd), "in/1.png"}


@pytest.mark.slow
def test_verify_fills_another_store(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", 2)
    assert bulk.run("in", "--workers", 1)[0] == 0
    bulk.store = "sqlite:///other.db"
    status, errors = bulk.run("in", "--workers", 1)
    assert status == 1
    assert "another store" in errors
    assert bulk.run("in", "--workers", 1, "--verify")[0] == 0
    assert stored(bulk.folder / "other.db") == stored(bulk.folder / "streams.db")
    assert "0 encoded, 2 done before" in bulk.run("in", "--workers", 1)[1]


def started(bulk: Bulk, **options: Any) -> tuple[subprocess.Popen[str], set[int]]:
    """A run of two workers that has stored some streams; the process ids of the workers."""
    process = bulk.start("in", "--workers", 2, **options)
    wait_until(lambda: len(stored(bulk.folder / "streams.db")) > 20, "some streams are stored")
    assert process.poll() is None
    workers = worker_processes(process.pid)
    assert len(workers) == 2
    return process, workers


def done_in_journal(bulk: Bulk) -> set[str]:
    with closing(sqlite3.connect(bulk.folder / "compress-all.journal")) as journal:
        rows = journal.execute("SELECT id FROM picture WHERE status = 'done'")
        return {key for (key,) in rows}


def assert_continues(bulk: Bulk) -> None:
    """What the journal has is in the store; another run encodes the rest and nothing else."""
    done = done_in_journal(bulk)
    assert 0 < len(done) < PICTURES
    streams = stored(bulk.folder / "streams.db")
    assert all(key in streams and CURVE_MARK + key in streams for key in done)
    status, errors = bulk.run("in", "--workers", 2, "--results", "out.jsonl")
    assert status == 0
    assert f"{PICTURES - len(done)} encoded, {len(done)} done before, 0 failed" in errors
    rows = bulk.results()
    assert set(rows) == {f"in/{number}.png" for number in range(PICTURES)}
    assert {row["id"] for row in rows.values()} == {
        key for key in stored(bulk.folder / "streams.db") if key[0] != CURVE_MARK
    }


@pytest.mark.slow
def test_a_killed_run_loses_nothing(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", PICTURES)
    process, workers = started(bulk)
    process.kill()
    process.wait(30)
    # Its workers do not outlive it.
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers ended"
    )
    assert_continues(bulk)


@pytest.mark.slow
def test_a_signal_to_the_group_finishes_what_is_in_flight(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", PICTURES)
    process, _ = started(bulk, start_new_session=True)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command continues" in errors
    assert f"{len(done_in_journal(bulk))} encoded" in errors  # nothing was lost
    assert_continues(bulk)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", PICTURES)
    process, workers = started(bulk)
    os.kill(min(workers), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"{PICTURES} encoded, 0 done before, 0 failed" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "33"],
        ["--workers", "0"],
        ["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"],
        ["--max-bytes", "9", "--target", "ssim:0.5"],
        ["--results", "m.xml"],
    ],
)
def test_rejects_invalid_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["compress-all", ".", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "--store", "mysql://x"], "the store's URL"),
        (["in", "--model", "none-such"], "none-such"),
        (["gone"], "gone"),
        (["in", "--journal", "gone/j"], "journal"),
    ],
)
def test_reports_why_it_cannot_start(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert cli.main(["compress-all", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_no_password_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compress-all", ".", "--store", "redis://:hunter2@127.0.0.1:1"]) == 1
    assert "hunter2" not in capsys.readouterr().err
    assert b"hunter2" not in Path("compress-all.journal").read_bytes()


def test_stores_in_redis(bulk: Bulk, redis_url: str) -> None:
    colours = np.random.default_rng().integers(0, 256, (4, 4, 3), np.uint8)
    (bulk.folder / "in").mkdir()
    Image.fromarray(colours).resize((80, 50)).save(bulk.folder / "in" / "new.png")
    bulk.store = redis_url
    assert bulk.run("in", "--workers", 1)[0] == 0
    assert "1 done before" in bulk.run("in", "--workers", 1, "--verify")[1]


def test_files_that_are_not_pictures_are_counted_and_named(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", 1)
    (bulk.folder / "in" / "film.MOV").write_bytes(b"film")
    (bulk.folder / "in" / "._0.png").write_bytes(bytes(8))
    status, errors = bulk.run("in", "--workers", 1)
    assert status == 0
    assert "1 encoded, 0 done before, 0 failed" in errors
    assert "skipped 1 .mov file, such as in/film.MOV" in errors
    assert "skipped 1 ._* (AppleDouble) file, such as in/._0.png" in errors


def test_a_time_out_of_range_is_no_obstacle(bulk: Bulk) -> None:
    first, second = make_pictures(bulk.folder / "in", 2)
    os.utime(second, (13569465600, 13569465600))  # the year 2400
    assert "2 encoded, 0 done before" in bulk.run("in", "--workers", 1)[1]
    assert "0 encoded, 2 done before" in bulk.run("in", "--workers", 1)[1]
    assert first.exists()


def test_the_results_name_pictures_that_were_cut_off(bulk: Bulk) -> None:
    whole, cut = make_pictures(bulk.folder / "in", 2)
    with Image.open(whole) as image:
        image.save(cut, "JPEG")
    cut.write_bytes(cut.read_bytes()[:-2])
    assert bulk.run("in", "--workers", 1, "--results", "out.jsonl")[0] == 0
    truncated = {name: row["truncated"] for name, row in bulk.results().items()}
    assert truncated == {"in/0.png": False, "in/1.png": True}


def test_a_list_with_crlf_and_byte_order_mark(bulk: Bulk) -> None:
    make_pictures(bulk.folder, 2)
    (bulk.folder / "list.txt").write_bytes(b"\xef\xbb\xbf0.png\r\n1.png\r\n")
    assert "2 encoded, 0 done before, 0 failed" in bulk.run("list.txt", "--workers", 1)[1]


def test_stores_whose_names_look_alike_are_different(bulk: Bulk) -> None:
    make_pictures(bulk.folder / "in", 1)
    bulk.store = "sqlite:///x#1.db"
    assert bulk.run("in", "--workers", 1)[0] == 0
    bulk.store = "sqlite:///x#2.db"
    status, errors = bulk.run("in", "--workers", 1)
    assert status == 1
    assert "another store" in errors
