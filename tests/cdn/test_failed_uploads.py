"""A failed upload stays with the replica that it was sent to; a failed read goes to the other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from cdn_servers import Nginx


class Replicas:
    """Two servers that read every request, then answer with ``status``, or close without one."""

    def __init__(self, stack: ExitStack) -> None:
        self.status: int | None = None
        self.requests: Counter[str] = Counter()
        self.ports = [self._start(stack) for _ in range(2)]

    def _start(self, stack: ExitStack) -> int:
        replicas = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                replicas.requests[self.command] += 1
                if replicas.status is not None:
                    self.send_response(replicas.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                self.close_connection = True

            do_GET = do_POST

            def log_message(self, *_: object) -> None: ...

        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        return server.server_address[1]


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with ExitStack() as stack:
        yield Replicas(stack)


@pytest.mark.parametrize("status", [None, 502, 503, 429])
def test_one_replica_alone_gets_a_failed_upload(
    folder: Path, replicas: Replicas, status: int | None
) -> None:
    replicas.status = status
    nginx = Nginx(folder, [SimpleNamespace(port=port) for port in replicas.ports])
    nginx.start()
    try:
        for path in ("/compress", "/decode"):
            replicas.requests.clear()
            answer = httpx.post(nginx.url + path, content=bytes(100), timeout=30)
            assert answer.status_code == (status or 503)
            assert replicas.requests["POST"] == 1
        answer = httpx.get(f"{nginx.url}/t/q0Zr2vYx3m1Ck7Ht5sNwAQ/16", timeout=30)
        assert answer.status_code == (status or 503)
        assert replicas.requests["GET"] == 2
    finally:
        nginx.stop()
