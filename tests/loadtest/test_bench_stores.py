"""The benchmark of stores reports every operation for every store."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from launch import run_to_the_end

ROOT = Path(__file__).resolve().parents[2]


def test_reports_every_operation_of_every_store(tmp_path: Path, redis_url: str) -> None:
    stores = [f"sqlite:///{tmp_path}/a.db", redis_url]
    done = run_to_the_end(
        ["-m", "loadtest.bench.stores", *stores],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        seconds=120,
    )
    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f")  {store}\n") for store in stores] == [3, 3]
    assert done.stdout.count("(   1.0 x elapsed,    1.0 x on a core)") >= 3
