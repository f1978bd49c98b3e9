"""A load generator: keep-alive connections that each ask again as soon as they have an answer.

Run as ``load_client.py PORT SECONDS CONNECTIONS REQUEST...``, where every REQUEST is a file that
holds the raw bytes of one HTTP/1.1 request, or a file ``*.paths`` with the path of a GET in each
line. Each connection sends all of them in turn; if SECONDS is 0, all connections together send
each of them once. Prints one JSON object. A process of its own, so that the measuring does not
share an interpreter with anything.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast

HEAD_END = b"\r\n\r\n"
PATIENCE_SECONDS = 60.0
"""How long the last answers may take after the time is up."""


class Connection(asyncio.Protocol):
    """One connection, one request outstanding."""

    def __init__(
        self, requests: list[bytes], first: int, deadline: float, *, once: bool = False
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._requests = requests
        self._next = first
        self._deadline = deadline
        self._left = len(requests) if once else 0
        self._received = bytearray()
        self._expected = 0  # bytes of the whole answer; 0 until its head is read
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._send()

    def data_received(self, data: bytes) -> None:
        """Collect an answer; when it is whole, send the next request."""
        self._received += data
        if not self._expected:
            end = self._received.find(HEAD_END)
            if end < 0:
                return
            head = bytes(self._received[:end])
            self._expected = end + len(HEAD_END) + content_length(head)
            self.statuses[int(head[9:12])] += 1
        if len(self._received) < self._expected:
            return
        now = perf_counter()
        self.latencies.append(now - self._sent_at)
        self._received.clear()
        self._expected = 0
        if now < self._deadline or self._left > 0:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish; the server must not hang up before the time is up."""
        if not self.done.done():
            if exc or perf_counter() < self._deadline or self._left > 0:
                self.done.set_exception(exc or ConnectionError("the server hung up"))
            else:
                self.done.set_result(None)

    def _send(self) -> None:
        self._sent_at = perf_counter()
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)
        self._left -= 1


def content_length(head: bytes) -> int:
    """Length of the body that the head of an answer announces; chunked answers are refused."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")


async def generate(port: int, seconds: float, connections: int, requests: list[bytes]) -> object:
    """Load 127.0.0.1:``port``; requests/s, latencies in ms and the number of each status."""
    loop = asyncio.get_running_loop()
    started = perf_counter()
    clients = []
    for i in range(connections):
        if seconds:
            connect = partial(Connection, requests, i % len(requests), started + seconds)
        else:
            connect = partial(Connection, requests[i::connections], 0, started, once=True)
        clients.append((await loop.create_connection(connect, "127.0.0.1", port))[1])
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(client.done for client in clients))
    elapsed = perf_counter() - started
    latencies = sorted(latency for client in clients for latency in client.latencies)
    statuses = sum((client.statuses for client in clients), Counter[int]())
    return {
        "requests": len(latencies),
        "per_second": len(latencies) / elapsed,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
    }


def read_requests(path: Path) -> list[bytes]:
    """The requests in a file: see the module."""
    if path.suffix != ".paths":
        return [path.read_bytes()]
    paths = path.read_text(encoding="ascii").splitlines()
    return [f"GET {one} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for one in paths]


if __name__ == "__main__":
    if sys.platform != "win32":
        import uvloop

        uvloop.install()
    _port, _seconds, _connections = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    _requests = [one for name in sys.argv[4:] for one in read_requests(Path(name))]
    print(json.dumps(asyncio.run(generate(_port, _seconds, _connections, _requests))))
