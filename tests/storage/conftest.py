"""Every kind of store, for the tests that all of them must pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thumbstream.storage import Store, open_store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "service"))

NewStore = Callable[[], Store]


@pytest.fixture(params=["sqlite", "redis", "redis+cluster"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Make another object for the same streams: ``new_store()``; open and close it yourself."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/deep/er/thumbs.db?create=true"
    else:
        url = request.getfixturevalue(f"{request.param.replace('+', '_')}_url")
    return lambda: open_store(url)
