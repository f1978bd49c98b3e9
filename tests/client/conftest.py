"""A service in a process of its own, and both clients with the same methods."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from launch import Service
from PIL import Image

from thumbstream.client import AsyncClient, Client, RetryPolicy

FAST = RetryPolicy(attempts=6, first_pause=0.05)


class Threaded:
    """A `Client` whose methods run in threads, so that tests await both clients alike."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._client, name)
        return lambda *args, **options: asyncio.to_thread(method, *args, **options)


@pytest.fixture(params=["Client", "AsyncClient"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Make a client of the service at a URL; every test runs with both kinds."""
    opened: list[Any] = []

    def connect(url: str, **options: Any) -> Any:
        kind = Client if request.param == "Client" else AsyncClient
        client = kind(url, **{"retries": FAST, **options})
        opened.append(Threaded(client) if isinstance(client, Client) else client)
        return opened[-1]

    yield connect
    for client in opened:
        await client.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that the tests of a module share: it must keep running."""
    folder = tmp_path_factory.mktemp("service")
    service = Service(
        folder,
        {"THUMBSTREAM_STORE": "sqlite:///streams.db", "THUMBSTREAM_ENCODE_WORKERS": "1"},
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def start_service(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Service]]:
    """Start a service of one's own: ``start_service(THUMBSTREAM_TOKENS="secret")``."""
    started: list[Service] = []

    def start(**settings: str) -> Service:
        folder = tmp_path_factory.mktemp("own")
        defaults = {"THUMBSTREAM_STORE": "sqlite:///streams.db", "THUMBSTREAM_ENCODE_WORKERS": "1"}
        started.append(Service(folder, {**defaults, **settings}))
        started[-1].start()
        return started[-1]

    yield start
    for service in started:
        service.kill()


@pytest.fixture(scope="session")
def new_picture() -> Callable[[], bytes]:
    """Make the PNG file of another picture at each call."""
    rng = np.random.default_rng(17)

    def make() -> bytes:
        pixels = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((96, 64)).save(file, "PNG")
        return file.getvalue()

    return make
