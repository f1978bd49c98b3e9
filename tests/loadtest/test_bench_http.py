from __future__ import annotations

import json
from pathlib import Path

import pytest
from launch import run_to_the_end

ROOT = Path(__file__).resolve().parents[2]
LOADTEST = ROOT / "loadtest"


def test_the_benchmark_runs_and_ends_by_itself(tmp_path: Path) -> None:
    out = tmp_path / "http.json"
    options = ["--seconds", "0.3", "--rounds", "1", "--connections", "4", "--out", str(out)]
    done = run_to_the_end(
        ["-m", "loadtest.bench.http", *options],
        seconds=240,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "service"), "PATH": "", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    thumb = report["thumb"]
    assert 0 < thumb["ratio_lowest"] <= thumb["ratio"] <= thumb["ratio_highest"]
    assert len(thumb["measured"]) == len(thumb["yardstick"]) == 1
    assert set(thumb["measured"][0]["statuses"]) == {"200"}
    assert report["batch"]["thumbs_per_second"] > 50
    assert set(report["compress"]) == {"1 megapixel JPEG", "12 megapixel JPEG"}
    for post in report["compress"].values():
        assert post["ratio"] > 0
        assert post["measured"][0]["requests"] >= 1
    assert set(report["compress_without_curves"]) == set(report["compress"])
    assert report["peers"] == {}
    for cost in report["cost"].values():
        assert cost["upload"] == pytest.approx(sum(cost["steps"].values()), rel=0.5)
        assert "sharp" not in cost
    assert report["fastapi"]["ratio"] > 0
    assert {one["met"] for one in report["targets"]} <= {True, False}
    assert [one["target"] for one in report["targets"]] == [
        ">= 0.75",
        ">= 5",
        ">= 0.75",
        ">= 0.6",
        "< 3",
        ">= 0.8",
        "< 2",
        ">= 8",
        ">= 0.7",
    ]
    for one in report["targets"]:
        assert one["name"] in done.stdout
    assert "GET /thumb, 64 bytes" in done.stdout


WRK = """Running 3s test @ http://127.0.0.1:8000/thumb/x?bytes=64
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.06ms    1.23ms  31.91ms   92.81%
    Req/Sec    21.20k     1.58k   23.16k    80.00%
  Latency Distribution
     50%    2.81ms
     75%    3.10ms
     90%    3.86ms
     99%    8.01ms
  63284 requests in 3.00s, 28.97MB read
Requests/sec:  21088.71
Transfer/sec:      9.65MB
"""


@pytest.fixture
def wrk(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    from loadtest.lib import wrk

    return wrk


def test_the_report_of_wrk_is_read(wrk) -> None:  # type: ignore[no-untyped-def]
    assert wrk.parse(WRK) == {
        "requests": 63284,
        "per_second": 21088.71,
        "p50_ms": 2.81,
        "p99_ms": 8.01,
    }
    assert wrk.parse(WRK.replace("8.01ms", "1.20s "))["p99_ms"] == 1200


def test_errors_that_wrk_saw_are_errors(wrk) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match="Non-2xx"):
        wrk.parse(WRK + "  Non-2xx or 3xx responses: 12\n")
