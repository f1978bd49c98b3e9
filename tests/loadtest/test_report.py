"""The report says what the results say, for good and for bad, and the committed one is theirs."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADTEST = ROOT / "loadtest"


def rounds(per_second: float, cpu_ms: float) -> list[dict[str, float]]:
    return [{"per_second": per_second, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": cpu_ms}]


def pair(measured: float, yardstick: float) -> dict[str, Any]:
    ratio = measured / yardstick
    return {
        "measured": rounds(measured, 1 / measured),
        "yardstick": rounds(yardstick, 1 / yardstick),
        "ratio": ratio,
        "ratio_lowest": 0.9 * ratio,
        "ratio_highest": 1.1 * ratio,
        "cpu_ratio": ratio,
    }


def scenario(lost: int) -> dict[str, Any]:
    answers = {"requests": 10, "statuses": {"200": 9, "503": 1}, "p50_ms": 1.5, "p99_ms": None}
    return {
        "about": "Made up.",
        "stages": [{"name": "all", "seconds": 2, "names": {"read": answers}}],
        "bin_s": 1,
        "bins": [{"read": answers}, {}],
        "fault_s": [0.5, 1.5],
        "rss_mb": [100.0, 101.0],
        "checks": [{"text": "streams lost", "value": lost, "limit": 0, "met": not lost}],
    }


KIND = "12 megapixel JPEG"
HTTP = {
    "environment": {"cpus": 2, "python": "3.11.7"},
    "thumb": pair(800, 1000),
    "fastapi": pair(900, 300),
    "batch": {"ids": 50, "measured": rounds(400, 1), "thumbs_per_second": 20000},
    "many": {"ids": 10_000, **pair(800, 1000)},
    "second": pair(600, 1000),
    "during_uploads": pair(700, 800)
    | {"measured": [one | {"uploads_per_second": 9.0} for one in rounds(700, 1 / 700)]},
    "cost": {
        KIND: {
            "steps": {"decode and reduce": 20.0, "encode": 5.0, "curve": 4.0},
            "upload": 29.0,
            "sharp": 25.0,
            "ratio": 1.16,
            "ratio_lowest": 1.1,
            "ratio_highest": 1.2,
        }
    },
    "compress": {KIND: pair(20, 50)},
    "compress_without_curves": {KIND: pair(30, 50)},
    "peers": {"thumbor": pair(20, 40) | {"version": "thumbor==1", "pictures": KIND}},
}
CLIENT = {
    "environment": {"thumbnails": 100},
    "bytes": {"thumbstream, WebAssembly": {"code": 6000}},
    "milliseconds": {"thumbstream, WebAssembly": {"ready": 7.0}},
    "targets": {"ready to decode": {"measured": 7.0, "most": 20, "met": True}},
}
RATE = {"pictures_per_second": 9, "ratio": 0.25, "lowest": 0.2, "highest": 0.3}
BULK = {
    "model": "made-up",
    "size": 32,
    "kinds": {KIND: {"rates": {"decode and reduce, 2 process": RATE, "plain, 2 process": RATE}}},
    "loop_alone": {
        "pictures_per_second": 2345,
        "stream_and_curve_bytes": 11,
        "store_bytes_per_picture": 22,
        "journal_bytes_per_picture": 33,
    },
}
MEMORY = {
    "uploads": 200,
    "per_second": 10.0,
    "peak_mib": 250.0,
    "memory": [{"uploads": n, "rss_mib": 200.0 + n} for n in range(3)],
    "grown": 30.0,
    "target_mib": 16.0,
    "met": False,
}
CODEC = {
    "pictures": 3,
    "size": 32,
    "model": "made-up",
    "encode_ms": {"as published": 4.0, "AVIF (Pillow)": 2.0},
    "decode_ms": {"16 bytes": 1.0, "AVIF (Pillow)": 0.5},
}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    from loadtest.report import __main__ as report

    return report


@pytest.fixture
def made_up(report: Any) -> dict[str, Any]:
    from loadtest.lib import targets

    return {
        "http": HTTP | {"targets": targets.judged(HTTP)},
        "client": CLIENT,
        "bulk": BULK,
        "memory": MEMORY,
        "codec": CODEC,
        "sizing": json.loads((LOADTEST / "results" / "sizing.json").read_text()),
        "scenarios": {"scenarios": {"hot key": scenario(0), "faults": scenario(2)}},
        "soak": {"scenarios": {"soak": scenario(0)}},
    }


@pytest.fixture
def site(tmp_path: Path, report: Any, made_up: dict[str, Any]) -> tuple[Path, list[str]]:
    """A documentation with every block, and the arguments that name it and its results."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text("No block.\n")
    names = [report.SUMMARY, *report.BLOCKS]
    blocks = [f"## {n}\n\nBefore {n}.\n<!-- {n}:begin -->old<!-- {n}:end -->\n" for n in names]
    (tmp_path / "docs" / "performance.md").write_text("\n".join(blocks))
    for name, result in made_up.items():
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(result))
    return tmp_path, ["--root", str(tmp_path), "--results", str(tmp_path / "results")]


def test_what_is_missed_is_said(report: Any, made_up: dict[str, Any]) -> None:
    summary = report.render("summary", made_up)
    assert summary.startswith("11 of 16 targets and limits are met.")
    for missed in ("FastAPI route | 3 |", "thumbor's thumbnail", "MiB grown", "streams lost | 2 |"):
        assert missed in summary
    assert "bare ASGI | 0.8" not in summary
    assert "| at least 0.75 | met |" in report.render("service", made_up)
    assert "3.33 times the processor time" in report.render("service", made_up)
    uploads = report.render("uploads", made_up)
    assert uploads.count("**MISSED**") == 2
    assert "uploads would be 1.25 times as fast" in uploads
    assert "| streams lost | 2 | 0 | **MISSED** |" in report.render("scenarios", made_up)
    assert "9 x 200, 1 x 503" in report.render("soak", made_up)


def test_figures_of_every_kind(report: Any, made_up: dict[str, Any]) -> None:
    assert "| encode, as published | 4 | 2.0 |" in report.render("codec", made_up)
    bulk = report.render("bulk", made_up)
    assert f"| {KIND}, plain, 2 processes | 0.25 | 0.20 to 0.30 |" in bulk
    assert "decode and reduce, 2" not in bulk
    assert "at most 250 MiB" in report.render("memory", made_up)
    assert "| 6.0 (1x) |" in report.render("client", made_up)


@pytest.mark.parametrize("name", ["service", "codec", "soak"])
def test_without_results_it_says_how_to_get_them(report: Any, name: str) -> None:
    block = report.BLOCKS[name]
    said = report.render(name, {})
    assert said.startswith("Not measured yet")
    assert f"{block.script} --out loadtest/results/{block.file}.json" in said
    assert importlib.util.find_spec(f"loadtest.{block.script.split()[0]}")
    assert report.plots({}) == []


def test_written_then_checked_then_stale(
    site: tuple[Path, list[str]], report: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root, args = site
    plots, page = root / "docs" / "performance", root / "docs" / "performance.md"
    assert report.main([*args, "--check"]) == 1
    assert report.main(args) == 0
    assert report.main([*args, "--check"]) == 0
    text = page.read_text()
    assert "Before bulk." in text
    assert ">old<" not in text
    shown = set(re.findall(r"\(performance/([a-z-]+\.svg)\)", text))
    assert shown == {path.name for path in plots.iterdir()}
    capsys.readouterr()

    page.write_text(text.replace("0.25", "0.75"))
    (plots / "memory.svg").unlink()
    (plots / "unknown.svg").write_text("<svg/>")
    faults = json.loads((root / "results" / "scenarios.json").read_text())
    faults["scenarios"]["faults"]["rss_mb"][0] = 99.0
    (root / "results" / "scenarios.json").write_text(json.dumps(faults))
    assert report.main([*args, "--check"]) == 1
    shown = capsys.readouterr().err
    for stale in ("performance.md", "memory.svg", "unknown.svg", "scenario-faults.svg"):
        assert stale in shown
    assert len(shown.splitlines()) == 4
    assert report.main(args) == 0
    assert report.main([*args, "--check"]) == 0


def test_the_same_data_draw_the_same_bytes(report: Any, made_up: dict[str, Any]) -> None:
    again = report.plots(copy.deepcopy(made_up))
    for plot, other in zip(report.plots(made_up), again, strict=True):
        svg = plot.svg()
        assert svg == other.svg()
        assert plot.digest in svg


def test_one_page_holds_everything(site: tuple[Path, list[str]], report: Any) -> None:
    root, args = site
    assert report.main([*args, "--html", str(root / "page.html")]) == 0
    page = (root / "page.html").read_text()
    assert page.count('src="data:image/svg+xml;base64,') == len(
        report.plots(report.read(root / "results"))
    )
    assert 'src="performance' not in page
    assert "<strong>MISSED</strong>" in page
    assert '<h2 id="service">' in page
    assert ">old<" in (root / "docs" / "performance.md").read_text()


def test_the_committed_report_is_what_the_results_give() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.report", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "performance.md").read_text()
    plots = sorted((ROOT / "docs" / "performance").iterdir())
    assert plots
    for path in plots:
        assert path.stat().st_size < 60_000, path.name
        assert f"(performance/{path.name})" in page
