"""What every part of the tests may use: real Redis-protocol servers and synthetic pictures."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from redis_servers import RedisServer


@pytest.fixture(scope="session")
def start_redis(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., RedisServer]]:
    """Start a server of one's own: ``start_redis(options=("--maxmemory", "4mb"))``."""
    servers: list[RedisServer] = []

    def start(*, cluster: bool = False, options: tuple[str, ...] = ()) -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"), cluster=cluster, options=options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def redis_url(start_redis: Callable[..., RedisServer]) -> str:
    """URL of a server that all tests share: use keys of your own."""
    return start_redis().url


@pytest.fixture(scope="session")
def redis_cluster_url(start_redis: Callable[..., RedisServer]) -> str:
    """URL of a Cluster of one node that holds every slot; shared likewise."""
    return start_redis(cluster=True).url


@pytest.fixture
def new_key() -> Callable[[], str]:
    """Make an id of 22 base64url characters that no test has used."""
    return lambda: secrets.token_urlsafe(16)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def photo_like(rng: np.random.Generator) -> Callable[..., NDArray[np.uint8]]:
    """Make a picture with the statistics of a photograph, roughly: ``photo_like(width, height)``.

    Smooth light, a few shapes with sharp edges, and noise; (height, width, 3) uint8.
    """

    def make(width: int, height: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        picture = np.empty((height, width, 3))
        for channel in range(3):
            a, b, c = rng.uniform(-1, 1, 3)
            picture[..., channel] = 128 + 70 * (a * x + b * y + c * np.sin(3 * x + 4 * y))
        for _ in range(6):
            cx, cy, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.25)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r
            picture[inside] = 0.3 * picture[inside] + 0.7 * rng.uniform(0, 255, 3)
        picture += rng.normal(0, 4, picture.shape)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    return make
