"""A server process: sockets, signals and real HTTP parsing."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fakes import STREAM_LENGTH, photo
from launch import wait_until
from service_harness import Launch, Launched

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def server(launch: Launch) -> Launched:
    return launch(THUMBSTREAM_MAX_UPLOAD_BYTES="100000")


@pytest.fixture(scope="module")
def http(server: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def raw(server: Launched, request: bytes, *, seconds: float = 30) -> bytes:
    """Everything that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_upload_read_and_decode(http: httpx.Client) -> None:
    made = http.post("/compress", content=photo(), headers=PNG)
    assert made.status_code == 201
    assert "server" not in made.headers
    key = made.json()["id"]
    full = http.get(f"/thumb/{key}")
    assert len(full.content) == STREAM_LENGTH
    assert http.get(f"/t/{key}/32").content == full.content[:32]
    assert http.get(f"/decode/{key}").content.startswith(b"\x89PNG")


def test_head_and_304_over_sockets(http: httpx.Client) -> None:
    key = http.post("/compress", content=photo(), headers=PNG).json()["id"]
    for path in (f"/thumb/{key}", f"/t/{key}/16", f"/thumbs?ids={key}", f"/decode/{key}"):
        got, head = http.get(path), http.head(path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == str(len(got.content))
        again = http.get(path, headers={"If-None-Match": got.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for path in ("/models", "/healthz", "/readyz", "/metrics", "/"):
        assert http.head(path).status_code == 200
    assert http.head("/thumb/nothing").status_code == 404


def test_expect_continue_is_rejected_by_content_length(server: Launched) -> None:
    answer = raw(
        server,
        b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer


def test_endless_chunked_body_is_cut_off(server: Launched) -> None:
    chunk = b"2710\r\n" + bytes(10_000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(chunk)
                sent += 10_000
        except OSError:
            pass
        # The kernel's buffers hold what the service never read.
        assert sent < 20_000_000


def test_chunked_body_within_the_limit_is_accepted(http: httpx.Client) -> None:
    picture = photo()
    pieces = (picture[i : i + 100] for i in range(0, len(picture), 100))
    assert http.post("/compress", content=pieces, headers=PNG).status_code in (200, 201)


def test_http_1_0_without_keep_alive(server: Launched) -> None:
    answer = raw(server, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"status":"ok"}')


def test_client_disconnect_removes_job_from_queue(launch: Launch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = launch(
        THUMBSTREAM_ENCODE_WORKERS="1", THUMBSTREAM_ENCODE_QUEUE="1", FAKE_GATE=str(gate)
    )
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=server.url, timeout=60) as http:
        first = pool.submit(http.post, "/compress", content=photo(seed=1), headers=PNG)
        wait_for_metric(http, "thumbstream_jobs_running 1.0")
        picture = photo(seed=2)
        head = (
            "POST /compress HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(picture)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(head.encode() + picture)
            wait_for_metric(http, "thumbstream_jobs_waiting 1.0")
            # A reset: after a plain close the client might still read.
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for_metric(http, "thumbstream_jobs_waiting 0.0")
        assert not first.done()
        gate.touch()
        assert first.result().status_code == 201
        wait_for_metric(http, "thumbstream_jobs_running 0.0")
        text = http.get("/metrics").text
        assert 'thumbstream_requests_total{route="/compress",status="499"} 1.0' in text
        # The warm-up is not counted: one upload was encoded, the other never was.
        assert "thumbstream_encode_seconds_count 1.0" in text


def wait_for_metric(http: httpx.Client, line: str) -> None:
    wait_until(lambda: line in http.get("/metrics").text, f"{line} in /metrics")


def wait_until_draining(http: httpx.Client) -> None:
    wait_until(lambda: http.get("/readyz").status_code == 503, "/readyz is 503")


def test_sigterm_drains_and_finishes_requests_in_flight(launch: Launch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = launch(
        THUMBSTREAM_DRAIN_SECONDS="3", THUMBSTREAM_SHUTDOWN_SECONDS="60", FAKE_GATE=str(gate)
    )
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=server.url, timeout=60) as http:
        upload = pool.submit(http.post, "/compress", content=photo(), headers=PNG)
        wait_for_metric(http, "thumbstream_jobs_running 1.0")
        assert http.get("/readyz").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until_draining(http)
        document = http.get("/readyz").json()
        assert (document["code"], document["detail"]) == ("not_ready", "the service is stopping")
        # Clients that do not know yet are still served, on new connections too.
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        wait_until(lambda: refuses(server), "the port is closed")
        assert not upload.done()
        assert server.process.poll() is None
        gate.touch()
        assert upload.result().status_code == 201
    assert server.process.wait(30) == 0


def refuses(server: Launched) -> bool:
    try:
        httpx.get(f"{server.url}/healthz")
    except httpx.TransportError:
        return True
    return False


def test_sigint_skips_draining(launch: Launch) -> None:
    server = launch(THUMBSTREAM_DRAIN_SECONDS="600")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0


def test_second_sigterm_skips_draining(launch: Launch) -> None:
    server = launch(THUMBSTREAM_DRAIN_SECONDS="600")
    with httpx.Client(base_url=server.url, timeout=60) as http:
        server.process.send_signal(signal.SIGTERM)
        wait_until_draining(http)
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_startup_errors_are_logged(launch: Launch, server: Launched) -> None:
    with pytest.raises(AssertionError, match="cannot start: no model 'nope'"):
        launch(THUMBSTREAM_MODELS="nope")
    with pytest.raises(AssertionError, match="in use"):
        launch(THUMBSTREAM_PORT=str(server.port))
    with pytest.raises(
        AssertionError, match=r"cannot start: SQLite: /nowhere/x\.db: .*"
    ) as failure:
        launch(THUMBSTREAM_STORE="sqlite:////nowhere/x.db")
    assert "Traceback" not in str(failure.value)


def test_unknown_setting_stops_the_start(launch: Launch) -> None:
    with pytest.raises(AssertionError, match="THUMBSTREAM_STROE"):
        launch(THUMBSTREAM_STROE="sqlite:///x")
