"""The deployed nginx in front of real services, all on loopback, with what they have counted."""

from __future__ import annotations

import io
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from launch import Program, Service, free_port
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "nginx.conf"
Upload = Callable[[str], str]
"""Uploads another picture each time to the service at a URL: its id."""


class CountedService(Service):
    """``thumbstream serve`` with the published models, and the requests that it counted."""

    def requests(self, route: str) -> int:
        """Requests answered under the template of a route."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        counts = (
            line.rpartition(" ")[2]
            for line in lines
            if line.startswith(f'thumbstream_requests_total{{route="{route}"')
        )
        return int(sum(map(float, counts)))


class Nginx(Program):
    """deploy/nginx.conf with the ports and the folder of this run.

    ``changes``: further texts of the file, and what replaces them.
    """

    def __init__(
        self, folder: Path, services: Sequence[Service], changes: Mapping[str, str] = {}
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._changes = changes
        self.url = f"http://127.0.0.1:{self.port}"
        self._services = services
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # nginx started by root serves as another user
        command = [_program(), "-e", "/dev/stderr", "-c", self._configuration()]
        super().__init__([*command, "-g", "daemon off;"], folder / "nginx.log", ready=self._listens)

    def _listens(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _configuration(self) -> Path:
        text = DEPLOYED.read_text()
        # The name that Compose resolves to its replicas.
        replicas = "\n".join(f"server 127.0.0.1:{s.port} max_fails=0;" for s in self._services)
        for deployed, here in (
            ("server thumbstream:8000 max_fails=0;", replicas),
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
            ("/tmp/", f"{self.folder}/"),
            ("/etc/nginx/cdn-networks", f"{self.folder}/cdn-networks"),
            *self._changes.items(),
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
