"""A running service with the published models, and Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from launch import Service
from playwright.sync_api import Browser, sync_playwright
from web.chromium import CHROMIUM_FLAGS, chromium


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a running service."""
    folder = tmp_path_factory.mktemp("service")
    settings = {"THUMBSTREAM_STORE": f"sqlite:///{folder / 'streams.db'}"}
    running = Service(folder, settings)
    running.start()
    yield running.url
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield launched
        launched.close()
