"""The deployed nginx in front of real services, all on loopback, with what they have counted."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import thumbstream

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "nginx.conf"
START_SECONDS = 60.0
STOP_SECONDS = 20.0

Upload = Callable[[str], str]
"""Uploads another picture each time to the service at a URL: its id."""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """``thumbstream serve`` with the published models; it keeps its port over a restart."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"service-{self.port}.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("THUMBSTREAM_")}
        self._environment = {
            **inherited,
            "PYTHONPATH": str(Path(thumbstream.__file__).resolve().parents[1]),
            "THUMBSTREAM_PORT": str(self.port),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "thumbstream", "serve"],
                env=self._environment,
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the service did not start:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> int | None:
        """Ask it to end, as an orchestrator does; its exit status, None where it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def asked(self, route: str) -> int:
        """Requests that it answered under a route's template."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        counts = (
            line.rpartition(" ")[2]
            for line in lines
            if line.startswith(f'thumbstream_requests_total{{route="{route}"')
        )
        return int(sum(map(float, counts)))


class Nginx:
    """deploy/nginx.conf as it is, but for this run's ports and folder."""

    def __init__(self, folder: Path, services: Sequence[Service]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # nginx started by root serves as another user
        self._services = services
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it listens."""
        command = [_program(), "-e", "/dev/stderr", "-c", str(self._configuration())]
        with (self.folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-g", "daemon off;"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"nginx did not start:\n{(self.folder / 'nginx.log').read_text()}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _configuration(self) -> Path:
        text = DEPLOYED.read_text()
        # The name that Compose resolves to its replicas; an older nginx knows no `resolve`.
        replicas = "\n".join(f"server 127.0.0.1:{s.port} max_fails=0;" for s in self._services)
        for deployed, here in (
            ("server thumbstream:8000 resolve max_fails=0;", replicas),
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
            ("/tmp/", f"{self.folder}/"),
        ):
            assert deployed in text, f"deploy/nginx.conf has no {deployed!r}"
            text = text.replace(deployed, here)
        copy = self.folder / "nginx.conf"
        copy.write_text(text)
        return copy


def _program() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed, and CI is set")
        pytest.skip("nginx is not installed")
    return found


def picture(seed: int) -> bytes:
    """A small PNG that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((96, 64)).save(out, "PNG")
    return out.getvalue()
