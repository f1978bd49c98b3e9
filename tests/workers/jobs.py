"""Jobs that misbehave, importable by worker processes."""

from __future__ import annotations

import ctypes
import os
import platform
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


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def kill(pid: int) -> None:
    os.kill(pid, 0)


def niceness() -> int:
    return os.nice(0)


class Exploit:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("import os; os.environ['EXPLOITED'] = 'yes'",)


def exploit() -> Exploit:
    return Exploit()


def abort() -> NoReturn:
    os.abort()


def send_signals(pid: int) -> list[int]:
    """Send signal 0 to a process by each system call for it; return their error numbers."""
    libc, info = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(128)
    calls = {"x86_64": (200, 234, 129, 297), "aarch64": (130, 131, 138, 240)}
    tkill, tgkill, queue, queue_thread = calls[platform.machine()]
    arguments = [
        (tkill, pid, 0),
        (tgkill, pid, pid, 0),
        (queue, pid, 0, info),
        (queue_thread, pid, pid, 0, info),
    ]
    return [ctypes.get_errno() if libc.syscall(*values) else 0 for values in arguments]
