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
from bulk_harness import Bulk, draw_pictures, stored, until
from PIL import Image

import thumbstream
from thumbstream import cli
from thumbstream.codec.prefix_search import MIN_CANDIDATE
from thumbstream.ids import CURVE_MARK
from thumbstream.server.app import create_app
from thumbstream.settings import Settings

ENOUGH = 110
"""Pictures that keep two processes busy for some seconds."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
        monkeypatch.delenv(name)


async def uploaded(store: Path, paths: Sequence[Path], query: str, **chosen: Any) -> None:
    """Send the pictures to POST /compress of a service with this store."""
    app = create_app(Settings(store=f"sqlite:///{store}", encode_threads=1, **chosen))
    await app.services.open()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for path in paths:
            answer = await http.post(f"/compress?{query}", content=path.read_bytes())
            assert answer.status_code in (200, 201), answer.text
    await app.services.close()


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ("", ""),
        ("--size 16 --max-bytes 40 --alpha flatten", "size=16&max_bytes=40&alpha=flatten"),
        ("--target ssim:0.6 --no-curves", "target=ssim:0.6"),
    ],
)
async def test_the_store_is_what_uploads_would_have_made(
    bulk: Bulk, options: str, query: str
) -> None:
    paths = draw_pictures(bulk.folder / "pictures", 3)
    glass = Image.linear_gradient("L").resize((40, 60))
    clear = Image.merge("LA", (glass, glass)).convert("RGBA")
    clear.save(bulk.folder / "pictures" / "glass.png")
    paths.append(bulk.folder / "pictures" / "glass.png")
    status, errors = bulk.run("pictures", *options.split(), "--workers", 1)
    assert (status, "4 made" in errors) == (0, True), errors
    await uploaded(bulk.folder / "up.db", paths, query, curves="--no-curves" not in options)
    streams = stored(bulk.folder / "streams.db")
    assert streams == stored(bulk.folder / "up.db")
    curves = [key for key in streams if key.startswith(CURVE_MARK)]
    assert len(streams) == 4 + len(curves)
    assert len(curves) == (0 if "--no-curves" in options else 4)


def test_bad_files_are_reported_and_skipped(bulk: Bulk) -> None:
    good = draw_pictures(bulk.folder / "in", 2)
    (bulk.folder / "in" / "text.jpg").write_text("not a picture")
    (bulk.folder / "in" / "cut.png").write_bytes(good[0].read_bytes()[:90])
    for attempt in ("2 made, 0 done before, 2 failed", "0 made, 2 done before, 2 failed"):
        status, errors = bulk.run("in", "--manifest", "out.jsonl", "--workers", 1)
        assert status == 1
        assert attempt in errors
        assert "in/text.jpg: the picture is none of JPEG" in errors
        assert "in/cut.png: " in errors
    manifest = bulk.manifest()
    assert sorted(manifest) == ["in/0.png", "in/1.png"]
    for path, row in manifest.items():
        stream = stored(bulk.folder / "streams.db")[row["id"]]
        assert stream == thumbstream.encode(bulk.folder / path)
        assert row["length"] == len(stream) > MIN_CANDIDATE
        with Image.open(bulk.folder / path) as picture:
            assert (row["width"], row["height"]) == picture.size


def test_a_list_on_standard_input(bulk: Bulk) -> None:
    paths = draw_pictures(bulk.folder / "in", 2)
    odd = paths[0].rename(bulk.folder / "in" / "two\nlines \x1b[31m.png")
    given = "\0".join([str(odd), "in/1.png", "in/gone\x1b.png"])
    status, errors = bulk.run("-", "--null", "--manifest", "out.jsonl", stdin=given)
    assert status == 1
    assert "2 made" in errors
    assert "gone\\x1b.png: No such file" in errors
    assert set(bulk.manifest()) == {str(odd), "in/1.png"}


def test_verify_fills_another_store(bulk: Bulk) -> None:
    draw_pictures(bulk.folder / "in", 2)
    assert bulk.run("in", "--workers", 1)[0] == 0
    bulk.store = "sqlite:///other.db"
    status, errors = bulk.run("in", "--workers", 1)
    assert status == 1
    assert "another store" in errors
    assert bulk.run("in", "--workers", 1, "--verify")[0] == 0
    assert stored(bulk.folder / "other.db") == stored(bulk.folder / "streams.db")
    assert "0 made, 2 done before" in bulk.run("in", "--workers", 1)[1]


def begun(bulk: Bulk, **options: Any) -> tuple[subprocess.Popen[str], list[int]]:
    """A run with two workers, some way in; their process ids."""
    process = bulk.begin("in", "--workers", 2, **options)
    until(lambda: len(stored(bulk.folder / "streams.db")) > 20)
    assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    workers = [pid for pid, command in commands.items() if b"spawn_main" in command]
    assert len(workers) == 2
    return process, workers


def done_in_journal(bulk: Bulk) -> set[str]:
    with closing(sqlite3.connect(bulk.folder / "compress-all.journal")) as journal:
        rows = journal.execute("SELECT id FROM picture WHERE status = 'done'")
        return {key for (key,) in rows}


def assert_goes_on(bulk: Bulk) -> None:
    """What the journal has is in the store; another run makes the rest and only that."""
    done = done_in_journal(bulk)
    assert 0 < len(done) < ENOUGH
    streams = stored(bulk.folder / "streams.db")
    assert all(key in streams and CURVE_MARK + key in streams for key in done)
    status, errors = bulk.run("in", "--workers", 2, "--manifest", "out.jsonl")
    assert status == 0
    assert f"{ENOUGH - len(done)} made, {len(done)} done before, 0 failed" in errors
    rows = bulk.manifest()
    assert set(rows) == {f"in/{number}.png" for number in range(ENOUGH)}
    assert {row["id"] for row in rows.values()} == {
        key for key in stored(bulk.folder / "streams.db") if key[0] != CURVE_MARK
    }


def test_a_run_that_is_killed_loses_nothing(bulk: Bulk) -> None:
    draw_pictures(bulk.folder / "in", ENOUGH)
    process, workers = begun(bulk)
    process.kill()
    process.wait(30)
    # Its workers do not outlive it.
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert_goes_on(bulk)


def test_a_signal_to_all_finishes_what_runs(bulk: Bulk) -> None:
    draw_pictures(bulk.folder / "in", ENOUGH)
    process, _ = begun(bulk, start_new_session=True)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on" in errors
    assert f"{len(done_in_journal(bulk))} made" in errors  # nothing was thrown away
    assert_goes_on(bulk)


def test_a_worker_that_dies_costs_nothing(bulk: Bulk) -> None:
    draw_pictures(bulk.folder / "in", ENOUGH)
    process, workers = begun(bulk)
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"{ENOUGH} made, 0 done before, 0 failed" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "33"],
        ["--workers", "0"],
        ["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"],
        ["--max-bytes", "9", "--target", "ssim:0.5"],
        ["--manifest", "m.xml"],
    ],
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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
def test_what_cannot_begin(
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


def test_no_password_gets_into_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compress-all", ".", "--store", "redis://:hunter2@127.0.0.1:1"]) == 1
    assert "hunter2" not in capsys.readouterr().err
    assert b"hunter2" not in Path("compress-all.journal").read_bytes()


def test_redis(bulk: Bulk, redis_url: str) -> None:
    colours = np.random.default_rng().integers(0, 256, (4, 4, 3), np.uint8)
    (bulk.folder / "in").mkdir()
    Image.fromarray(colours).resize((80, 50)).save(bulk.folder / "in" / "new.png")
    bulk.store = redis_url
    assert bulk.run("in", "--workers", 1)[0] == 0
    assert "1 done before" in bulk.run("in", "--workers", 1, "--verify")[1]
