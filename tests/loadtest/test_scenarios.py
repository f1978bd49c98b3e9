"""The scenarios run against the real service. How fast it was is not judged here: who shares the
machine decides that. What no load may change is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from launch import run_to_the_end

ROOT = Path(__file__).resolve().parents[2]
LOADTEST = ROOT / "loadtest"
OF_SPEED = ("p50", "p99", "memory", "seconds", "cache misses")


def test_reads_uploads_and_a_killed_store(tmp_path: Path) -> None:
    out = tmp_path / "scenarios.json"
    names = ["mixed", "faults"]
    done = run_to_the_end(
        ["-m", "loadtest.scenarios", *names, "--scale", "0.2", "--out", out],
        seconds=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    report = json.loads(out.read_text())
    assert list(report["scenarios"]) == names, done.stderr
    for name, result in report["scenarios"].items():
        assert f"{name}: {result['about']}" in done.stdout
        assert all(stage["names"]["read"]["requests"] for stage in result["stages"])
        assert len(result["rss_mb"]) > 1
        kept = [check for check in result["checks"] if not check["text"].startswith(OF_SPEED)]
        assert kept
        assert [check for check in kept if not check["met"]] == []
    for name in names:
        assert report["scenarios"][name]["acknowledged"] > 0
    missed = [c for r in report["scenarios"].values() for c in r["checks"] if not c["met"]]
    assert done.returncode == (1 if missed else 0), done.stderr


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    from loadtest.scenarios import catalog as scenarios

    return scenarios


def stage(name: str, statuses: dict[str, int], p99: float) -> dict[str, object]:
    return {"name": name, "names": {"read": {"statuses": statuses, "p50_ms": 1, "p99_ms": p99}}}


def test_the_checks_fail_when_they_should(scenarios) -> None:  # type: ignore[no-untyped-def]
    result = {
        "stages": [stage("a", {"200": 9, "503": 1}, 2.0), stage("b", {"200": 5, "0": 2}, 8.0)],
        "rss_mb": [50.0] * 2 + [100.0] * 16 + [150.0] * 2,
    }
    assert scenarios.failures().value(result) == 3
    assert scenarios.failures(503).value(result) == 2
    assert scenarios.ratio("p99_ms", "b", "a", 2).value(result) == 4
    assert scenarios.growth(1.1).value(result) == 1.5


def test_every_scenario_can_be_named_and_has_limits(scenarios) -> None:  # type: ignore[no-untyped-def]
    assert set(scenarios.BY_NAME) == {
        *("steady", "spike", "hot key", "cold cache", "mixed", "faults", "soak")
    }
    assert sum(stage.seconds for stage in scenarios.BY_NAME["soak"].stages) == 20 * 60
    for scenario in scenarios.SCENARIOS:
        assert any(check.text.startswith("failed requests") for check in scenario.checks)
