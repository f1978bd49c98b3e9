"""deploy/nginx.conf, read and run by nginx itself in front of a small service that counts.

The compose network's host name and port mean nothing here, so the copy that runs has others; every
other line is the one that is deployed. Run: ``python tests/packaging/nginx_smoke.py``.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
STREAM = bytes(range(200))
START_SECONDS = 10.0


class Service(BaseHTTPRequestHandler):
    """Answers what thumbstream would: streams that may be kept for ever, and the rest."""

    protocol_version = "HTTP/1.0"  # no kept connection outlives the listening socket
    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if self.path.startswith("/t/"):
            self.answer(200, STREAM, "public, max-age=31536000, immutable")
        elif self.path.startswith("/thumb/"):
            self.answer(404, b"{}", "public, max-age=10")
        else:
            self.answer(200, b"page", "no-cache")

    def do_POST(self) -> None:
        self.asked[self.path] += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"decoded", "no-store")

    def answer(self, status: int, body: bytes, cache_control: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache_control)
        self.send_header("ETag", '"stream"')
        self.send_header("Accept-Ranges", "bytes")  # without it nginx cuts no range
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: nginx's own log is enough."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path, service_port: int, port: int) -> Path:
    """The deployed file with this run's ports and folder; it must have had what is replaced."""
    text = DEPLOYED.read_text()
    for deployed, here in (
        ("server thumbstream:8000;", f"server 127.0.0.1:{service_port};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/tmp/", f"{folder}/"),
    ):
        assert deployed in text, f"deploy/nginx.conf has no {deployed!r}"
        text = text.replace(deployed, here)
    copy = folder / "nginx.conf"
    copy.write_text(text)
    return copy


def fetch(
    base: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[HTTPResponse | urllib.error.HTTPError, bytes]:
    request = urllib.request.Request(base + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response, response.read()
    except urllib.error.HTTPError as error:
        return error, error.read()


def check(base: str, service: ThreadingHTTPServer) -> None:
    for expected in ("MISS", "HIT"):
        response, body = fetch(base, "/t/abc/64")
        assert response.headers["X-Cache-Status"] == expected, dict(response.headers)
        assert response.headers.get_all("Cache-Control") == ["public, max-age=31536000, immutable"]
        assert body == STREAM
    response, body = fetch(base, "/t/abc/64", Range="bytes=32-")
    assert (response.status, body) == (206, STREAM[32:])
    assert Service.asked["/t/abc/64"] == 1, "a kept stream was asked for again"

    for _ in range(2):
        response, _ = fetch(base, "/thumb/unknown")
        assert response.status == 404
    assert Service.asked["/thumb/unknown"] == 1, "an unknown id was asked for again at once"

    for _ in range(2):
        _, body = fetch(base, "/decode", body=b"stream")
        assert body == b"decoded"
    assert Service.asked["/decode"] == 2, "an answer to POST was kept"

    response, _ = fetch(base, "/")
    assert "X-Cache-Status" not in response.headers
    response, _ = fetch(base, "/compress", body=bytes(25 * 1024 * 1024))
    assert response.status == 413

    service.shutdown()
    service.server_close()
    response, body = fetch(base, "/t/abc/64")
    assert (response.status, body) == (200, STREAM), "a kept stream did not outlive the service"
    response, _ = fetch(base, "/t/other/64")
    assert response.status == 502


def wait_until_listening(port: int, nginx: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert nginx.poll() is None, "nginx ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nginx does not listen after {START_SECONDS} s")


def main() -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert program is not None, "nginx is not installed"
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx started by root serves as another user
        port = free_port()
        copy = configuration(folder, service.server_port, port)
        command = [program, "-e", "/dev/stderr", "-c", str(copy)]
        subprocess.run([*command, "-t", "-q"], check=True)
        with (folder / "log").open("wb") as log:
            nginx = subprocess.Popen([*command, "-g", "daemon off;"], stdout=log, stderr=log)
            try:
                wait_until_listening(port, nginx)
                check(f"http://127.0.0.1:{port}", service)
            except BaseException:
                print((folder / "log").read_text())
                raise
            finally:
                nginx.terminate()
                nginx.wait(timeout=10)
    print("deploy/nginx.conf: read by nginx; streams are kept, ranged and outlive the service")


if __name__ == "__main__":
    main()
