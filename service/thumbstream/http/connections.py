"""A connection's limits: what a client may send ahead of a request, and how slowly.

uvicorn's own HTTP/1.1 protocol, with bounds where it has none: length and number of header fields,
length of the URL, time for a head to arrive, time for an answer to be taken, requests sent ahead
(pipelining) and connections. What HTTP can tell is told as ``application/problem+json``; then the
connection closes. A connection that waits costs a place, and the one that has waited longest gives
its place to a newcomer: a flood of idle or slow clients never locks the others, or /healthz, out.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from thumbstream.http.errors import answer_for, problem_for
from thumbstream.http.refusals import (
    BadRequestError,
    BusyError,
    HeadersTooLargeError,
    HeadTimeoutError,
    RefusedError,
    UrlTooLongError,
)
from thumbstream.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_PIPELINED = 16
"""Requests that may wait for the answer to an earlier one; those behind them are not answered."""

LINGER_SECONDS = 2.0
"""How long what a refused client still sends is thrown away: closing at once would reset the
connection, and the client might never read why."""

LINGER_BYTES = 4 * 1024 * 1024
"""And how much of it."""

MIN_DRAIN_BYTES = 16 * 1024
"""What a client must take of a long answer in each period; less is as good as nothing."""

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take, and how many there may be."""

    connections: int
    url_bytes: int
    header_bytes: int
    """Of all names and values together."""
    header_fields: int
    head_seconds: float
    """From the first byte of a request (or the connection) to the end of its header fields."""
    send_seconds: float
    """The period in which a client must take `MIN_DRAIN_BYTES` of what it is owed."""
    retry_after: int


def guarded(bounds: Bounds, metrics: Metrics) -> type[HttpToolsProtocol]:
    """A protocol class for ``uvicorn.Config(http=...)`` whose connections share these bounds."""
    namespace: dict[str, Any] = {"bounds": bounds, "metrics": metrics, "lobby": {}}
    return type("Guarded", (GuardedProtocol,), namespace)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `guarded` makes the class that is used."""

    bounds: ClassVar[Bounds]
    metrics: ClassVar[Metrics]
    lobby: ClassVar[dict[GuardedProtocol, None]]
    """Connections without a request in work, in the order in which they began to wait."""

    ended = False  # nothing more is read, and no request begins
    _in_head = False
    _new_head = False  # the head began in the data that is being read
    _head_bytes = 0  # of the head so far, without the data in which it began
    _fed = 0  # length of the data that is being read
    _thrown_away = 0  # bytes that came after the end
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _owed = 0
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, and another connection's if there is none left."""
        super().connection_made(transport)
        self.metrics.connections += 1
        self._expect_head()
        if len(self.connections) > self.bounds.connections:
            next(iter(self.lobby), self)._give_place()
        self.lobby[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.metrics.connections -= 1
        self.lobby.pop(self, None)
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        self._leave_answer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, as far as the limits allow."""
        if self.ended:
            self._thrown_away += len(data)
            if self._thrown_away > LINGER_BYTES:
                self._end()
            return
        self._unset_keepalive_if_required()
        self._new_head = False
        self._fed = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # answered as plain HTTP/1.1; what follows is not
            self.ended = not self.cycle.more_body
        except httptools.HttpParserError as error:
            # The parser wraps what a callback raised.
            reason = error.__context__
            if not isinstance(reason, RefusedError):
                reason = BadRequestError("this is no valid HTTP/1.1 request")
            self._refuse(reason)
        else:
            self._watch_head()

    def _watch_head(self) -> None:
        if self._in_head:
            if not self._new_head:
                self._head_bytes += self._fed
            if len(self.url) > self.bounds.url_bytes:
                self._refuse(self._url_too_long())
            elif self._head_bytes > self.bounds.header_bytes + self.bounds.url_bytes:
                self._refuse(self._headers_too_large())
            else:
                self._expect_head()
        elif self._idle():
            self._expect_head()  # bytes that began nothing, such as an empty line

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head = self._new_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Hold the head against the limits, then start the request."""
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        bounds = self.bounds
        if len(self.url) > bounds.url_bytes:
            raise self._url_too_long()
        if len(self.headers) > bounds.header_fields:
            raise self._headers_too_large()
        # A short head, which most are, is not measured.
        if self._head_bytes + self._fed > bounds.header_bytes:
            length = sum(len(name) + len(value) for name, value in self.headers)
            if length > bounds.header_bytes:
                raise self._headers_too_large()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise BusyError(f"at most {MAX_PIPELINED} requests may be sent ahead")
        self.lobby.pop(self, None)
        super().on_headers_complete()
        if self.scope["method"] not in _WITHOUT_BODY:
            self.cycle.transport = _Lingering(self)  # type: ignore[assignment]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _leave_answer(self) -> None:
        # uvicorn tells the request that it read last; with several on their way it is another one
        # whose answer would be written to a closed socket.
        cycle = self._answering
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        super().on_response_complete()
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self._watch_sending()
        elif self.cycle.response_complete:  # and no request waits behind it
            if self.cycle.more_body:  # of a body that nobody reads
                self.linger()
            else:
                self.lobby[self] = None

    def linger(self) -> None:
        """Say that no more will be sent, and close when the client did so, or after a while."""
        self.ended = True
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.lobby[self] = None
        self.transport.write_eof()
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(LINGER_SECONDS, self._end)

    def pause_writing(self) -> None:
        """Watch a client that takes its answer more slowly than it is made."""
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        """Stop watching: little is left."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; an answer that was not taken by now is not waited for."""
        self._end()

    def _idle(self) -> bool:
        """Whether every request so far was answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first one
        return cycle is None or cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head:
            seconds = f"{self.bounds.head_seconds:g} seconds"
            self._refuse(HeadTimeoutError(f"the header fields did not arrive in {seconds}"))
        else:
            self.metrics.count_connection_closed("idle")
            self._end()

    def _give_place(self) -> None:
        self.lobby.pop(self, None)
        if self._in_head or self.cycle is None:
            self._refuse(BusyError("too many connections at once"), linger=False)
        else:
            self.metrics.count_connection_closed("idle")
            self._end()

    def _watch_sending(self) -> None:
        self._owed = self.transport.get_write_buffer_size()
        if self._send_timer is not None:
            self._send_timer.cancel()
        self._send_timer = self.loop.call_later(self.bounds.send_seconds, self._check_sending)

    def _check_sending(self) -> None:
        self._send_timer = None
        if self._owed - self.transport.get_write_buffer_size() < MIN_DRAIN_BYTES:
            self.metrics.count_connection_closed("slow_reader")
            self._abort()
        else:
            self._watch_sending()

    def _end(self) -> None:
        # close() would wait for what the client does not take.
        if self.transport.get_write_buffer_size():
            self._abort()
        else:
            self.transport.close()

    def _abort(self) -> None:
        self._leave_answer()
        self.transport.abort()

    def _url_too_long(self) -> RefusedError:
        return UrlTooLongError(f"the URL has more than {self.bounds.url_bytes} bytes")

    def _headers_too_large(self) -> RefusedError:
        bounds = self.bounds
        return HeadersTooLargeError(
            f"more than {bounds.header_fields} header fields, or than {bounds.header_bytes} bytes"
        )

    def _refuse(self, error: RefusedError, *, linger: bool = True) -> None:
        """Answer the request that is arriving with an error, and close."""
        self.ended = True
        answer = problem_for(error, retry_after=self.bounds.retry_after)
        self.metrics.count_connection_closed(answer_for(error).code)
        log.debug("refused a connection: %s", error)
        if not self._idle():
            cycle = self.cycle
            if not cycle.more_body:  # an earlier request: its answer is the last one
                cycle.keep_alive = False
                cycle.transport = _Lingering(self)  # type: ignore[assignment]
                return
            self._leave_answer()  # its body is what is broken
            if cycle.response_started:
                self.transport.close()
                return
        fields = {**answer.headers, "Connection": "close"}
        head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        head += [f"{name}: {value}" for name, value in fields.items()]
        self.transport.write("\r\n".join([*head, "", ""]).encode("latin-1") + answer.body)
        if linger:
            self.linger()
        else:
            self.transport.close()


class _Lingering:
    """The part of a transport that an answer needs; closes with patience where more may come.

    An answer that comes before the whole body was read must still be readable.
    """

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        if self._protocol.ended or self._protocol.cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()
