"""``bulk``: the command in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bulk_harness import Bulk


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[Bulk]:
    one = Bulk(tmp_path)
    yield one
    one.stop_all()
