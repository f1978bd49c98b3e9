"""Limits of a connection, over sockets: each one exceeded, reported, harmless to the others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from fakes import STREAM_LENGTH, photo
from service_harness import Launch, Launched, open_connection, read_to_end
from uvicorn.server import ServerState

from thumbstream.http.connections import ConnectionLimits, limited_protocol
from thumbstream.http.errors import ErrorResponder
from thumbstream.http.responses import CORS
from thumbstream.telemetry.metrics import Metrics


class FakeTransport(asyncio.Transport):
    """Records that it was closed; sends nothing."""

    closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


CONNECTIONS = 24
LIMITS = {
    "url_bytes": 1000,
    "header_bytes": 4000,
    "header_fields": 20,
    "header_timeout": 1.0,
    "send_timeout": 1.0,
}
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /compress HTTP/1.1\r\nHost: x\r\n"


SETTINGS = {
    "THUMBSTREAM_MAX_CONNECTIONS": str(CONNECTIONS),
    "THUMBSTREAM_UPLOAD_TIMEOUT_SECONDS": "1",
    "THUMBSTREAM_MAX_CONCURRENT_UPLOADS": "8",
}


@pytest.fixture(scope="module")
def server(launch: Launch) -> Launched:
    return launch(FAKE_LIMITS=json.dumps(LIMITS), **SETTINGS)


@pytest.fixture(autouse=True)
def _green(server: Launched) -> Iterator[None]:
    """After every test the service is healthy and ready."""
    yield
    with httpx.Client(base_url=server.url, timeout=30) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 200


def answers(received: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """(status, header fields, body) of every response on a connection."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        length = int(fields.get("content-length", 0))
        found.append((int(first.split()[1]), fields, rest[:length]))
        received = rest[length:]
    return found


def assert_raw_problem(received: bytes, status: int, code: str) -> None:
    """Asserts that the only response is this error, and that it closes the connection."""
    [(got, fields, body)] = answers(received)
    assert got == status, received[:400]
    assert fields["content-type"] == "application/problem+json"
    assert fields["connection"] == "close"
    assert fields["cache-control"] == "no-store"
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]


def exchange(server: Launched, *parts: bytes) -> bytes:
    with open_connection(server) as connection:
        for part in parts:
            connection.sendall(part)
        return read_to_end(connection)


@contextmanager
def many(server: Launched, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_connection(server)) for _ in range(count)]


def metric(server: Launched, name: str) -> int:
    """The value of a metric in /metrics; 0 if it is not there."""
    text = httpx.get(f"{server.url}/metrics", timeout=30).text
    values = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return int(sum(float(line.rpartition(" ")[2]) for line in values))


def closed_connections(server: Launched, reason: str) -> int:
    """The count of connections closed for a reason."""
    return metric(server, f'thumbstream_connections_closed_total{{reason="{reason}"}}')


# Too large headers


@pytest.mark.parametrize("path", [b"/thumb/", b"/thumbs?ids=", b"/", b"/compress?size="])
def test_rejects_too_long_urls(server: Launched, path: bytes) -> None:
    fits = HEAD.replace(b"/healthz", b"/healthz?" + b"a" * 991)
    assert answers(exchange(server, fits + b"Connection: close\r\n\r\n"))[0][0] == 200
    assert_raw_problem(
        exchange(server, b"GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n" % (path, b"a" * 1000)),
        414,
        "url_too_long",
    )


def test_endless_url_is_rejected(server: Launched) -> None:
    assert_raw_problem(exchange(server, b"GET /thumb/", b"a" * 20_000), 414, "url_too_long")


def test_rejects_too_many_header_fields(server: Launched) -> None:
    many_fields = b"".join(b"x-%d: 1\r\n" % place for place in range(21))
    assert_raw_problem(exchange(server, HEAD, many_fields, b"\r\n"), 431, "headers_too_large")


def test_rejects_too_long_header_fields(server: Launched) -> None:
    for name, value in ((b"x", b"v" * 4000), (b"n" * 4000, b"1")):
        assert_raw_problem(
            exchange(server, HEAD, name + b": " + value, b"\r\n\r\n"), 431, "headers_too_large"
        )


def test_errors_are_counted_and_readable_by_pages(server: Launched) -> None:
    name = 'thumbstream_errors_total{code="url_too_long"}'
    before = metric(server, name)
    received = exchange(server, b"GET /thumbs?ids=%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 1000))
    [(_, fields, _)] = answers(received)
    assert fields["access-control-allow-origin"] == "*"
    assert len(fields["x-request-id"]) == 32
    assert metric(server, name) == before + 1


def test_errors_below_a_root_path_are_readable_by_pages(launch: Launch) -> None:
    server = launch(FAKE_LIMITS=json.dumps(LIMITS), THUMBSTREAM_ROOT_PATH="/a/ts")
    for path, readable in ((b"/a/ts/thumb/", True), (b"/thumb/", True), (b"/a/ts/compress", False)):
        received = exchange(server, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % (path + b"a" * 1000))
        [(status, fields, _)] = answers(received)
        assert status == 414
        assert ("access-control-allow-origin" in fields) is readable


def test_too_large_header_is_rejected_before_it_is_complete(server: Launched) -> None:
    with open_connection(server) as connection:
        connection.sendall(HEAD + b"x: ")
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(b"v" * 10_000)
                sent += 10_000
        except OSError:
            pass
        assert sent < 20_000_000  # what the kernel's buffers hold, and what is thrown away
    assert closed_connections(server, "headers_too_large") > 0


def test_header_in_many_small_pieces_is_accepted(server: Launched) -> None:
    pieces = [bytes([byte]) for byte in HEAD + b"Connection: close\r\n\r\n"]
    assert answers(exchange(server, *pieces))[0][0] == 200


# Slow clients


def test_missing_header_times_out(server: Launched) -> None:
    assert_raw_problem(exchange(server, HEAD), 408, "header_timeout")
    assert exchange(server) == b""  # no request: no response
    assert exchange(server, b"\r\n", b"\r\n") == b""


def test_header_timeout_applies_to_later_requests(server: Launched) -> None:
    with open_connection(server) as connection:
        connection.sendall(HEAD + b"\r\n")
        received = b""
        while b'{"status":"ok"}' not in received:
            received += connection.recv(65536)
        time.sleep(0.3)
        connection.sendall(HEAD)
        assert_raw_problem(read_to_end(connection), 408, "header_timeout")


def test_slow_headers_time_out(server: Launched) -> None:
    with open_connection(server) as connection:
        connection.sendall(HEAD)
        begun = time.monotonic()
        connection.settimeout(0.1)
        received = b""
        while not received and time.monotonic() < begun + 20:
            connection.sendall(b"x: 1\r\n")
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
        assert_raw_problem(received, 408, "header_timeout")


@pytest.fixture(scope="module")
def slow_timeouts(launch: Launch) -> Launched:
    """A server without a timeout that a flood could reach on a busy machine."""
    return launch(FAKE_LIMITS=json.dumps(LIMITS | {"header_timeout": 60.0}), **SETTINGS)


@pytest.mark.parametrize("start", [HEAD, b"\r\n", b""])
@pytest.mark.parametrize("stopped", [False, True])
def test_flood_of_slow_headers_does_not_lock_out_others(
    slow_timeouts: Launched, start: bytes, stopped: bool
) -> None:
    server = slow_timeouts
    before = closed_connections(server, "busy")
    if stopped:  # so that it accepts all connections in one turn of its event loop
        server.process.send_signal(signal.SIGSTOP)
    with many(server, 4 * CONNECTIONS) as connections:
        for connection in connections:
            with suppress(OSError):  # closed already for a later one
                connection.sendall(start)
        server.process.send_signal(signal.SIGCONT)
        for path in ("/healthz", "/readyz", "/metrics", "/models"):
            assert httpx.get(server.url + path, timeout=30).status_code == 200
        for connection in connections[: 3 * CONNECTIONS]:
            assert_raw_problem(read_to_end(connection), 503, "busy")
    assert closed_connections(server, "busy") >= before + 3 * CONNECTIONS
    assert not any("Traceback" in line for line in server.lines), "".join(server.lines)


def test_connections_that_drain_do_not_lock_out_others(server: Launched) -> None:
    with many(server, CONNECTIONS) as connections:
        for connection in connections:
            connection.sendall(b"GET /thumb/" + b"a" * 2000)  # an error, then DRAIN_SECONDS
            assert connection.recv(12) == b"HTTP/1.1 414"
        with many(server, CONNECTIONS) as others:
            for other in others:
                other.sendall(HEAD + b"Connection: close\r\n\r\n")
            assert [answers(read_to_end(other))[0][0] for other in others] == [200] * CONNECTIONS
    assert not any("Traceback" in line for line in server.lines), "".join(server.lines)


def test_connections_above_the_limit_are_closed_while_all_are_active() -> None:
    async def never_answers(scope: object, receive: object, send: object) -> None:
        await asyncio.Event().wait()

    async def closed_ones() -> list[bool]:
        metrics = Metrics()
        protocol = limited_protocol(
            ConnectionLimits(connections=4), metrics, ErrorResponder(metrics, CORS("*"))
        )
        config, state = (
            uvicorn.Config(never_answers, interface="asgi3", lifespan="off"),
            ServerState(),
        )
        transports = []
        for number in range(10):  # in one turn of the event loop
            connection = protocol(config, state, {})
            transports.append(FakeTransport())
            connection.connection_made(transports[-1])
            if number < 4:
                connection.data_received(HEAD + b"\r\n")
        for task in state.tasks:
            task.cancel()
        return [transport.closed for transport in transports]

    assert asyncio.run(closed_ones()) == [False] * 4 + [True] * 6


def test_flood_of_slow_bodies_does_not_lock_out_others(server: Launched) -> None:
    head = POST + b"Content-Type: image/png\r\nContent-Length: 90000\r\n\r\n"
    with many(server, CONNECTIONS - 2) as connections:
        for connection in connections:
            connection.sendall(head + b"x")
        assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
        codes = [json.loads(answers(read_to_end(c))[0][2])["code"] for c in connections]
    assert codes.count("upload_timeout") == 4  # half of the slots: it is one client
    assert set(codes) <= {"upload_timeout", "overloaded", "busy"}


def test_slow_reader_is_disconnected(server: Launched) -> None:
    before = closed_connections(server, "slow_reader")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    connection = socket.socket()
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        deadline = time.monotonic() + 60
        while closed_connections(server, "slow_reader") == before:
            assert time.monotonic() < deadline
            # The kernel buffers megabytes of responses. Requests are sent only when the earlier
            # ones were answered, or the connection would be closed for pipelining too many.
            if metric(server, "thumbstream_requests_in_flight") == 1:  # that of /metrics
                with suppress(OSError):
                    connection.send(request * 4)
            time.sleep(0.02)


# Pipelined and ambiguous requests


def test_pipelined_requests_are_answered_in_order(server: Launched) -> None:
    key = httpx.post(f"{server.url}/compress", content=photo(), timeout=30).json()["id"]
    paths = [f"/t/{key}/16", "/healthz", "/nothing", f"/t/{key}/32"]
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths]
    last = f"GET /thumb/{key} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = answers(exchange(server, "".join([*requests, last]).encode()))
    assert [status for status, _, _ in got] == [200, 200, 404, 200, 200]
    assert [len(got[place][2]) for place in (0, 3, 4)] == [16, 32, STREAM_LENGTH]


def test_cached_responses_are_written_as_others_are(server: Launched) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        key = http.post("/compress", content=photo(seed=5)).json()["id"]
    get = f"GET /thumb/{key}?bytes=40 HTTP/1.1\r\nHost: x\r\n".encode()
    last = b"Connection: close\r\n\r\n"
    first, *others = answers(exchange(server, get + b"\r\n", (get + b"\r\n") * 3 + get + last))
    assert len(first[2]) == 40
    assert len(others) == 4
    closing = others[-1][1].pop("connection")
    for status, fields, body in others:
        assert (status, body) == (first[0], first[2])
        assert list(fields.items())[1:] == list(first[1].items())[1:]  # the date may differ
    assert closing == "close"
    [(status, fields, body)] = answers(exchange(server, get.replace(b"GET", b"HEAD") + last))
    assert (status, fields["content-length"], body) == (200, "40", b"")


def test_too_many_pipelined_requests_are_answered_in_part(server: Launched) -> None:
    got = answers(exchange(server, (HEAD + b"\r\n") * 5000))
    assert 1 <= len(got) <= 20
    assert {status for status, _, _ in got} == {200}
    assert got[-1][1]["connection"] == "close"
    assert not any("ERROR" in line for line in server.lines), "".join(server.lines[-60:])


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /d HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST /decode HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /decode HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST /decode HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /decode HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /decode HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx: 1\r\n folded: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx: a\0b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_ambiguous_requests_are_rejected(server: Launched, request_: bytes) -> None:
    hidden = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    request_ = request_.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: x\r\n")
    got = exchange(server, request_ + hidden)
    assert_raw_problem(got, 400, "bad_request")


@pytest.mark.parametrize("chunk", [b"zz\r\nab\r\n", b"-5\r\nabcde\r\n", b"f" * 20 + b"\r\n"])
def test_rejects_malformed_chunks(server: Launched, chunk: bytes) -> None:
    head = POST + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert_raw_problem(exchange(server, head, chunk), 400, "bad_request")


def test_upgrades_are_ignored(server: Launched) -> None:
    for kind in (b"websocket", b"h2c"):
        fields = b"Connection: Upgrade\r\nUpgrade: " + kind + b"\r\n\r\n"
        [(status, headers, _)] = answers(exchange(server, HEAD + fields))
        assert status == 200
        assert headers["connection"] == "close"


def test_unread_body_closes_the_connection(server: Launched) -> None:
    head = b"GET /t/%s/16 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" % (b"a" * 22)
    [(status, _, _)] = answers(exchange(server, head, os.urandom(1000)))
    assert status == 404


def test_error_is_readable_while_the_body_arrives(server: Launched) -> None:
    body = bytes(3_000_000)
    head = POST + b"Content-Type: text/html\r\nContent-Length: 3000000\r\n\r\n"
    assert_raw_problem(exchange(server, head + body), 415, "unsupported_media_type")


# Trailers, Host and half-closed connections

CHUNKED = POST.replace(b"/compress", b"/decode") + b"Transfer-Encoding: chunked\r\n\r\n"


def resident_megabytes(server: Launched) -> int:
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE") >> 20


@pytest.mark.parametrize("trailers", [b"a:b\r\n" * 13107, b"a" * 65536, b"a: " + b"b" * 65533])
def test_endless_trailers_are_rejected(server: Launched, trailers: bytes) -> None:
    before = resident_megabytes(server)
    with open_connection(server) as connection:
        connection.sendall(CHUNKED + b"1\r\nx\r\n0\r\n")
        with suppress(OSError):  # the service closes after the first few
            for _ in range(400):
                connection.sendall(trailers)
                assert resident_megabytes(server) < before + 32
    with open_connection(server) as connection:
        connection.sendall(CHUNKED + b"1\r\nx\r\n0\r\n")
        time.sleep(0.1)  # or it could arrive in one piece with the trailers, which is no flood
        connection.sendall(trailers)
        assert_raw_problem(read_to_end(connection), 431, "headers_too_large")


def test_trailers_are_not_header_fields(launch: Launch) -> None:
    server = launch(THUMBSTREAM_TOKENS="web:the-secret", THUMBSTREAM_FORWARDED_ALLOW_IPS="*")
    picture = photo()
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(picture), picture)
    trailers = b"Authorization: Bearer the-secret\r\nX-Request-ID: mine\r\n\r\n"
    fields = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
    received = exchange(server, POST + fields + b"\r\n" + chunks + trailers)
    assert_raw_problem(received, 401, "unauthorized")
    assert b"mine" not in received
    fields += b"Authorization: Bearer the-secret\r\n\r\n"
    [(status, _, _)] = answers(exchange(server, POST + fields + chunks + trailers))
    assert status == 201


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Host: x\r\nHost: x\r\n",
        b"Host: x\r\nHost: y\r\n",
        b"Host: a, b\r\n",
        b"Host: a/b\r\n",
    ],
)
def test_rejects_missing_repeated_and_malformed_hosts(server: Launched, fields: bytes) -> None:
    for path in (b"/healthz", b"/t/q0Zr2vYx3m1Ck7Ht5sNwAQ/16"):
        received = exchange(server, b"GET " + path + b" HTTP/1.1\r\n" + fields + b"\r\n")
        assert_raw_problem(received, 400, "bad_request")


@pytest.mark.parametrize("host", [b"", b"shop.example:8000", b"[::1]:80", b"127.0.0.1"])
def test_accepts_hosts(server: Launched, host: bytes) -> None:
    fields = b"Host: " + host + b"\r\nConnection: close\r\n\r\n"
    [(status, _, _)] = answers(exchange(server, b"GET /healthz HTTP/1.1\r\n" + fields))
    assert status == 200


def test_half_closed_connections_are_answered(server: Launched) -> None:
    picture = photo()
    upload = b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n%s" % (len(picture), picture)
    stored = httpx.post(f"{server.url}/compress", content=picture).json()
    for number in range(10):
        for request, expected in (
            (POST + upload, 200),
            (f"GET {stored['url']} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 200),
            (f"GET /decode/{stored['id']}?scale={1 + number} HTTP/1.0\r\n\r\n".encode(), 200),
            (HEAD + b"\r\n" + HEAD + b"\r\n", 200),
        ):
            with open_connection(server) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                received = answers(read_to_end(connection))
            assert [status for status, _, _ in received] == [expected] * request.count(b" HTTP/1")


def test_half_closed_connections_with_incomplete_requests_close(server: Launched) -> None:
    for request in (HEAD, POST + b"Content-Length: 9\r\n\r\nx"):
        with open_connection(server) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert read_to_end(connection) == b""
