"""A Redis in front of a durable store may do what it likes: it costs speed, never an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import redis
from fault_proxy import FaultProxy
from fault_service import Users, service, until
from redis_servers import RedisServer

from thumbstream.ids import identify
from thumbstream.storage import open_store
from thumbstream.storage.redis import CACHE_PATIENCE
from thumbstream.storage.tiered import TieredStore

StartRedis = Callable[..., RedisServer]

AS_A_CACHE = ("--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru")


@pytest.fixture(scope="module")
def cache(start_redis: StartRedis) -> RedisServer:
    return start_redis(options=AS_A_CACHE)


@asynccontextmanager
async def behind(cache_url: str, url: str) -> AsyncIterator[tuple[Users, TieredStore]]:
    store = open_store(url, cache=cache_url)
    assert isinstance(store, TieredStore)
    async with service(url, built=store) as users:
        yield users, store


def cached(path: Path, cache_url: str) -> AbstractAsyncContextManager[tuple[Users, TieredStore]]:
    return behind(cache_url, f"sqlite:///{path}/thumbs.db")


async def nobody_noticed(users: Users) -> None:
    """No read or upload was refused, and everything acknowledged is there."""
    assert (users.refused_reads, users.refused_uploads) == (0, 0)
    assert await users.ready()
    assert await users.lost() == []


async def more_of_both(users: Users, count: int = 20) -> None:
    reads, uploads = users.served_reads, len(users.acknowledged)
    await until(
        lambda: users.served_reads >= reads + count and len(users.acknowledged) > uploads + 2
    )


async def test_what_was_read_or_written_is_found_in_the_cache(
    tmp_path: Path, cache: RedisServer
) -> None:
    async with cached(tmp_path, cache.url) as (users, store):
        assert await users.upload()
        [key] = users.acknowledged
        with redis.Redis(port=cache.port) as plain:
            await until(lambda: plain.exists(f"thumb:{key}"))
            assert await users.read(key)
            assert (store.hits, store.misses) == (1, 0)
            plain.flushall()
            assert await users.read(key)
            assert (store.hits, store.misses) == (1, 1)
            await until(lambda: plain.exists(f"thumb:{key}"))
        assert await users.read(key)
        assert (store.hits, store.misses) == (2, 1)
        metrics = (await users.http.get("/metrics")).text
        for line in ("hits_total 2.0", "misses_total 1.0", "usable 1.0"):
            assert f"\nthumbstream_shared_cache_{line}\n" in metrics


async def test_flushed_under_load(tmp_path: Path, cache: RedisServer) -> None:
    async with cached(tmp_path, cache.url) as (users, store):
        async with users.load(uploaders=2, readers=2):
            with redis.Redis(port=cache.port) as plain:
                for _ in range(10):
                    await more_of_both(users)
                    plain.flushall()
        assert store.hits > 0
        await nobody_noticed(users)


async def test_evicting_under_load(tmp_path: Path, start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"))
    async with cached(tmp_path, server.url) as (users, _):
        with redis.Redis(port=server.port) as plain:
            async with users.load(uploaders=2, readers=2):
                for number in range(100):
                    plain.set(f"somebody-elses-{number}", bytes(50_000))
                    await asyncio.sleep(0.005)
                await more_of_both(users)
            assert plain.info("stats")["evicted_keys"] > 0
        await nobody_noticed(users)
    server.stop()


async def test_a_cache_that_is_full_and_keeps_everything_is_no_help_and_no_harm(
    tmp_path: Path, start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(options=("--maxmemory", "1b", "--maxmemory-policy", "noeviction"))
    async with cached(tmp_path, server.url) as (users, store):
        async with users.load(uploaders=2, readers=2):
            await more_of_both(users)
        await nobody_noticed(users)
        assert store.hits == 0
    assert caplog.text.count("values cannot be cached") == 1
    server.stop()


async def test_killed_and_restarted_under_load(tmp_path: Path, start_redis: StartRedis) -> None:
    server = start_redis(options=AS_A_CACHE)
    async with cached(tmp_path, server.url) as (users, store):
        async with users.load(uploaders=2, readers=2):
            await more_of_both(users)
            server.stop()
            await until(lambda: not store.cache_usable)
            await more_of_both(users)
            await asyncio.to_thread(server.start)
            await until(lambda: store.cache_usable)
            hits = store.hits
            await until(lambda: store.hits > hits)
        await nobody_noticed(users)
    server.stop()


async def test_a_black_hole_costs_its_patience_once_not_for_every_read(
    tmp_path: Path, cache: RedisServer
) -> None:
    async with FaultProxy(cache.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with cached(tmp_path, url) as (users, store):
            for _ in range(10):
                assert await users.upload()
            before = time.monotonic()
            for number in range(100):
                assert await users.read(users.acknowledged[number % 10])
            print(f"100 reads from the cache: {1000 * (time.monotonic() - before):.0f} ms")
            proxy.black_hole = True
            before = time.monotonic()
            assert await users.read(users.acknowledged[0])
            assert time.monotonic() - before >= CACHE_PATIENCE.answer
            assert not store.cache_usable
            before = time.monotonic()
            for number in range(100):
                assert await users.read(users.acknowledged[number % 10])
            print(f"100 reads beside a black hole: {1000 * (time.monotonic() - before):.0f} ms")
            # Were each of them to wait for the cache, it would be twenty seconds.
            assert time.monotonic() - before < 100 * CACHE_PATIENCE.answer / 2
            async with users.load(uploaders=2, readers=2):
                await more_of_both(users)
            proxy.heal()
            await until(lambda: store.cache_usable)
            hits = store.hits

            async def hit() -> bool:
                assert await users.read(users.acknowledged[0])
                return store.hits > hits

            await until(hit)
            await nobody_noticed(users)


async def test_a_cache_that_was_never_there(tmp_path: Path) -> None:
    async with cached(tmp_path, "redis://127.0.0.1:1") as (users, store):
        async with users.load(uploaders=2, readers=2):
            await more_of_both(users)
        assert not store.cache_usable
        await nobody_noticed(users)


async def test_without_its_store_the_cache_still_serves_what_it_has(
    tmp_path: Path, start_redis: StartRedis, cache: RedisServer
) -> None:
    durable = start_redis()
    async with behind(cache.url, durable.url) as (users, store):
        for _ in range(10):
            assert await users.upload()
        uncached = identify(b"only in the store")
        with redis.Redis(port=durable.port) as plain:
            plain.set(f"thumb:{uncached}", b"only in the store")
        with redis.Redis(port=cache.port) as plain:
            await until(lambda: plain.exists(*(f"thumb:{key}" for key in users.acknowledged)) == 10)
        durable.stop()
        await until(lambda: store.cache_usable)
        answers = await asyncio.gather(*map(users.read, [*users.acknowledged, uncached]))
        assert answers == [True] * 10 + [False]
        assert not await users.upload()
        assert not await users.ready()
