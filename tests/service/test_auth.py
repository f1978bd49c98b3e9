"""Tokens and their names, rate limits, and the concurrency limit."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest
from fakes import photo
from service_harness import UNKNOWN, Running, Start, assert_problem, until

from thumbstream.http.auth import (
    MAX_ADDRESS_BUCKETS,
    STORE_TIMEOUT_SECONDS,
    BearerAuth,
    RateLimit,
    _network,
)
from thumbstream.http.errors import RateLimitedError, UnauthorizedError

PNG = {"Content-Type": "image/png"}
REMAINING = re.compile(r'"default";r=(\d+);t=(\d+)')


async def post(
    running: Running, token: str | None = None, path: str = "/compress"
) -> httpx.Response:
    headers = PNG | ({"Authorization": f"Bearer {token}"} if token else {})
    return await running.http.post(path, content=photo(), headers=headers)


def remaining(answer: httpx.Response) -> int:
    match = REMAINING.fullmatch(answer.headers["ratelimit"])
    assert match is not None
    assert 1 <= int(match[2]) <= 3600
    return int(match[1])


# Tokens


def test_tokens_have_names() -> None:
    auth = BearerAuth(["web:s3cret", "bare", "a b:odd name", "x:y:z"])
    assert auth.names == ["web", "token-2", "token-3", "x"]
    for secret, name in (("s3cret", "web"), ("bare", "token-2"), ("y:z", "x")):
        assert auth.authenticate(f"Bearer {secret}") == name
    for wrong in ("web:s3cret", "web", "s3cre", "S3CRET", "", "x:y:z"):
        with pytest.raises(UnauthorizedError):
            auth.authenticate(f"Bearer {wrong}")
    assert BearerAuth([]).authenticate(None) is None


async def test_token_name_is_logged_and_counted_without_the_secret(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(tokens="web:hush-hush,batch:another-one", access_log=True)
    with caplog.at_level(logging.INFO):
        assert (await post(running, "hush-hush")).status_code == 201
        assert_problem(await post(running, "wrong"), 401, "unauthorized")
    [record] = [r for r in caplog.records if getattr(r, "status", 0) == 201]
    assert record.token == "web"
    metrics = (await running.http.get("/metrics")).text
    label = sha256(b"web").hexdigest()[:8]
    assert f'thumbstream_token_requests_total{{token="{label}"}} 1.0' in metrics
    assert '"web"' not in metrics
    assert "hush" not in metrics + caplog.text


# Rate limits


async def test_rate_limit_is_429(start: Start) -> None:
    running = await start(rate_limit="3/hour")
    left = [remaining(await post(running)) for _ in range(3)]
    assert left == [2, 1, 0]
    answer = await post(running)
    assert_problem(answer, 429, "rate_limited")
    assert answer.headers["ratelimit-policy"] == '"default";q=3;w=3600'
    assert remaining(answer) == 0
    assert 1 <= int(answer.headers["retry-after"]) <= 3600
    assert answer.headers["connection"] == "close"  # the picture was not read
    for path in ("/decode", "/budget"):
        assert_problem(await post(running, path=path), 429, "rate_limited")
    for method in ("GET", "HEAD"):
        decoded = await running.http.request(method, f"/decode/{UNKNOWN}")
        assert decoded.status_code == 429
    for path in ("/healthz", "/readyz", "/metrics", "/models"):
        assert (await running.http.get(path)).status_code == 200
    assert 'route="/compress",status="429"} 1.0' in (await running.http.get("/metrics")).text


async def test_each_token_has_its_own_limit(start: Start) -> None:
    running = await start(tokens="web:first-one,batch:second-one", rate_limit="2/hour")
    for token in ("first-one", "second-one"):
        assert [(await post(running, token)).status_code for _ in range(3)][-1] == 429
    # Guesses at tokens are counted, too, for the address that they come from.
    assert [(await post(running, f"guess-{n}")).status_code for n in range(3)] == [401, 401, 429]


async def test_forwarded_addresses_need_a_trusted_proxy(start: Start) -> None:
    proxied, direct = [
        await start(rate_limit="1/hour", forwarded_allow_ips=trusted)
        for trusted in ("127.0.0.1, 10.0.0.0/8", "")
    ]
    statuses: dict[str, list[int]] = {"proxied": [], "direct": []}
    for name, running in (("proxied", proxied), ("direct", direct)):
        for client in ("192.0.2.1", "192.0.2.2, 10.1.2.3", "2001:db8::1", "2001:db8::2"):
            headers = PNG | {"X-Forwarded-For": client}
            answer = await running.http.post("/compress", content=photo(), headers=headers)
            statuses[name].append(answer.status_code)
    assert statuses["proxied"] == [201, 200, 200, 429]  # the last two are one subscriber
    assert statuses["direct"] == [201, 429, 429, 429]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_network_of_one_subscriber(address: str, network: str) -> None:
    assert _network(address) == network


async def test_addresses_share_a_bounded_number_of_buckets() -> None:
    limit = RateLimit("1000000/hour", store="")
    clients = {limit._address_key(f"10.0.{n >> 8}.{n & 255}") for n in range(20_000)}
    assert 3000 < len(clients) <= MAX_ADDRESS_BUCKETS


async def test_replicas_share_a_rate_limit_in_redis(redis_url: str) -> None:
    limits = [RateLimit("2/hour", store=redis_url) for _ in range(2)]
    fields = [await limit.check("shared", None) for limit in limits]
    assert [REMAINING.fullmatch(f["RateLimit"])[1] for f in fields] == ["1", "0"]  # type: ignore[index]
    for limit in limits:
        with pytest.raises(RateLimitedError):
            await limit.check("shared", None)
        assert await limit.check(None, "192.0.2.1")  # another client
        await limit.close()


async def test_requests_pass_uncounted_while_the_store_is_down(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(rate_limit="1/hour", rate_limit_store="redis://user:hush@127.0.0.1:9/0")
    answers = [await post(running) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert "ratelimit" not in answers[0].headers
    assert "rate limit: requests pass uncounted" in caplog.text
    assert "hush" not in caplog.text


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a Redis that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def test_silent_store_delays_one_request_only(
    black_hole: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = RateLimit("1/hour", store=black_hole)
    started = time.monotonic()
    assert [await limit.check("web", None) for _ in range(50)] == [{}] * 50
    assert STORE_TIMEOUT_SECONDS <= time.monotonic() - started < 8 * STORE_TIMEOUT_SECONDS
    assert caplog.text.count("requests pass uncounted") == 1
    await limit.close()


async def test_store_is_tried_again_after_a_while(redis_url: str) -> None:
    limit = RateLimit("5/hour", store=redis_url)
    limit._retry_at = time.monotonic() + 60
    assert await limit.check("recovers", None) == {}
    limit._retry_at = time.monotonic()
    assert "RateLimit" in await limit.check("recovers", None)
    assert "RateLimit" in await limit.check("recovers", None)
    await limit.close()


async def test_cacheable_responses_have_no_rate_limit_fields(start: Start) -> None:
    running = await start(rate_limit="9/hour")
    key = (await running.upload())["id"]
    answer = await running.http.get(f"/decode/{key}")
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers
    assert "ratelimit" in (await running.http.post("/decode", content=b"\x96")).headers


async def test_without_rate_limit_there_are_no_fields(running: Running) -> None:
    assert "ratelimit" not in (await post(running)).headers
    assert running.app.services.rate_limit is None


# Concurrency limit


async def test_concurrency_limit_is_503(start: Start) -> None:
    running = await start(max_connections=12, store_timeout_seconds=20)
    key = (await running.upload())["id"]
    running.app.services.reader._cache._values.clear()
    running.store.delay = 0.5
    slow = [asyncio.ensure_future(running.http.get(f"/t/{key}/16")) for _ in range(3)]
    await until(lambda: running.app._app._requests == 3)
    for path in (f"/thumb/{key}", "/thumbs", "/models", "/nothing"):
        answer = await running.http.get(path)
        assert_problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await running.http.get(path)).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200}
    assert (await running.http.get(f"/thumb/{key}")).status_code == 200
    text = (await running.http.get("/metrics")).text
    assert 'thumbstream_requests_total{route="rejected",status="503"} 4.0' in text


# Uploads of other sites

CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://test"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://test.evil.example"},
    {"Origin": "http://test:8080"},
    {"Origin": "null"},
    {"Origin": "http://["},  # not a URL
]
SAME_SITE = [
    {},
    {"Origin": "http://test"},
    {"Origin": "https://test"},  # TLS ends at a proxy
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://elsewhere"},  # a proxy changed Host
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
async def test_rejects_uploads_of_other_sites_without_a_token(
    start: Start, headers: dict[str, str]
) -> None:
    running = await start()
    answer = await running.http.post("/compress", content=photo(), headers=headers)
    assert_problem(answer, 403, "cross_site")
    assert not running.store.streams


@pytest.mark.parametrize("headers", SAME_SITE)
async def test_accepts_uploads_of_its_own_pages(start: Start, headers: dict[str, str]) -> None:
    running = await start()
    answer = await running.http.post("/compress", content=photo(), headers=headers)
    assert answer.status_code == 201


async def test_accepts_uploads_of_other_sites_with_a_token(start: Start) -> None:
    running = await start(tokens="web:hush-hush")
    headers = {**CROSS_SITE[0], "Authorization": "Bearer hush-hush"}
    answer = await running.http.post("/compress", content=photo(), headers=headers)
    assert answer.status_code == 201
