"""Both clients while the service is overloaded, slow, cut off, killed or without its store."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from faults.fault_proxy import FaultProxy
from launch import Service, free_port, wait_until
from redis_servers import RedisServer

from thumbstream.client import RetryPolicy, ServiceError, UnreachableError
from thumbstream.client.retries import retry_after

Connect = Callable[..., Any]
NewPicture = Callable[[], bytes]
ONCE = RetryPolicy(attempts=1)


async def test_a_cut_connection_is_repeated(
    connect: Connect, service: Service, new_picture: NewPicture
) -> None:
    async with FaultProxy(service.port) as proxy:
        client = connect(f"http://127.0.0.1:{proxy.port}")
        key = (await client.compress(new_picture())).id
        proxy.cut_after = 40  # in the header fields of the response
        proxy.reset()
        upload = asyncio.create_task(client.compress(new_picture()))
        read = asyncio.create_task(client.thumb(key))
        await asyncio.to_thread(wait_until, lambda: proxy.accepted >= 4, "four connections")
        proxy.heal()
        assert (await upload).length > 32
        assert len(await read) > 32


async def test_a_lost_connection_is_an_error_in_the_end(connect: Connect, service: Service) -> None:
    async with FaultProxy(service.port) as proxy:
        proxy.cut_after = 10
        client = connect(
            f"http://127.0.0.1:{proxy.port}", retries=RetryPolicy(attempts=3, first_pause=0.01)
        )
        with pytest.raises(UnreachableError, match=str(proxy.port)):
            await client.thumb("A" * 22)
        assert proxy.accepted == 3


async def test_a_slow_answer_is_an_error_and_not_repeated(
    connect: Connect, service: Service, new_picture: NewPicture
) -> None:
    async with FaultProxy(service.port) as proxy:
        client = connect(f"http://127.0.0.1:{proxy.port}", timeout=0.3)
        proxy.black_hole = True
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"timed out|ReadTimeout"):
            await client.compress(new_picture())
        assert time.monotonic() - began < 2
        assert proxy.accepted == 1


async def test_a_service_that_starts_late(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service()
    client = connect(service.url, retries=RetryPolicy(attempts=30, first_pause=0.2, max_pause=0.5))
    key = (await client.compress(new_picture())).id
    service.kill()
    read = asyncio.create_task(client.thumb(key))
    await asyncio.sleep(0.5)
    assert not read.done()
    await asyncio.to_thread(service.start)
    assert len(await read) > 32


async def test_unreachable_without_retries(connect: Connect) -> None:
    with pytest.raises(UnreachableError):
        await connect(f"http://127.0.0.1:{free_port()}", retries=ONCE).thumb("A" * 22)


async def test_a_store_that_comes_back(
    connect: Connect,
    start_service: Callable[..., Service],
    start_redis: Callable[..., RedisServer],
    new_picture: NewPicture,
) -> None:
    redis = start_redis()
    service = start_service(THUMBSTREAM_STORE=redis.url, THUMBSTREAM_STORE_TIMEOUT_SECONDS="0.5")
    redis.stop()
    with pytest.raises(ServiceError) as caught:
        await connect(service.url, retries=ONCE).compress(new_picture())
    assert (caught.value.code, caught.value.status) == ("store_unavailable", 503)
    assert caught.value.retry_after == 1
    upload = asyncio.create_task(connect(service.url).compress(new_picture()))
    await asyncio.sleep(1)
    await asyncio.to_thread(redis.start)
    assert (await upload).new


async def test_a_rate_limit_is_waited_for(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service(THUMBSTREAM_RATE_LIMIT="3/second")
    client = connect(service.url)
    began = time.monotonic()
    results = await asyncio.gather(*(client.compress(new_picture()) for _ in range(7)))
    assert all(result.new for result in results)
    assert time.monotonic() - began > 1


async def test_a_long_retry_after_is_an_error_at_once(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service(THUMBSTREAM_RATE_LIMIT="1/day")
    client = connect(service.url)
    await client.compress(new_picture())
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        await client.compress(new_picture())
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after > RetryPolicy().max_pause  # until midnight
    assert time.monotonic() - began < 2


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is sent in parts, with a pause before each."""

    def __init__(self, *parts: bytes, pause: float = 0.0) -> None:
        self._parts = parts
        self._pause = pause

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            time.sleep(self._pause)
            yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(self._pause)
            yield part


async def test_a_response_that_trickles_is_an_error_and_not_repeated(connect: Connect) -> None:
    requests = []

    def trickle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, stream=Parts(*[b"x"] * 100, pause=0.1))

    transport = httpx.MockTransport(trickle)
    client = connect("http://thumbs.example", transport=transport, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"did not end within 0\.5 seconds"):
        await client.thumb("A" * 22)
    assert time.monotonic() - began < 3
    assert len(requests) == 1


async def test_a_response_without_end_is_an_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbstream.client.senders.MAX_RESPONSE_BYTES", 1000)

    def answer(request: httpx.Request) -> httpx.Response:
        body = gzip.compress(bytes(1001 if "long" in request.url.path else 1000))
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Parts(body))

    client = connect("http://thumbs.example", transport=httpx.MockTransport(answer))
    assert await client.thumb("short") == bytes(1000)
    with pytest.raises(ServiceError, match="expected at most 1000 bytes") as caught:
        await client.thumb("long")
    assert caught.value.code == "unexpected_response"


async def test_a_redirect_names_its_target(connect: Connect) -> None:
    def redirect(_: httpx.Request) -> httpx.Response:
        return httpx.Response(301, headers={"Location": "https://thumbs.example/thumb/A"})

    client = connect("http://thumbs.example", transport=httpx.MockTransport(redirect))
    with pytest.raises(ServiceError, match=r"got 301 to https://thumbs\.example/thumb/A"):
        await client.thumb("A")


async def test_a_damaged_response_is_an_error(connect: Connect) -> None:
    def damaged(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Parts(b"no gzip"))

    client = connect("http://thumbs.example", transport=httpx.MockTransport(damaged))
    with pytest.raises(UnreachableError, match=r"thumbs\.example"):
        await client.thumb("A" * 22)


@pytest.mark.parametrize("status", [400, 404, 422, 500, 502, 507])
async def test_other_errors_are_not_repeated(connect: Connect, status: int) -> None:
    requests = []

    def fail(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, json={"code": "some_code", "detail": "why"})

    client = connect("http://thumbs.example", transport=httpx.MockTransport(fail))
    with pytest.raises(ServiceError, match="some_code"):
        await client.thumb("A" * 22)
    assert len(requests) == 1


def test_pauses_grow_and_follow_the_service() -> None:
    policy = RetryPolicy(attempts=4, first_pause=1.0, max_pause=3.0)
    busy = httpx.Response(503)
    for attempt, longest in ((1, 1.0), (2, 2.0), (3, 3.0)):
        pauses = [policy.pause(attempt, busy) for _ in range(50)]
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 1
    assert policy.pause(4, busy) is None
    requested = policy.pause(1, httpx.Response(429, headers={"Retry-After": "2"}))
    assert requested is not None
    assert 2 < requested <= 3
    assert policy.pause(1, httpx.Response(429, headers={"Retry-After": "4"})) is None


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    seconds = retry_after(httpx.Response(503, headers={"Retry-After": date}))
    assert seconds is not None
    assert 18 <= seconds <= 20
    assert retry_after(httpx.Response(503, headers={"Retry-After": "soon"})) is None
    assert retry_after(httpx.Response(503)) is None
