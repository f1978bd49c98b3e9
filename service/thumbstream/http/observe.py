"""What surrounds every request to the FastAPI side: an id, a count, a log line, and manners.

Raw ASGI, because Starlette's middleware base class would read bodies through a queue.
"""

from __future__ import annotations

import logging
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.http.errors import answer_for, problem_for
from thumbstream.http.gate import FIELDS, TOKEN
from thumbstream.http.replies import Header, Reply, encode_headers
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.request_ids import FIELD, current, request_id

log = logging.getLogger(__name__)

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
        current.set(scope)
        exchange = _Exchange(scope, receive, send)
        failure: Exception | None = None
        self._metrics.in_flight += 1
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            failure = error
            if exchange.status is None:
                status, headers, body = problem_for(error, retry_after=self._retry_after)
                self._metrics.count_error(answer_for(error).code)
                reply = Reply(status, encode_headers(headers), body)
                await reply.send(exchange.send, scope["method"])
        finally:
            self._metrics.in_flight -= 1
        seconds = perf_counter() - started
        route, status = route_template(scope), exchange.status or 500
        self._metrics.observe_request(route, status, seconds)
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
        self.id = request_id(scope)
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
            headers = [*message.get("headers", ()), (FIELD, self.id.encode())]
            headers += encode_headers(self._scope.get(FIELDS, {}))
            if self._unread:
                # Refused before the body was there: nobody will read the rest of it.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


def _has_body(headers: list[Header]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def route_template(scope: Scope) -> str:
    """The template of the route that FastAPI chose, or `UNMATCHED`."""
    return getattr(scope.get("route"), "path", UNMATCHED)
