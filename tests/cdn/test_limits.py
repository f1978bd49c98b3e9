"""What one address may read through the deployed nginx, and what it hears over it."""

from __future__ import annotations

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
from cdn_servers import CountedService, Upload

EACH = 900
"""Requests on one connection: nginx closes it after a thousand."""
BURST = 2000
"""As deploy/nginx.conf has it."""


def test_flood_of_reads_is_limited_and_health_is_served(
    cdn: httpx.Client, origin: CountedService, upload: Upload
) -> None:
    key = upload(origin.url)
    assert cdn.get(f"/t/{key}/16").status_code == 200
    ask = f"GET /t/{key}/16 HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    def flood(_: int) -> Counter[bytes]:
        with socket.create_connection((cdn.base_url.host, cdn.base_url.port or 80), 30) as link:
            link.sendall(ask * EACH + ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            received = b""
            while part := link.recv(1 << 20):
                received += part
        return Counter(piece[:3] for piece in received.split(b"HTTP/1.1 ")[1:])

    with ThreadPoolExecutor(12) as pool:
        answers = sum(pool.map(flood, range(12)), Counter[bytes]())
    assert set(answers) == {b"200", b"429"}
    assert sum(answers.values()) == 12 * (EACH + 1)
    assert answers[b"200"] >= BURST
    assert cdn.get("/healthz").status_code == 200


def test_proxy_errors_have_the_form_of_the_service(cdn: httpx.Client) -> None:
    links = []
    try:
        for _ in range(101):
            link = socket.create_connection((cdn.base_url.host, cdn.base_url.port or 80), 30)
            links.append(link)
            # A body that does not come holds the connection.
            link.sendall(b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        deadline = time.monotonic() + 30
        while (answer := httpx.get(f"{cdn.base_url}/thumb/x", timeout=30)).status_code != 429:
            assert time.monotonic() < deadline
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["code"] == "rate_limited"
    finally:
        for link in links:
            link.close()
    assert cdn.get("/healthz").status_code == 200


def test_visitors_of_a_trusted_proxy_are_limited_by_their_own_address(cdn: httpx.Client) -> None:
    # The tests are on loopback, which the configuration trusts as it would a CDN.
    links = []
    try:
        for _ in range(101):
            link = socket.create_connection((cdn.base_url.host, cdn.base_url.port or 80), 30)
            links.append(link)
            link.sendall(
                b"POST /compress HTTP/1.1\r\nHost: x\r\n"
                b"X-Forwarded-For: 198.51.100.7, 192.0.2.1\r\nContent-Length: 9\r\n\r\n"
            )

        def read(address: str) -> int:
            return cdn.get("/thumb/x", headers={"X-Forwarded-For": address}).status_code

        deadline = time.monotonic() + 30
        while read("192.0.2.1") != 429:
            assert time.monotonic() < deadline
        assert read("203.0.113.5, 192.0.2.1") == 429  # what the visitor wrote does not count
        assert read("192.0.2.2") == 404
    finally:
        for link in links:
            link.close()


def test_only_public_paths_are_routed(cdn: httpx.Client) -> None:
    for path in (
        "/",
        "/gallery",
        "/models",
        "/healthz",
        "/web/landing.js",
        "/client/images.min.js",
    ):
        assert cdn.get(path, follow_redirects=True).status_code == 200
    for path in (
        "/metrics", "/readyz", "/docs", "/openapi.json", "/metrics/", "/%6detrics",
        "/web/../metrics", "/client/..%2fmetrics", "/unknown",
    ):  # fmt: skip
        answer = cdn.get(path)
        assert answer.status_code in (400, 404), path
        assert b"thumbstream_requests_total" not in answer.content
    answer = cdn.get("/metrics")
    assert answer.json()["code"] == "not_found"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_proxy_rejects_too_large_bodies_readably(cdn: httpx.Client) -> None:
    with socket.create_connection((cdn.base_url.host, cdn.base_url.port or 80), 30) as link:
        link.sendall(b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n")
        head, _, body = link.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Access-Control-Allow-Origin: *" in head
    assert b'"code": "body_too_large"' in body
