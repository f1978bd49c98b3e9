"""A server that forgets what it acknowledged is no store, unless one says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis_servers import RedisServer

from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.storage import open_store
from thumbstream.storage.eviction import EvictingStoreError, Policy, policies_of, refuse_eviction

StartRedis = Callable[..., RedisServer]

EVICTS = ("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru")


@pytest.mark.parametrize(
    ("name", "max_bytes", "evicts"),
    [
        ("noeviction", 1000, False),
        ("noeviction", 0, False),
        ("allkeys-lru", 0, False),
        ("allkeys-lru", 1000, True),
        ("allkeys-lfu", 1000, True),
        ("allkeys-random", 1, True),
        ("volatile-lru", 1000, False),
        ("volatile-ttl", 1000, False),
        ("something-new", 1000, True),
    ],
)
def test_which_policies_evict(name: str, max_bytes: int, evicts: bool) -> None:
    assert Policy(name, max_bytes).evicts is evicts


@pytest.mark.parametrize("cluster", [False, True])
async def test_a_server_that_evicts_is_refused_at_the_start(
    start_redis: StartRedis, cluster: bool
) -> None:
    server = start_redis(cluster=cluster, options=EVICTS)
    store = open_store(server.url)
    with pytest.raises(EvictingStoreError, match=r"allkeys-lru.*THUMBSTREAM_ALLOW_EVICTION"):
        await store.open()
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.get("k")

    knowing = open_store(server.url, allow_eviction=True)
    await knowing.open()
    assert await knowing.put("k", b"v") is True
    await knowing.close()
    server.stop()


async def test_without_a_limit_nothing_is_evicted(start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory-policy", "allkeys-lru"))
    store = open_store(server.url)
    await store.open()
    assert await store.put("k", b"v") is True
    await store.close()
    server.stop()


async def test_a_volatile_policy_refuses_as_noeviction_does(start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory", "4mb", "--maxmemory-policy", "volatile-lru"))
    store = open_store(server.url)
    await store.open()

    async def fill() -> None:
        for number in range(200):
            await store.put(f"{number}", bytes(50_000))

    with pytest.raises(StoreFullError):
        await fill()
    assert await store.get("0") == bytes(50_000)
    await store.close()
    server.stop()


async def test_a_server_that_comes_later_is_asked_before_anything_is_put(
    start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(options=EVICTS)
    server.stop()
    store = open_store(server.url)
    await store.open()
    assert "not there yet" in caplog.text
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    server.start()
    with pytest.raises(EvictingStoreError):
        await store.put("k", b"v")
    with pytest.raises(EvictingStoreError):
        await store.ping()
    assert await store.get("k") is None
    with redis.Redis(port=server.port) as plain:
        plain.config_set("maxmemory-policy", "noeviction")
    await store.ping()
    assert await store.put("k", b"v") is True
    await store.close()
    server.stop()


async def test_a_policy_that_may_not_be_read_is_told_to_the_log(
    start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(options=EVICTS)
    with redis.Redis(port=server.port) as plain:
        plain.execute_command("ACL SETUSER clerk on >secret ~* +get +set")
    store = open_store(server.url.replace("://", "://clerk:secret@"))
    await store.open()
    assert "eviction policy of the server cannot be read" in caplog.text
    assert "secret" not in caplog.text
    assert await store.put("k", b"v") is True
    await store.close()
    server.stop()


class Node:
    """A node of a Cluster that tells its policy, or fails to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def execute_command(self, *_: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


KEEPS = {"maxmemory": 1000, "maxmemory_policy": "noeviction"}


async def test_every_node_is_asked() -> None:
    evicting = {"maxmemory": 1000, "maxmemory_policy": "allkeys-lru"}
    policies = await policies_of({"a": Node(KEEPS), "b": Node(evicting)})
    with pytest.raises(EvictingStoreError, match=r"^b would drop"):
        refuse_eviction(policies)


async def test_a_node_that_is_down_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down = Node(redis.ConnectionError("refused"))
    refuse_eviction(await policies_of({"a": Node(KEEPS), "b": down, "c": Node({})}))
    assert "policy of b, c cannot be read" in caplog.text
    with pytest.raises(redis.ConnectionError):
        await policies_of({"b": down, "d": down})
