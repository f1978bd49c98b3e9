"""Every kind of store, for the tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from thumbstream.storage import Store, open_store

NewStore = Callable[[], Store]

EVERY_STORE = (
    "sqlite",
    "redis",
    "redis+cluster",
    "sqlite behind redis",
    "redis behind redis+cluster",
)
"""By name, which is also how a test of one of them is called."""


@pytest.fixture(params=EVERY_STORE)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Make another object for the same streams: ``new_store()``; open and close it yourself."""
    durable, _, cache = request.param.partition(" behind ")

    def url(name: str) -> str:
        if name == "sqlite":
            return f"sqlite:///{tmp_path}/deep/er/thumbs.db"
        found: str = request.getfixturevalue(f"{name.replace('+', '_')}_url")
        return found

    store_url, cache_url = url(durable), url(cache) if cache else ""
    return lambda: open_store(store_url, cache=cache_url)
