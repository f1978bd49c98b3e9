"""The soak of uploads: it runs, tells pictures apart, and finds growth where there is some."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
from launch import run_to_the_end
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
LOADTEST = ROOT / "loadtest"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from loadtest.bench import memory as soak_uploads

    return soak_uploads


def test_a_short_one(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    done = run_to_the_end(
        ["-m", "loadtest.bench.memory", "--uploads", "24", "--out", str(out)],
        seconds=240,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "service"), "PATH": "", "TMPDIR": str(tmp_path)},
    )
    report = json.loads(out.read_text())
    assert done.returncode == (0 if report["met"] else 1), done.stderr
    assert report["uploads"] == report["different_streams"] == 24
    assert [one["uploads"] for one in report["memory"]] == [0, *range(1, 25), 24]
    assert 0 < max(one["rss_mib"] for one in report["memory"]) <= report["peak_mib"]
    assert "24 different streams" in done.stdout


def test_no_two_pictures_are_the_same(soak: ModuleType) -> None:
    files = [soak.picture(seed) for seed in range(24)]
    assert len(set(files)) == 24
    opened = [Image.open(io.BytesIO(data)) for data in files]
    assert {image.format for image in opened} == {"JPEG", "PNG", "WEBP"}
    assert {image.mode for image in opened} == {"RGB", "RGBA"}


def samples(*resident: float) -> list[dict[str, float]]:
    return [{"uploads": i, "seconds": i, "rss_mib": mib} for i, mib in enumerate(resident)]


def test_growth_counts_from_where_memory_is_settled(soak: ModuleType) -> None:
    assert soak.grown(samples(50, 100, *[150] * 18)) == 0.0
    assert soak.grown(samples(50, 100, *range(150, 190))) > 25
    assert soak.grown(samples(50, 60)) is None


def test_memory_is_read_from_the_kernel(soak: ModuleType) -> None:
    if not Path("/proc/self/status").exists():
        with pytest.raises(FileNotFoundError):
            soak.memory_mib(os.getpid(), "VmRSS")
        return
    assert 1 < soak.memory_mib(os.getpid(), "VmRSS") <= soak.memory_mib(os.getpid(), "VmHWM") + 1
    with pytest.raises(RuntimeError, match="VmNothing"):
        soak.memory_mib(os.getpid(), "VmNothing")
