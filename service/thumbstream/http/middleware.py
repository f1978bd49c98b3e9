"""The ASGI middleware that `thumbstream.http.app` applies.

The classes are raw ASGI, because Starlette's `BaseHTTPMiddleware` passes bodies through a queue.
"""

from __future__ import annotations

import logging
import re
import time
from time import perf_counter
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.http.auth import RATE_LIMIT_HEADERS, TOKEN, BearerAuth
from thumbstream.http.errors import BadRequestError, BusyError, ErrorResponder, HTTPError
from thumbstream.http.hot_path import ACCESS, stream_route
from thumbstream.http.responses import CORS, Header, encode_headers
from thumbstream.http.signing import Grant, SigningKeys, split_query
from thumbstream.ids import is_id
from thumbstream.signed_urls import streams_of
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.request_ids import HEADER, current, request_id

log = logging.getLogger(__name__)

ALWAYS_SERVED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths exempt from the concurrency limit: an overloaded service must not look like a dead one."""

MAX_PARAMETERS = 100
"""Limit of the parameters in a query: many more than any route has, yet quick to parse."""

REJECTED = "rejected"
"""Route label in metrics of requests that `ConcurrencyLimitMiddleware` rejects."""

UNMATCHED = "unmatched"
"""Route label in metrics of all paths without a route: clients cannot create new labels."""

_MAX_AGE = re.compile(rb"public, max-age=(\d+)")
_PREVIEW = "/decode/{id}"


class ConcurrencyLimitMiddleware:
    """Rejects requests above ``limit`` in flight, and queries above `MAX_PARAMETERS` parameters."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, errors: ErrorResponder, *, limit: int
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._errors = errors
        self._limit = limit
        self._requests = 0  # in flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; other types than ``http`` pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._requests >= self._limit and scope["path"] not in ALWAYS_SERVED:
            await self._reject(BusyError("too many concurrent requests"), scope, send)
            return
        if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
            error = BadRequestError(f"a query has at most {MAX_PARAMETERS} parameters")
            await self._reject(error, scope, send)
            return
        self._requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1

    async def _reject(self, error: HTTPError, scope: Scope, send: Send) -> None:
        error.headers["Connection"] = "close"  # the body, if there is one, is not read
        response = await self._errors.send_problem(error, scope, send)
        self._metrics.observe_request(REJECTED, response.status, 0.0)


class SignedUrlMiddleware:
    """Requires a signature or a bearer token for every read of streams.

    Removes the query parameters ``exp`` and ``sig`` from the request that the routes see. Shared
    caches may store the response to a signed request until the signature expires; only private
    caches may store the response to a request with a token.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: SigningKeys,
        auth: BearerAuth,
        metrics: Metrics,
        errors: ErrorResponder,
    ) -> None:
        self._app = app
        self._keys = keys
        self._auth = auth
        self._metrics = metrics
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; other types than ``http`` pass unchanged."""
        route = _signed_route(scope)
        if route is None or scope["method"] in ("OPTIONS", "DELETE"):  # neither reads a stream
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        try:
            query, grant = self._authorize(scope)
        except HTTPError as error:
            response = await self._errors.send_problem(error, scope, send)
            self._metrics.observe_request(route, response.status, perf_counter() - started)
            return
        await self._app({**scope, "query_string": query}, receive, _cap_cache_control(send, grant))

    def _authorize(self, scope: Scope) -> tuple[bytes, Grant | None]:
        query, exp, sig = split_query(scope["query_string"])
        if self._auth.has_token(scope):
            return query, None
        streams = streams_of(scope["path"], query.decode("latin-1"))
        return query, self._keys.check(streams or "", exp, sig)


class AccessLogMiddleware:
    """Logs a line for every request: client, token, method, route, id, status, bytes, cache, time.

    The middleware and routes inside add what they know to the dict ``scope[ACCESS]``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; other types than ``http`` pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        fields: dict[str, object] = {
            "request_id": request_id(scope),
            "client": (scope.get("client") or ("unknown",))[0],
            "method": scope["method"],
            "route": stream_route(scope["path"]) or UNMATCHED,
            "status": 500,
            "bytes": 0,
        }
        scope[ACCESS] = fields
        fields |= _id_in(scope["path"])

        async def observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields["status"] = message["status"]
                location = dict(message.get("headers", ())).get(b"location", b"").decode("latin-1")
                fields.update(_id_in(location))  # of an upload
            else:
                fields["bytes"] = cast(int, fields["bytes"]) + len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            fields["milliseconds"] = round((perf_counter() - started) * 1000, 1)
            log.info("%s %s %d", fields["method"], fields["route"], fields["status"], extra=fields)


def _id_in(path: str) -> dict[str, object]:
    key = next(filter(is_id, path.split("/")), None)
    return {"id": key} if key else {}


class RequestMiddleware:
    """Adds metrics, error responses and the request id to the FastAPI routes."""

    def __init__(self, app: ASGIApp, metrics: Metrics, errors: ErrorResponder) -> None:
        self._app = app
        self._metrics = metrics
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; other types than ``http`` pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        current.set(scope)
        exchange = _Exchange(scope, receive, send)
        self._metrics.in_flight += 1
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            await self._respond(error, exchange)
        finally:
            self._metrics.in_flight -= 1
        seconds = perf_counter() - started
        route, status = route_template(scope), exchange.status or 500
        self._metrics.observe_request(route, status, seconds)
        if ACCESS in scope:
            scope[ACCESS]["route"] = route
            if TOKEN in scope:
                scope[ACCESS]["token"] = scope[TOKEN]

    async def _respond(self, error: Exception, exchange: _Exchange) -> None:
        scope = exchange.scope
        response = self._errors.response(error, scope)
        if response.status in (503, 507) and not isinstance(error, HTTPError):
            log.warning("%s %r: %s", scope["method"], scope["path"], error)
        if exchange.status is None:
            await response.send(exchange.send_error, scope["method"])


class _Exchange:
    """Observes the ASGI messages of one request, and adds header fields to its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.status: int | None = None
        self._receive = receive
        self._send = send
        self._unread = _has_body(scope["headers"])

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        await self._send_with(message, {HEADER.decode(): request_id(self.scope)})

    async def send_error(self, message: Message) -> None:
        await self._send_with(message, {})  # an error response has the request id already

    async def _send_with(self, message: Message, fields: dict[str, str]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            if not _is_cacheable(headers):  # a cache would send these fields to other clients
                headers += encode_headers({**fields, **self.scope.get(RATE_LIMIT_HEADERS, {})})
            if self._unread:
                # The rest of the body is not read, so the connection cannot be reused.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


class PublicReadCORSMiddleware:
    """Adds CORS fields to responses on public paths (`CORS.methods`), and answers preflights."""

    def __init__(self, app: ASGIApp, cors: CORS) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; other types than ``http`` pass unchanged."""
        methods = self._cors.methods(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await self._cors.preflight(methods).send(send, "OPTIONS")
        else:
            await self._app(scope, receive, self._add_headers(send))

    def _add_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *self._cors.headers]
                message = {**message, "headers": headers}
            await send(message)

        return send_with_headers


def route_template(scope: Scope) -> str:
    """The path template of the FastAPI route that served a request, or `UNMATCHED`."""
    return getattr(scope.get("route"), "path", UNMATCHED)


def _signed_route(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    path: str = scope["path"]
    return stream_route(path) or (_PREVIEW if path.startswith("/decode/") else None)


def _cap_cache_control(send: Send, grant: Grant | None) -> Send:
    async def send_capped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, _cap_max_age(value, grant)) if name == b"cache-control" else (name, value)
                for name, value in message["headers"]
            ]
            message = {**message, "headers": headers}
        await send(message)

    return send_capped


def _cap_max_age(caching: bytes, grant: Grant | None) -> bytes:
    age = _MAX_AGE.match(caching)
    if age is None:
        return caching
    if grant is None:
        return caching.replace(b"public", b"private")
    remaining = max(0, grant.expires - int(time.time()) - 1)
    # must-revalidate: caches must not use an expired response, even while the service is down.
    return b"public, max-age=%d, must-revalidate" % min(int(age[1]), remaining)


def _is_cacheable(headers: list[Header]) -> bool:
    return any(name == b"cache-control" and value.startswith(b"public") for name, value in headers)


def _has_body(headers: list[Header]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )
