"""What surrounds every request to the FastAPI side: an id, a count, a log line, and manners.

Raw ASGI, because Starlette's middleware base class would read bodies through a queue.
"""

from __future__ import annotations

import logging
import re
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.http.gate import FIELDS, TOKEN
from thumbstream.http.problems import problem_for
from thumbstream.http.replies import Header, Reply, encode_headers
from thumbstream.metrics import Metrics

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""An id that a client or a proxy may choose: printable, short, nothing that splits a log line."""

UNMATCHED = "unmatched"
"""The route of a path that no route claims: one label for all, whatever clients invent."""


class Observed:
    """Wraps an ASGI application. ``access_log``: a line for every request, not only failures."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, *, access_log: bool, retry_after: int
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._retry_after = retry_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        exchange = _Exchange(scope, receive, send)
        failure: Exception | None = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            failure = error
            if exchange.status is None:
                status, headers, body = problem_for(error, retry_after=self._retry_after)
                reply = Reply(status, encode_headers(headers), body)
                await reply.send(exchange.send, scope["method"])
        seconds = perf_counter() - started
        route, status = _template(scope), exchange.status or 500
        self._metrics.answered(route, status, seconds)
        if failure is not None or self._access_log:
            fields = {
                "request_id": exchange.id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
            }
            if TOKEN in scope:
                fields["token"] = scope[TOKEN]
            level = logging.INFO if failure is None else logging.ERROR
            log.log(level, "request", extra=fields, exc_info=failure)


class _Exchange:
    """One request and its answer, as they pass by."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._scope = scope
        self.id = _request_id(scope["headers"])
        self.status: int | None = None
        self._unread = _has_body(scope["headers"])

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
            headers += encode_headers(self._scope.get(FIELDS, {}))
            if self._unread:
                # Refused before the body was there: nobody will read the rest of it.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


def _request_id(headers: list[Header]) -> str:
    given = next((v.decode("latin-1") for n, v in headers if n == b"x-request-id"), "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex


def _has_body(headers: list[Header]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _template(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", UNMATCHED)
