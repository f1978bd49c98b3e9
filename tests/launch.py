"""Programs that tests start, and waiting for what they do.

Every server of the tests is a `Program`: it logs to a file, is started until a check says that it
is ready, and is stopped or killed. `Service` is a thumbstream service on a port of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
STOP_SECONDS = 20.0
SERVE = ("-m", "thumbstream", "serve")
"""Arguments of Python that start a service with the published models."""


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nothing listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    return free_ports(1)[0]


def wait_until(condition: Callable[[], object], reason: str, seconds: float = 60.0) -> None:
    """Poll ``condition`` until it is true; fails with ``reason``, which says what was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s still waiting: {reason}"
        time.sleep(0.02)


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without thumbstream's settings, with the paths of the sources."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("THUMBSTREAM_")}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **settings}


class Program:
    """A child process that can be started again with the same command."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        ready: Callable[[], object],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._ready = ready
        self._environment = environment
        self._folder = folder

    def output(self) -> str:
        """What it wrote so far, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start it and return when it is ready; raises `RuntimeError` with the end of its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.command} did not start:\n{self.output()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> int | None:
        """Send SIGTERM and wait: the exit status, or None if it does not run."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def kill(self) -> None:
        """Send SIGKILL, as the kernel does when memory is short."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)


class Service(Program):
    """A thumbstream service; it keeps its port over a restart.

    ``program``: arguments of Python, by default those of the published models.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        program: Sequence[str | Path] = SERVE,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [sys.executable, *program],
            folder / f"service-{self.port}.log",
            ready=self.is_ready,
            environment=clean_environment(THUMBSTREAM_PORT=str(self.port), **(settings or {})),
            folder=folder,
        )

    def is_ready(self) -> bool:
        """Whether ``/readyz`` answers 200."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def run_to_the_end(
    arguments: Sequence[str | Path], *, seconds: float, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python with ``arguments``; `AssertionError` with its output if it takes too long.

    The output goes to files: a server that it left behind would keep a pipe open for ever. It is
    interrupted first, so that it ends its servers. ``options``: of `subprocess.Popen`.
    """
    command = [sys.executable, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, **options)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
            errors.seek(0)
            raise AssertionError(f"{command} took {seconds:.0f} s:\n{errors.read()}") from None
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, out.read(), errors.read())
