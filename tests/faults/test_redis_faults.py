"""One Redis that dies, hangs, is slow, full or read-only under load."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
from fault_proxy import FaultProxy
from fault_service import Users, service, until

from thumbstream.errors import StoreUnavailableError
from thumbstream.storage.redis import EvictingStoreError, RedisStore, Timeouts

StartRedis = Callable[..., Any]

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


async def both_refused(users: Users) -> None:
    """Until a read and a write have been answered with a problem."""
    reads, uploads = users.refused_reads, users.refused_uploads
    await until(lambda: users.refused_reads > reads and users.refused_uploads > uploads)


async def both_served(users: Users) -> None:
    """Until some reads and writes have succeeded."""
    reads, uploads = users.served_reads, len(users.acknowledged)
    await until(lambda: users.served_reads > reads + 5 and len(users.acknowledged) > uploads + 5)


def fill(plain: redis.Redis) -> None:
    """Leave no space, not even for a small stream."""
    for size in (50_000, 1_000, 10):
        with suppress(redis.exceptions.OutOfMemoryError):
            for number in itertools.count():
                plain.set(f"ballast-{size}-{number}", bytes(size))


async def test_restart_under_load_loses_no_acknowledged_stream(
    start_redis: StartRedis, fault_rounds: int
) -> None:
    server = start_redis(options=DURABLE)
    async with service(server.url) as users:
        async with users.load():
            for _ in range(fault_rounds):
                await both_served(users)
                server.stop()
                await both_refused(users)
                assert await users.healthy()
                assert not await users.ready()
                await asyncio.to_thread(server.start)
                back = time.monotonic()
                await both_served(users)
                print(f"reads and writes {time.monotonic() - back:.2f} s after Redis was back")
                assert await users.ready()
        lost = await users.lost()
        print(f"{len(lost)} of {len(users.acknowledged)} acknowledged streams lost")
        assert lost == []
    server.stop()


async def test_late_redis_is_used_once_it_starts(
    start_redis: StartRedis,
) -> None:
    server = start_redis(options=DURABLE)
    server.stop()
    async with service(server.url) as users:
        assert await users.healthy()
        assert not await users.ready()
        assert not await users.upload()
        await asyncio.to_thread(server.start)
        await until(users.ready)
        assert await users.upload()
    server.stop()


EVICTS = ("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru")


async def test_evicting_redis_prevents_startup(start_redis: StartRedis) -> None:
    server = start_redis(options=EVICTS)
    with pytest.raises(EvictingStoreError, match="allkeys-lru"):
        async with service(server.url):
            pass
    server.stop()


async def test_late_evicting_redis_is_not_ready(
    start_redis: StartRedis,
) -> None:
    server = start_redis(options=EVICTS)
    server.stop()
    async with service(server.url) as users:
        await asyncio.to_thread(server.start)
        assert not await users.ready()
        assert not await users.upload()
        with redis.Redis(port=server.port) as plain:
            plain.config_set("maxmemory-policy", "noeviction")
        assert await users.ready()
        assert await users.upload()
    server.stop()


async def test_primary_without_replicas_rejects_uploads(start_redis: StartRedis) -> None:
    server = start_redis(options=("--min-replicas-to-write", "1"))
    async with service(server.url) as users:
        assert not await users.upload()
        assert await users.ready()
    server.stop()


async def test_reset_connections_are_replaced(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with FaultProxy(port) as proxy, service(f"redis://127.0.0.1:{proxy.port}") as users:
        for _ in range(20):
            assert await users.upload()
            proxy.reset()
            assert await users.read(users.acknowledged[-1])
        assert await users.lost() == []


async def test_half_open_connections_cost_one_timeout(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with FaultProxy(port) as proxy, service(f"redis://127.0.0.1:{proxy.port}") as users:
        assert await users.upload()
        proxy.half_open()
        assert await users.read(users.acknowledged[0])
        assert await users.upload()


async def test_black_hole_times_out_and_recovers(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with (
        FaultProxy(port) as proxy,
        service(f"redis://127.0.0.1:{proxy.port}", store_timeout_seconds=0.5) as users,
    ):
        async with users.load():
            await both_served(users)
            proxy.black_hole = True
            await both_refused(users)
            assert await users.healthy()
            assert not await users.ready()
            proxy.heal()
            await both_served(users)
        assert await users.lost() == []


async def test_two_seconds_of_latency_are_tolerated(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with FaultProxy(port) as proxy, service(f"redis://127.0.0.1:{proxy.port}") as users:
        for _ in range(20):
            assert await users.upload()
        proxy.delay = 1.0  # there and back
        connections = proxy.accepted
        readers = [
            asyncio.create_task(users.read(users.acknowledged[number % 20]))
            for number in range(1000)
        ]
        while not all(reader.done() for reader in readers):
            before = time.monotonic()
            assert await users.healthy()
            assert time.monotonic() - before < 1, "the event loop is held up"
            await asyncio.sleep(0.05)
        assert all(reader.result() for reader in readers)
        assert proxy.accepted - connections <= 1  # twenty keys, one read
        assert await users.upload()


async def test_cut_replies_are_not_served(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with FaultProxy(port) as proxy, service(f"redis://127.0.0.1:{proxy.port}") as users:
        for _ in range(10):
            assert await users.upload()
        proxy.cut_after = 100  # less than a stream
        assert not await users.read(users.acknowledged[0])
        proxy.heal()
        assert await users.lost() == []


async def test_late_reply_is_not_delivered_to_next_request(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2])
    async with FaultProxy(port) as proxy:
        store = RedisStore(
            f"redis://127.0.0.1:{proxy.port}", timeouts=Timeouts(3, 3, 0.5, retries=0)
        )
        await store.open()
        values = {f"late-{number}": b"%d" % number for number in range(6)}
        for key, value in values.items():
            await store.put(key, value)
        for number, key in enumerate(values):
            proxy.delay = 0.3  # the answer comes after 0.6 s
            with pytest.raises(StoreUnavailableError):
                await store.get(key)
            proxy.delay = 0.0
            other = f"late-{(number * 5 + 1) % 6}"
            assert await store.get(other) == values[other]
        await store.close()


async def test_read_only_replica_serves_reads_and_rejects_uploads(start_redis: StartRedis) -> None:
    server = start_redis()
    async with service(server.url) as users:
        assert await users.upload()
        with redis.Redis(port=server.port) as plain:
            plain.replicaof("127.0.0.1", 1)  # an unreachable primary
            assert not await users.upload()
            assert await users.read(users.acknowledged[0])
            assert await users.healthy()
            plain.replicaof("NO", "ONE")
        assert await users.upload()
    server.stop()


async def test_demoted_primary_is_left_for_the_new_one(
    start_redis: StartRedis,
) -> None:
    old, new = start_redis(), start_redis()
    async with FaultProxy(old.port) as proxy, service(f"redis://127.0.0.1:{proxy.port}") as users:
        for _ in range(5):
            assert await users.upload()
        with redis.Redis(port=old.port) as was, redis.Redis(port=new.port) as is_now:
            keys = was.dbsize()  # as many for each stream
            is_now.replicaof("127.0.0.1", old.port)
            await until(lambda: is_now.dbsize() == keys)
            is_now.replicaof("NO", "ONE")
            was.replicaof("127.0.0.1", new.port)
            proxy.server_port = new.port  # the old connections live on
            assert await users.upload()
            assert is_now.dbsize() == keys // 5 * 6
        assert await users.lost() == []
    old.stop()
    new.stop()


async def test_full_redis_is_507_until_there_is_space(start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory", "3mb"))
    async with service(server.url) as users:
        assert await users.upload()
        with redis.Redis(port=server.port) as plain:
            # Redis frees buffers of connections after a while, which makes space for a few.
            for _ in range(10):
                fill(plain)
                if not await users.upload():
                    break
            assert users.full == 1
            assert await users.read(users.acknowledged[0])
            assert await users.ready()
            plain.delete(*plain.keys("ballast*"))
        assert await users.upload()
        assert await users.lost() == []
    server.stop()
