"""Who is let in at all: a bounded number of requests at once, with queries that can be read.

What is turned away here has cost next to nothing, and is told so with a problem document.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from thumbstream.http.errors import problem_for
from thumbstream.http.refusals import BadRequestError, BusyError, RefusedError
from thumbstream.http.replies import Reply, encode_headers
from thumbstream.telemetry.metrics import Metrics

ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""However many requests are in work: an overloaded service must not look like a dead one."""

MAX_PARAMETERS = 100
"""In a query: many more than any route has, few enough to be read in no time."""

TURNED_AWAY = "turned_away"
"""What /metrics calls the route of requests that were looked at no further."""


class Admission:
    """Wraps an ASGI application: at most ``limit`` requests in work at a time."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, limit: int, retry_after: int) -> None:
        self._app = app
        self._metrics = metrics
        self._limit = limit
        self._retry_after = retry_after
        self._requests = 0  # in work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI), or the life of the process."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._requests >= self._limit and scope["path"] not in ALWAYS_ANSWERED:
            await self._turn_away(BusyError("too many requests at once"), scope, send)
            return
        if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
            error = BadRequestError(f"a query has at most {MAX_PARAMETERS} parameters")
            await self._turn_away(error, scope, send)
            return
        self._requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1

    async def _turn_away(self, error: RefusedError, scope: Scope, send: Send) -> None:
        status, headers, body = problem_for(error, retry_after=self._retry_after)
        self._metrics.observe_request(TURNED_AWAY, status, 0.0)
        headers["Connection"] = "close"  # its body, if it has one, is not read
        await Reply(status, encode_headers(headers), body).send(send, scope["method"])
