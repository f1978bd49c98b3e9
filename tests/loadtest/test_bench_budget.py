from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest"

Main = Callable[[list[str]], int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    from loadtest.bench import budget as bench_budget

    return bench_budget.main


def test_a_folder_is_measured_as_one_page(
    tmp_path: Path, main: Main, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        noise = Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8))
        noise.resize((40, 50), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert main([str(tmp_path), "--size", "16"]) == 0
    done = capsys.readouterr().out
    assert done.startswith("2 pictures, long side 16, model ")
    rows = re.findall(r"(\w+) +(\d+) bytes each: split ([\d.]+), equal shares ([\d.]+)", done)
    assert [(measure, int(each)) for measure, each, *_ in rows] == [
        (measure, each) for measure in ("ssim", "psnr") for each in (16, 32, 64, 128)
    ]
    assert all(float(split) >= float(equal) for *_, split, equal in rows)


def test_a_folder_without_pictures(tmp_path: Path, main: Main) -> None:
    with pytest.raises(SystemExit, match="no pictures"):
        main([str(tmp_path)])
