from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from thumbstream.codec.effort import Effort

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "zoo" / "thumbstream-2"


@pytest.fixture
def bench_codec(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from loadtest.bench import codec as bench_codec

    return bench_codec


def test_a_report(
    bench_codec: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every contender was measured, over every picture and round but the first."""
    out = tmp_path / "codec.json"
    arguments = ["--model", str(MODEL), "--size", "16", "--rounds", "1", "--out", str(out)]
    assert bench_codec.main(arguments) == 0
    report = json.loads(out.read_text())
    assert report["model"] == "thumbstream-2"
    assert report["pictures"] == 20
    assert set(report["encode_ms"]) == {
        *(f"effort {effort}" for effort in Effort),
        bench_codec.CURVE,
        bench_codec.PEER,
    }
    assert set(report["decode_ms"]) == {
        *(f"{n} bytes" for n in bench_codec.BUDGETS),
        bench_codec.PEER,
    }
    times = [*report["encode_ms"].values(), *report["decode_ms"].values()]
    assert all(value > 0 for value in times)
    printed = capsys.readouterr().out
    assert "effort fast" in printed
    assert f"1.00 x {bench_codec.PEER}" in printed


def test_no_pictures(bench_codec: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(SystemExit, match="no pictures"):
        bench_codec.main([str(tmp_path), "--model", str(MODEL)])
