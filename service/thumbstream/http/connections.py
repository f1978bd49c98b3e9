"""uvicorn's HTTP/1.1 protocol with limits on what a client may send, and on how slowly.

The protocol adds limits that uvicorn lacks: length and number of header fields, length of the URL,
length of the trailers of a chunked body, time until the header fields have arrived, time until the
client has received the response, pipelined requests, and connections. Where HTTP has a status for
an exceeded limit, the client gets an ``application/problem+json`` error; in every case the
connection closes.

Trailers are read and dropped: they never become header fields. A client that ends its side after a
request (a half-closed connection) still gets the response. Idle connections count towards the limit
of connections. Above the limit, the connection that has been idle longest is closed, so a flood of
idle or slow clients locks out neither other clients nor /healthz.

`LimitedHttpProtocol` overrides and uses internals of uvicorn's `HttpToolsProtocol`, which no
release promises to preserve. So pyproject.toml has an exact upper bound on uvicorn; before you
raise this bound, read uvicorn/protocols/http/httptools_impl.py for changes in:

- overridden callbacks of httptools: ``on_message_begin``, ``on_header``,
  ``on_headers_complete``, ``on_body``;
- methods: ``connection_made``, ``connection_lost``, ``data_received``, ``eof_received``,
  ``on_response_complete``, ``pause_writing``, ``resume_writing``, ``timeout_keep_alive_handler``,
  ``_start_asgi_task``, ``_unset_keepalive_if_required``;
- attributes of `HttpToolsProtocol`: ``parser``, ``url``, ``headers``, ``scope``, ``cycle``,
  ``pipeline``, ``connections``, ``transport``, ``flow``, ``loop``;
- `RequestResponseCycle`: the method ``send``; attributes ``response_started``,
  ``response_complete``, ``more_body``, ``keep_alive``, ``disconnected``, ``message_event``,
  ``transport``, ``flow``, ``default_headers``, ``on_response``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from thumbstream.http.errors import (
    BadRequestError,
    BusyError,
    ErrorResponder,
    HeadersTooLargeError,
    HeaderTimeoutError,
    HTTPError,
    UrlTooLongError,
    problem_spec,
)
from thumbstream.http.responses import WRITE_RESPONSE
from thumbstream.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_PIPELINED = 16
"""Requests on one connection that may wait for an earlier response; further ones are not served."""

DRAIN_SECONDS = 2.0
"""How long input is read and dropped after an error before the connection closes (a lingering
close). Closing at once would reset the connection, and the client might never read the error."""

DRAIN_BYTES = 4 * 1024 * 1024
"""Limit of the input that is dropped in `DRAIN_SECONDS`; above it the connection closes at once."""

MIN_SEND_BYTES = 16 * 1024
"""Bytes of a long response that a client must receive in each `ConnectionLimits.send_timeout`."""

MAX_FRAMING_BYTES = 8192
"""Limit of the bytes of a chunked body between two pieces of data (chunk sizes), or after the last
piece (trailers)."""

_HOST = re.compile(rb"[^\x00-\x20\x7f-\xff,/?#@]*")
"""A valid value of the Host field, which may be empty (RFC 9112, 3.2)."""

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of each connection, and of the number of connections."""

    connections: int = 4096
    url_bytes: int = 8192
    """Limit of the URL with its query: enough for `query.MAX_IDS` ids with byte counts."""
    header_bytes: int = 32_768
    """Limit of the names and values of all header fields together."""
    header_fields: int = 100
    header_timeout: float = 10.0
    """Seconds until the header fields are complete, from the start of a connection or request."""
    send_timeout: float = 30.0
    """Seconds in which a client must receive `MIN_SEND_BYTES`, or the rest of a response."""


def limited_protocol(
    limits: ConnectionLimits, metrics: Metrics, errors: ErrorResponder, root_path: str = ""
) -> type[HttpToolsProtocol]:
    """Create a subclass of `LimitedHttpProtocol` for ``uvicorn.Config(http=...)``.

    ``root_path``: the path before those of the service; errors on public paths have CORS fields.
    """
    namespace: dict[str, Any] = {
        "limits": limits,
        "metrics": metrics,
        "errors": errors,
        "public_root": root_path,
        "idle_connections": {},
        "default_head": ([], b""),
    }
    return type("LimitedHttpProtocolOfOneServer", (LimitedHttpProtocol,), namespace)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection within ``limits``. Use a subclass from `limited_protocol`."""

    limits: ClassVar[ConnectionLimits]
    metrics: ClassVar[Metrics]
    errors: ClassVar[ErrorResponder]
    public_root: ClassVar[str]
    idle_connections: ClassVar[dict[LimitedHttpProtocol, None]]
    """Connections that wait for a request, receive its head, or drain; the longest idle first."""
    default_head: ClassVar[tuple[list[tuple[bytes, bytes]], bytes]]
    """The server's header fields, and the start of a response 200 with these fields."""

    url = b""  # uvicorn sets it when the first head begins
    ended = False  # if true, input is dropped and no request begins
    _in_head = False
    _new_head = False  # the head began in the data that is being read
    _head_bytes = 0  # of the head so far, without the data in which the head began
    _data_bytes = 0  # length of the data that is being read
    _dropped_bytes = 0  # input after the end
    _framing_bytes = 0  # of a chunked body, since its last piece of data
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _unsent_bytes = 0  # length of the write buffer when the send timer started
    _responding: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection; above the limit, close the longest idle one, or else this one."""
        super().connection_made(transport)
        self.metrics.connections += 1
        self._start_head_timer()
        self.idle_connections[self] = None
        if len(self.connections) > self.limits.connections:
            next(iter(self.idle_connections))._evict_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection, cancel its timers, and mark its request as disconnected."""
        self.metrics.connections -= 1
        self.idle_connections.pop(self, None)
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        self._abandon_response()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse ``data``; once the connection has ended, drop up to `DRAIN_BYTES` of input."""
        if self.ended:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > DRAIN_BYTES:
                self._close_now()
            return
        self._unset_keepalive_if_required()
        self._new_head = False
        self._data_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # this request is served as HTTP/1.1; later bytes are not
            self.ended = not self.cycle.more_body
        except httptools.HttpParserError as error:
            # The parser wraps what a callback raised.
            reason = error.__context__
            if not isinstance(reason, HTTPError):
                reason = BadRequestError("not a valid HTTP/1.1 request")
            self._send_and_close(reason)
        else:
            self._check_head()
            self._check_framing()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection open: a complete request still lacks its response."""
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False  # no request can follow
        return True

    def _check_head(self) -> None:
        if self._in_head:
            if not self._new_head:
                self._head_bytes += self._data_bytes
            if len(self.url) > self.limits.url_bytes:
                self._send_and_close(self._url_too_long())
            elif self._head_bytes > self.limits.header_bytes + self.limits.url_bytes:
                self._send_and_close(self._headers_too_large())
            else:
                self._start_head_timer()
        elif self._is_idle():
            self._start_head_timer()  # bytes that began no request, such as an empty line

    def on_message_begin(self) -> None:
        """Start counting the bytes of a new request head."""
        super().on_message_begin()
        self._in_head = self._new_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header field of the request head; drop a trailer field."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body to the request; restart the count for `MAX_FRAMING_BYTES`."""
        self._framing_bytes = -self._data_bytes  # other bytes of this data do not count
        super().on_body(body)

    def _check_framing(self) -> None:
        # The parser holds a trailer until it is complete, so its length is bounded here.
        if self._in_head or self._is_idle() or not self.cycle.more_body:
            return
        self._framing_bytes += self._data_bytes
        if self._framing_bytes > MAX_FRAMING_BYTES:
            self._send_and_close(
                HeadersTooLargeError(f"trailers have more than {MAX_FRAMING_BYTES} bytes")
            )

    def on_headers_complete(self) -> None:
        """Check the request head against the limits, then start the request."""
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        limits = self.limits
        if len(self.url) > limits.url_bytes:
            raise self._url_too_long()
        if len(self.headers) > limits.header_fields:
            raise self._headers_too_large()
        # A short head, as most are, needs no exact measure.
        if self._head_bytes + self._data_bytes > limits.header_bytes:
            length = sum(len(name) + len(value) for name, value in self.headers)
            if length > limits.header_bytes:
                raise self._headers_too_large()
        self._check_host()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise BusyError(f"too many pipelined requests (max {MAX_PIPELINED})")
        self.idle_connections.pop(self, None)
        self._framing_bytes = -self._data_bytes
        super().on_headers_complete()
        if self.scope["method"] not in _WITHOUT_BODY:
            self.cycle.transport = _DrainingTransport(self)  # type: ignore[assignment]

    def _check_host(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise BadRequestError(f"expected one Host field, got {len(hosts)}")
        if hosts and _HOST.fullmatch(hosts[0]) is None:
            raise BadRequestError("the Host field is malformed")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._responding = cycle
        cast(dict[str, Any], cycle.scope)[WRITE_RESPONSE] = self.write_response
        super()._start_asgi_task(cycle, app)

    def write_response(self, send: object, wire: bytes) -> bool:
        """Write a complete response 200 to the current GET request, if nothing forbids it.

        ``send``: the ``send`` that the application would call; ``wire``: what `wire_format`
        returned. Returns False, and does nothing, if ``send`` is not the server's own but that of a
        middleware, or if the response cannot be written at once or ends the connection.
        """
        cycle = self._responding
        if cycle is None or send != cycle.send or cycle.response_started:
            return False
        if cycle.disconnected or not cycle.keep_alive or cycle.flow.write_paused:
            return False
        fields, head = self.default_head
        if fields is not cycle.default_headers:  # a new list every second: it has the date
            fields = cycle.default_headers
            head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields)
            type(self).default_head = fields, head
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(head + wire)
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _abandon_response(self) -> None:
        # uvicorn notifies the request that it read last; with pipelining another one may be
        # responding, and would go on writing to a closed socket.
        cycle = self._responding
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Start the next pipelined request; without one, wait for a request or close."""
        super().on_response_complete()
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self._start_send_timer()
        elif self.cycle.response_complete:  # and no pipelined request follows
            if self.cycle.more_body:  # of a body that no endpoint reads
                self.drain_then_close()
            else:
                self.idle_connections[self] = None

    def drain_then_close(self) -> None:
        """End the output, drop input; close when the client ends too, or after `DRAIN_SECONDS`."""
        self.ended = True
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.idle_connections[self] = None
        self.transport.write_eof()
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(DRAIN_SECONDS, self._close_now)

    def pause_writing(self) -> None:
        """Start the send timer: the client reads the response more slowly than it is produced."""
        super().pause_writing()
        self._start_send_timer()

    def resume_writing(self) -> None:
        """Stop the send timer: the client has read most of the buffered bytes."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection, even if the client has not read all of the last response."""
        self._close_now()

    def _is_idle(self) -> bool:
        """Whether every request of this connection so far has its complete response."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first one
        return cycle is None or cycle.response_complete

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(
                self.limits.header_timeout, self._on_header_timeout
            )

    def _on_header_timeout(self) -> None:
        self._head_timer = None
        if self._in_head:
            seconds = f"{self.limits.header_timeout:g} seconds"
            self._send_and_close(
                HeaderTimeoutError(f"the header fields did not arrive in {seconds}")
            )
        else:
            self.metrics.count_connection_closed("idle")
            self._close_now()

    def _evict_idle(self) -> None:
        # Must not raise: `connection_made` of another connection calls it, and without its end that
        # connection is never read.
        self.idle_connections.pop(self, None)
        if not self.ended and (self._in_head or self.cycle is None):
            self._send_and_close(BusyError("too many connections"), drain=False)
        else:
            self.metrics.count_connection_closed("idle")
            self._close_now()

    def _start_send_timer(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        if self._send_timer is not None:
            self._send_timer.cancel()
        self._send_timer = self.loop.call_later(self.limits.send_timeout, self._on_send_timeout)

    def _on_send_timeout(self) -> None:
        self._send_timer = None
        if self._unsent_bytes - self.transport.get_write_buffer_size() < MIN_SEND_BYTES:
            self.metrics.count_connection_closed("slow_reader")
            self._abort()
        else:
            self._start_send_timer()

    def _close_now(self) -> None:
        # close() would wait until the client has read the buffered bytes.
        if self.transport.get_write_buffer_size():
            self._abort()
        else:
            self.transport.close()

    def _abort(self) -> None:
        self._abandon_response()
        self.transport.abort()

    def _url_too_long(self) -> HTTPError:
        return UrlTooLongError(f"the URL has more than {self.limits.url_bytes} bytes")

    def _headers_too_large(self) -> HTTPError:
        limits = self.limits
        return HeadersTooLargeError(
            f"more than {limits.header_fields} header fields, or {limits.header_bytes} bytes"
        )

    def _send_and_close(self, error: HTTPError, *, drain: bool = True) -> None:
        """Send ``error`` as the response to the arriving request, then close the connection.

        An earlier request that is in flight gets its own response, and ``error`` is not sent.
        """
        self.ended = True
        self.metrics.count_connection_closed(problem_spec(error).code)
        log.debug("connection closed: %s", error)
        if not self._is_idle():
            cycle = self.cycle
            if not cycle.more_body:  # an earlier request: its response is the last one
                cycle.keep_alive = False
                cycle.transport = _DrainingTransport(self)  # type: ignore[assignment]
                return
            self._abandon_response()  # the body of this request is malformed
            if cycle.response_started:
                self.transport.close()
                return
        self.transport.write(self._error_bytes(error))
        if drain:
            self.drain_then_close()
        else:
            self._close_now()

    def _error_bytes(self, error: HTTPError) -> bytes:
        # The head, and so the path, may be incomplete.
        path = bytes(self.url or b"").partition(b"?")[0].decode("latin-1")
        path = path.removeprefix(self.public_root)
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        status, headers, body = self.errors.response(error, scope)
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        lines += [b"%s: %s" % field for field in headers]
        return b"\r\n".join([*lines, b"connection: close", b"", body])


class _DrainingTransport:
    """The methods of a transport that a response needs; ``close`` drains unread input first.

    So the client can still read an error that is sent before its whole body has arrived.
    """

    def __init__(self, protocol: LimitedHttpProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        if self._protocol.ended or self._protocol.cycle.more_body:
            self._protocol.drain_then_close()
        else:
            self._protocol.transport.close()
