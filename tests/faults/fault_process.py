"""Services in processes of their own, to be killed and restarted on the port they had."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fault_service import Users
from redis_servers import free_port

PROGRAM = Path(__file__).with_name("fault_service.py")
START_SECONDS = 60.0


class ServiceProcess:
    """A service process with ``environment``; it has its port for life, and the restarts after."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.port = free_port()
        self._log = log
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("THUMBSTREAM_")}
        self._environment = {
            **inherited,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "THUMBSTREAM_PORT": str(self.port),
            "THUMBSTREAM_CURVES": "false",
            "THUMBSTREAM_CACHE_BYTES": "0",
            "THUMBSTREAM_ENCODE_WORKERS": "1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)], env=self._environment, stderr=self._log.open("ab")
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            text = self._log.read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it with SIGKILL, as the kernel does when memory is short."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def users_of(process: ServiceProcess) -> AsyncIterator[Users]:
    """Users who reach the service through its port."""
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as http:
        yield Users(http)
