"""Jobs that misbehave, importable by worker processes."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import NoReturn


def add(a: int, b: int) -> int:
    return a + b


def fail(error: Exception) -> NoReturn:
    raise error


def spin() -> NoReturn:
    while True:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def allocate(count: int) -> int:
    return len(bytearray(count))


def crash() -> NoReturn:
    signal.raise_signal(signal.SIGSEGV)
    raise AssertionError


def process_id() -> int:
    return os.getpid()


def parent_id() -> int:
    return os.getppid()


def environment() -> dict[str, str]:
    return dict(os.environ) | {"initial": Path("/proc/self/environ").read_text()}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port))


def write(path: str) -> None:
    Path(path).write_text("x")


def kill(pid: int) -> None:
    os.kill(pid, 0)


def niceness() -> int:
    return os.nice(0)
