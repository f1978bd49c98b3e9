"""Requests and answers of the hot path: plain tuples, and the fields that many answers share."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope, Send

FOR_EVER = "public, max-age=31536000, immutable"
"""For what can never change: a prefix of the bytes behind a content id."""

Header = tuple[bytes, bytes]


class Asked(NamedTuple):
    """The parts of a request that an answer can depend on; fields that are not there are empty."""

    method: str
    path: str
    query: bytes
    if_none_match: str
    range: str
    if_range: str


class Reply(NamedTuple):
    """A complete answer; ``body`` is what GET sends."""

    status: int
    headers: list[Header]
    body: bytes = b""

    async def send(self, send: Send, method: str) -> None:
        """Send it as the answer to ``method``."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        body = b"" if method == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})


def read_request(scope: Scope) -> Asked:
    """The parts of an ASGI request. Repeated fields are joined, as RFC 9110 (5.3) has it."""
    found = {b"if-none-match": "", b"range": "", b"if-range": ""}
    for name, value in scope["headers"]:
        if name in found:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if found[name] else text
    return Asked(scope["method"], scope["path"], scope["query_string"], *found.values())


def encode_headers(headers: dict[str, str]) -> list[Header]:
    """Fields as ASGI wants them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def cors_headers(origin: str) -> dict[str, str]:
    """Fields that let pages of ``origin`` (``*``: all) read an answer; none for an empty one."""
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag",
    }


def preflight_headers(methods: str) -> dict[str, str]:
    """The rest of the answer to OPTIONS. Browsers differ on whether Range needs permission."""
    return {
        "Allow": methods,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Content-Type, If-None-Match, If-Range, Range",
        "Access-Control-Max-Age": "86400",
    }
