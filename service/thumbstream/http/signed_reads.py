"""Asks for a signature, or a bearer token, ahead of every read of streams.

Only there when ``THUMBSTREAM_READ_KEYS`` has keys. The parameters ``exp`` and ``sig`` end here: the
routes behind see the request as if it had not been signed. No answer may be kept longer than the
signature is good for, and what a token opened is kept by nobody but its holder.
"""

from __future__ import annotations

import re
import time
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.http.auth import Doorkeeper
from thumbstream.http.errors import problem_for
from thumbstream.http.hot_path import HotPath
from thumbstream.http.refusals import RefusedError
from thumbstream.http.replies import Reply, cors_headers, encode_headers
from thumbstream.http.signing import Grant, ReadKeys, streams_of
from thumbstream.telemetry.metrics import Metrics

_MAX_AGE = re.compile(rb"public, max-age=(\d+)")
_PREVIEW = "/decode/{id}"


class SignedReads:
    """Wraps an ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        keys: ReadKeys,
        doorkeeper: Doorkeeper,
        metrics: Metrics,
        *,
        cors_origin: str,
    ) -> None:
        self._app = app
        self._keys = keys
        self._doorkeeper = doorkeeper
        self._metrics = metrics
        self._shared = encode_headers(cors_headers(cors_origin))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        route = _route(scope)
        if route is None or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        try:
            rest, grant = self._admit(scope)
        except RefusedError as error:
            status, headers, body = problem_for(error, retry_after=1)
            await Reply(status, self._shared + encode_headers(headers), body).send(
                send, scope["method"]
            )
            self._metrics.observe_request(route, status, perf_counter() - started)
            return
        await self._app({**scope, "query_string": rest}, receive, _bounded(send, grant))

    def _admit(self, scope: Scope) -> tuple[bytes, Grant | None]:
        rest, exp, sig = split_query(scope["query_string"])
        if may_read(self._doorkeeper, scope):
            return rest, None
        streams = streams_of(scope["path"], rest.decode("latin-1"))
        return rest, self._keys.check(streams or "", exp, sig)


def may_read(doorkeeper: Doorkeeper, scope: Scope) -> bool:
    """Whether a request carries a bearer token; `UnauthorizedError` for one that is not valid."""
    given = next((v.decode("latin-1") for n, v in scope["headers"] if n == b"authorization"), None)
    return given is not None and doorkeeper.admit(given) is not None


def split_query(query: bytes) -> tuple[bytes, str, str]:
    """(the rest, ``exp``, ``sig``); one that is missing or there twice is empty."""
    rest: list[bytes] = []
    found: dict[bytes, list[bytes]] = {b"exp": [], b"sig": []}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        found.get(name, rest).append(value if name in found else part)
    exp, sig = (v[0].decode("latin-1") if len(v) == 1 else "" for v in found.values())
    return b"&".join(rest), exp, sig


def _route(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    path: str = scope["path"]
    return HotPath.route(path) or (_PREVIEW if path.startswith("/decode/") else None)


def _bounded(send: Send, grant: Grant | None) -> Send:
    async def send_bounded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, _no_longer(value, grant)) if name == b"cache-control" else (name, value)
                for name, value in message["headers"]
            ]
            message = {**message, "headers": headers}
        await send(message)

    return send_bounded


def _no_longer(caching: bytes, grant: Grant | None) -> bytes:
    age = _MAX_AGE.match(caching)
    if age is None:
        return caching
    if grant is None:
        return caching.replace(b"public", b"private")
    left = max(0, grant.expires - int(time.time()) - 1)
    # A cache must not fall back on it afterwards, not even when the service is down.
    return b"public, max-age=%d, must-revalidate" % min(int(age[1]), left)
