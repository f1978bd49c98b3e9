from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models" / "zoo"


@pytest.fixture
def bench_batch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "loadtest"))
    import bench_batch

    return bench_batch


@pytest.mark.parametrize("model", ["thumbstream-1", "fc-residual-1"])
def test_a_report(
    bench_batch: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    out = tmp_path / "batch.json"
    size = ["--size", "8", "--pictures", "4", "--rounds", "1", "--streams", "2", "--batch", "4"]
    arguments = ["--device", "cpu", *size]
    assert bench_batch.main([*arguments, "--model", str(MODELS / model), "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["model"], report["batch"]) == (model, 4)
    assert report["provider"] == "CPUExecutionProvider"
    assert set(report["threads"]) == {"1", "4", "16"}
    for measured in report["threads"].values():
        for work in ("encode", "decode"):
            off, on = measured[work]["off"], measured[work]["on"]
            assert measured[work]["ratio"] == pytest.approx(
                on["per_second"] / off["per_second"], abs=0.01
            )
            assert 0 < on["p50_ms"] <= on["p99_ms"]
    streams = report["streams"]
    assert streams["compared"] == 2
    ways = {"whole", "first_64_bytes", "best_64_bytes"}
    assert set(streams["differ"]) == {"in_a_batch", "float32_steps", "tf32_steps"}
    assert all(set(counts) == ways for counts in streams["differ"].values())
    printed = capsys.readouterr().out
    assert "on CPUExecutionProvider" in printed
    assert "No GPU was measured" in printed
