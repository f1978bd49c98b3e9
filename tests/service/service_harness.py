"""Shared by the tests of the service: a service in this process or its own, and checks."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from fakes import FakeModels, MemoryStore, photo

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.ids import curve_key, identify
from thumbstream.server.app import Application

IMMUTABLE = "public, max-age=31536000, immutable"
UNKNOWN = identify(b"a stream that is not stored")


@dataclass
class Running:
    """A service without a port: requests go directly to the application."""

    app: Application
    http: httpx.AsyncClient
    store: MemoryStore
    models: FakeModels

    async def upload(self, seed: int = 0, **query: Any) -> dict[str, Any]:
        answer = await self.http.post(
            "/compress",
            content=photo(seed=seed),
            params=query,
            headers={"Content-Type": "image/png"},
        )
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def give_curve(self, key: str, curve: RateCurve) -> None:
        """Put a curve of the test's own in the place of the measured one."""
        self.store.streams[curve_key(key)] = curve.to_bytes()


Start = Callable[..., Awaitable[Running]]


@dataclass
class Launched:
    """A service process and its address."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Launch = Callable[..., Launched]


def open_connection(server: Launched, *, seconds: float = 30) -> socket.socket:
    """A connection to a service."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=seconds)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything that the service sends until it closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Asserts that a response is this error; returns its document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:thumbstream:problem:{code}"
    assert document["title"]
    assert document["detail"]
    return document


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition that another task or thread brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (a thread changes it)
            await asyncio.sleep(0.005)
