from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--rounds", "1", "--repeats", "1", "--thumbnails", "3", "--gallery", "2")
KEYS = {"ready", "decode", "page", "task"}


@pytest.fixture
def bench_client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from loadtest.bench import client as bench_client
    from loadtest.lib import client_browser

    if not any(map(shutil.which, client_browser.CHROMIUM_NAMES)) and not os.environ.get("CI"):
        pytest.skip("no Chromium on the PATH")
    return bench_client


def test_without_npm_the_client_is_measured_alone(
    bench_client: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "npm" else real(name))
    out = tmp_path / "client.json"
    status = bench_client.main([*TINY, "--out", str(out)])
    report = json.loads(out.read_text())
    times = report["milliseconds"]
    alone = {bench_client.WASM, bench_client.PLAIN}
    assert set(times) == alone | {bench_client.ELEMENTS}
    for name in alone:
        assert set(times[name]) == KEYS
        assert all(times[name][key] > 0 for key in ("ready", "decode", "page"))
    assert times[bench_client.ELEMENTS]["first"] > 0
    assert len(report["targets"]) == 8
    assert status == (not all(target["met"] for target in report["targets"].values()))
    assert report["layout_shift"] == 0
    said = capsys.readouterr().out
    assert "Without ThumbHash and onnxruntime-web: npm is not installed" in said


@pytest.mark.usefixtures("bench_client")
def test_the_published_figures_are_those_of_the_document() -> None:
    from loadtest.report.client import TARGETS, table

    report = json.loads((ROOT / "loadtest" / "results" / "client.json").read_text())
    document = (ROOT / "docs" / "javascript.md").read_text()
    assert {name: target["most"] for name, target in report["targets"].items()} == (TARGETS)
    assert table(report) in document
