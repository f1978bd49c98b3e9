"""The benchmark of stores runs, and says what it says of each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_store_has_a_line_of_every_kind(tmp_path: Path, redis_url: str) -> None:
    stores = [f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db behind {redis_url}"]
    told = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.stores", *stores],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [told.stdout.count(f")  {store}\n") for store in stores] == [3, 3]
    assert told.stdout.count("(   1.0 x elapsed,    1.0 x on a core)") >= 3
