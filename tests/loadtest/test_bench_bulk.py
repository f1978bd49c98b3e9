from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench_bulk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from loadtest.bench import bulk as bench_bulk

    monkeypatch.setattr(bench_bulk, "WORKERS", (1,))
    monkeypatch.setattr(bench_bulk, "WRITTEN", 300)
    return bench_bulk


def test_a_report(
    bench_bulk: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every contender was measured, and the yardstick is the yardstick."""
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{seed}.png")
    out = tmp_path / "bulk.json"
    assert bench_bulk.main([str(tmp_path), "--rounds", "1", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    ((kind, measured),) = report["kinds"].items()
    assert kind == f"pictures of {tmp_path.name}"
    assert measured["pictures"] == 3
    rates = measured["rates"]
    assert set(rates) == {
        "decode and reduce, 1 process",
        "with curves, 1 process",
        "without curves, 1 process",
    }
    assert rates["decode and reduce, 1 process"]["ratio"] == 1
    assert all(summary["pictures_per_second"] > 0 for summary in rates.values())
    alone = report["loop_alone"]
    assert alone["pictures"] == 300
    assert alone["store_bytes_per_picture"] > alone["stream_and_curve_bytes"] > 60
    assert "without curves, 1 process" in capsys.readouterr().out


def test_no_pictures(bench_bulk: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no pictures"):
        bench_bulk.main([str(tmp_path)])
