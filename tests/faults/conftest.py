"""Fixtures of the fault tests; they share modules with the tests of the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "service")]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def fault_rounds() -> int:
    """How often a test repeats its fault; FAULT_ROUNDS=20 for a longer run."""
    return int(os.environ.get("FAULT_ROUNDS", "1"))
