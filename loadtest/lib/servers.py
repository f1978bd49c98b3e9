"""Servers as child processes on free loopback ports, stopped when their block ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import thumbstream

START_SECONDS = 60.0
STOP_SECONDS = 15.0
HERE = Path(__file__).resolve().parent

SERVICE = (
    "-c",
    "from thumbstream.server.app import serve; from thumbstream.settings import load_settings; "
    "raise SystemExit(not serve(load_settings()))",
)
"""What ``thumbstream serve`` runs, configured by its environment."""


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Environment of a child: thumbstream importable, no settings but ``settings``."""
    roots = [str(Path(thumbstream.__file__).resolve().parents[1]), str(HERE.parents[1])]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("THUMBSTREAM_")}
    paths = [*roots, *filter(None, [inherited.get("PYTHONPATH")])]
    common = {"HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "error", "DRAIN_SECONDS": "0"}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        **{f"THUMBSTREAM_{name}": value for name, value in {**common, **settings}.items()},
    }


@contextmanager
def serving(arguments: tuple[str, ...], settings: Mapping[str, str], ready: str) -> Iterator[int]:
    """Run Python with ``arguments`` until the block ends; yields the port once ``ready`` answers.

    The process leads a group of its own.

    Raises `RuntimeError` if the process ends, or does not answer within `START_SECONDS`.
    """
    with running(arguments, settings, ready) as (_, port):
        yield port


@contextmanager
def running(
    arguments: tuple[str, ...], settings: Mapping[str, str], ready: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`serving`, with the process."""
    port = free_port()
    with started([sys.executable, *arguments], environment(port, settings), port, ready) as process:
        yield process, port


@contextmanager
def started(
    command: list[str], variables: Mapping[str, str], port: int, ready: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run any server until the block ends; yields once ``ready`` answers on ``port``."""
    # A group of its own: some servers leave their worker processes behind when they end.
    process = subprocess.Popen(  # noqa: S603 - the caller's own
        command, env=dict(variables), start_new_session=True
    )
    try:
        _wait(process, port, ready)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def folder_of(files: list[bytes]) -> Iterator[Path]:
    """A folder with ``0.jpg``, ``1.jpg`` and so on, until the block ends."""
    with tempfile.TemporaryDirectory() as name:
        for i, data in enumerate(files):
            (Path(name) / f"{i}.jpg").write_bytes(data)
        yield Path(name)


def cpu_seconds(group: int) -> float | None:
    """Processor time of all processes that began with process ``group``; None where unknown."""
    if not Path("/proc/self/stat").exists():
        return None
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _wait(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            status, _, _ = request(port, "GET", path)
        except OSError:
            time.sleep(0.05)
            continue
        if status == 200:
            return
        time.sleep(0.05)
    state = "ended" if process.poll() is not None else f"gave no answer in {START_SECONDS:.0f} s"
    raise RuntimeError(f"the server for {path} {state}")


def request(
    port: int, method: str, path: str, body: bytes | None = None, kind: str = "image/jpeg"
) -> tuple[int, list[tuple[str, str]], bytes]:
    """One request on a connection of its own: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": kind} if body is not None else {}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()
