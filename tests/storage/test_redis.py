"""RedisStore: full, silent, dead and wrong servers; eviction policies."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.ids import identify
from thumbstream.storage import open_store
from thumbstream.storage.base import DEFAULT_TIMEOUT_S, Record, StreamInfo
from thumbstream.storage.redis import (
    EvictingStoreError,
    RedisStore,
    Timeouts,
    check_eviction,
    evicts,
)
from thumbstream.storage.redis_cluster import RedisClusterStore

StartRedis = Callable[..., Any]


async def test_keys_have_the_prefix(redis_url: str, new_key: Callable[[], str]) -> None:
    store = open_store(redis_url)
    await store.open()
    key = new_key()
    await store.put(key, b"stream")
    with redis.Redis.from_url(redis_url) as plain:
        assert plain.get(f"thumb:{key}") == b"stream"
        assert plain.ttl(f"thumb:{key}") == -1
    await store.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_full_server_raises_store_full(start_redis: StartRedis, cluster: bool) -> None:
    server = start_redis(
        cluster=cluster, options=("--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
    )
    store = open_store(server.url)
    await store.open()

    async def fill() -> None:
        for i in range(200):
            await store.put(f"{i}", bytes(100_000))

    with pytest.raises(StoreFullError):
        await fill()
    assert await store.get("0") == bytes(100_000)
    assert await store.get("199") is None
    with pytest.raises(StoreFullError):
        await store.put_many({f"many-{i}": bytes(100_000) for i in range(20)})
    await store.close()
    server.stop()


@pytest.mark.parametrize("cluster", [False, True])
async def test_dead_server_is_unavailable_until_it_returns(
    start_redis: StartRedis, cluster: bool
) -> None:
    server = start_redis(cluster=cluster)
    store = open_store(server.url)
    await store.open()
    assert await store.put("k", b"v") is True
    server.stop()
    for operation in (
        lambda: store.get("k"),
        lambda: store.get_many(["k"]),
        lambda: store.put("x", b""),
        lambda: store.put_many({"y": b"", "z": b""}),
        store.ping,
    ):
        before = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await operation()
        assert time.monotonic() - before < DEFAULT_TIMEOUT_S + 1
    server.start()
    await store.ping()
    assert await store.put("k", b"new life") is True
    assert await store.get_many(["k", "x"]) == [b"new life", None]
    await store.close()
    server.stop()


async def start_tls_in_front_of(port: int, context: ssl.SSLContext) -> asyncio.Server:
    """A TLS proxy: the test server itself is built without TLS."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer))

    return await asyncio.start_server(serve, "localhost", 0, ssl=context)


async def test_tls_verifies_certificates(
    redis_url: str, new_key: Callable[[], str], tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    front = await start_tls_in_front_of(int(redis_url.rpartition(":")[2]), context)
    url = f"rediss://localhost:{front.sockets[0].getsockname()[1]}"

    trusting = open_store(f"{url}?ssl_ca_certs={tmp_path}/ca.pem")
    await trusting.open()
    key = new_key()
    assert await trusting.put(key, b"over TLS") is True
    assert await trusting.get_many([key]) == [b"over TLS"]
    await trusting.close()

    strict = open_store(url)
    await strict.open()
    with pytest.raises(StoreUnavailableError, match="certificate"):
        await strict.ping()
    await strict.close()
    front.close()


async def test_unreachable_server_does_not_prevent_startup() -> None:
    store = open_store("redis://127.0.0.1:1")
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    await store.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_silent_server_times_out(scheme: str) -> None:
    silence = await asyncio.start_server(lambda _, __: asyncio.sleep(60), "127.0.0.1", 0)
    port = silence.sockets[0].getsockname()[1]
    kind = RedisStore if scheme == "redis" else RedisClusterStore
    store = kind(f"{scheme}://127.0.0.1:{port}", timeouts=Timeouts(0.3, 1, 1, 0))
    await store.open()
    before = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no response in time"):
        await store.get("k")
    assert time.monotonic() - before < 2
    await store.close()
    silence.close()


async def test_bug_in_the_client_is_unavailable_and_logged_with_its_traceback(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed:
        async def get(self, _: str) -> None:
            raise AttributeError("'NoneType' object has no attribute 'writelines'")

        async def aclose(self) -> None:
            pass

    store = RedisStore(redis_url)
    await store.open()
    await store._client.aclose()
    store._client = Closed()
    with pytest.raises(StoreUnavailableError, match="writelines"):
        await store.get("k")
    assert "Traceback" in caplog.text
    await store.close()


async def test_server_of_another_protocol_is_unavailable() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = open_store(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}")
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.get("k")
    await store.close()
    web.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_value_of_another_type_is_missing_and_repaired(
    request: pytest.FixtureRequest, cluster: bool
) -> None:
    url: str = request.getfixturevalue("redis_cluster_url" if cluster else "redis_url")
    stream = secrets.token_bytes(40)
    key = identify(stream)
    with redis.Redis.from_url(url.replace("+cluster", "")) as plain:
        plain.rpush(f"thumb:{key}", b"a list")
    store = open_store(url)
    await store.open()
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await store.get(key)
    assert await store.get_many([key]) == [None]
    assert await store.put(key, stream) is True
    assert await store.get(key) == stream
    await store.close()


async def test_read_only_server_is_unavailable(start_redis: StartRedis) -> None:
    # A replica of an unreachable primary rejects writes.
    server = start_redis(options=("--replicaof", "127.0.0.1 1"))
    store = open_store(server.url)
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.put("k", b"v")
    await store.close()
    server.stop()


async def test_wrong_password_is_unavailable_and_not_in_the_message(
    start_redis: StartRedis,
) -> None:
    server = start_redis()
    with redis.Redis(port=server.port) as plain:
        plain.config_set("requirepass", "right")
    for url, works in (
        (f"redis://:wrong-one@127.0.0.1:{server.port}", False),
        (f"redis://:right@127.0.0.1:{server.port}", True),
    ):
        store = open_store(url)
        await store.open()
        if works:
            await store.ping()
        else:
            with pytest.raises(StoreUnavailableError) as error:
                await store.ping()
            assert "wrong-one" not in str(error.value)
        await store.close()
    server.stop()


EVICTS = ("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru")


@pytest.mark.parametrize(
    ("policy", "max_bytes", "drops"),
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
def test_policies_that_evict(policy: str, max_bytes: int, drops: bool) -> None:
    assert evicts(policy, max_bytes) is drops
    volatile = policy.startswith("volatile-")
    assert evicts(policy, max_bytes, expiring=True) is (drops or volatile)


async def test_rejects_a_volatile_policy_if_streams_expire(start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory", "4mb", "--maxmemory-policy", "volatile-lru"))
    with pytest.raises(EvictingStoreError):
        await open_store(server.url, expiring=True).open()
    server.stop()


async def test_index_expires_with_its_last_stream(
    redis_url: str, new_key: Callable[[], str]
) -> None:
    store = open_store(redis_url)
    await store.open()
    now, label, (first, second, third) = int(time.time()), new_key(), (new_key() for _ in "abc")
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        index = f"thumb-label:{{{label}}}"
        await store.put(first, b"1", Record(now, frozenset({label}), now + 1))
        await store.put(second, b"2", Record(now, frozenset({label}), now + 5000))
        assert plain.expiretime(index) == now + 5000
        await asyncio.sleep(2.1)
        await store.put(third, b"3", Record(now, frozenset({label})))
        assert plain.ttl(index) == -1
        assert plain.zrange(index, 0, -1) == sorted([second, third])
        await store.delete_many([third, second])
        assert not plain.exists(index)
        assert not plain.exists(f"thumb-expiry:{{{label}}}")
    await store.close()


async def test_leftovers_in_an_index_are_not_listed(
    redis_url: str, new_key: Callable[[], str]
) -> None:
    store = open_store(redis_url)
    await store.open()
    label, stored, missing, other = new_key(), new_key(), new_key(), new_key()
    await store.put(stored, b"1", Record(1, frozenset({label})))
    await store.put(other, b"2")
    with redis.Redis.from_url(redis_url) as plain:
        plain.zadd(f"thumb-label:{{{label}}}", {missing: 0, other: 0})
        page = await store.list_label(label)
        assert [info.key for info in page.streams] == [stored]
        assert (await store.remove_label(label)).deleted == [stored]
        assert await store.get(other) == b"2"
        assert not plain.exists(f"thumb-label:{{{label}}}")
    await store.close()


async def test_upload_during_a_deletion_stays_in_the_index(
    redis_url: str, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(redis_url)
    assert isinstance(store, RedisStore)
    await store.open()
    label, key = new_key(), new_key()
    record = Record(1, frozenset({label}))
    await store.put(key, b"stream", record)
    unindex = store._unindex

    async def upload_first(client: Any, entries: Any) -> None:
        # The upload has added its id, and its record; the deletion drops the id after that.
        await store.put(key, b"stream", record)
        await unindex(client, entries)

    monkeypatch.setattr(store, "_unindex", upload_first)
    await store.delete_many([key])
    assert await store.get(key) == b"stream"
    assert [info.key for info in (await store.list_label(label)).streams] == [key]
    await store.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_streams_of_an_earlier_version(
    request: pytest.FixtureRequest, cluster: bool, new_key: Callable[[], str]
) -> None:
    url: str = request.getfixturevalue("redis_cluster_url" if cluster else "redis_url")
    old, label = new_key(), new_key()
    with redis.Redis.from_url(url.replace("+cluster", "")) as plain:
        plain.set(f"thumb:{old}", b"stream")
    store = open_store(url)
    await store.open()
    assert await store.info_many([old]) == [StreamInfo(old, 6, Record(None))]
    assert await store.put(old, b"stream", Record(7, frozenset({label}))) is False
    assert await store.info_many([old]) == [StreamInfo(old, 6, Record(7, frozenset({"", label})))]
    assert (await store.remove_label(label)).deleted == []
    assert await store.get(old) == b"stream"
    await store.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_rejects_a_server_that_evicts(start_redis: StartRedis, cluster: bool) -> None:
    server = start_redis(cluster=cluster, options=EVICTS)
    store = open_store(server.url)
    with pytest.raises(EvictingStoreError, match=r"allkeys-lru.*noeviction"):
        await store.open()
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.get("k")
    server.stop()


async def test_accepts_an_evicting_policy_without_a_limit(start_redis: StartRedis) -> None:
    server = start_redis(options=("--maxmemory-policy", "allkeys-lru"))
    store = open_store(server.url)
    await store.open()
    assert await store.put("k", b"v") is True
    await store.close()
    server.stop()


async def test_volatile_policy_rejects_writes_when_full(start_redis: StartRedis) -> None:
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


async def test_policy_of_a_late_server_is_checked_before_the_first_write(
    start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(options=EVICTS)
    server.stop()
    store = open_store(server.url)
    await store.open()
    assert "not reachable at startup" in caplog.text
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


async def test_forbidden_policy_is_logged(
    start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_redis(options=EVICTS)
    with redis.Redis(port=server.port) as plain:
        plain.execute_command("ACL SETUSER clerk on >secret ~* +@read +@write +eval")
    store = open_store(server.url.replace("://", "://clerk:secret@"))
    await store.open()
    assert "eviction policy of the server cannot be read" in caplog.text
    assert "secret" not in caplog.text
    assert await store.put("k", b"v") is True
    await store.close()
    server.stop()


class Node:
    """A node of a Cluster that returns or raises ``reply``."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    async def execute_command(self, *_: str) -> Any:
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


KEEPS = {"maxmemory": 1000, "maxmemory_policy": "noeviction"}


async def test_every_node_is_checked() -> None:
    evicting = {"maxmemory": 1000, "maxmemory_policy": "allkeys-lru"}
    with pytest.raises(EvictingStoreError, match=r"^b drops"):
        await check_eviction({"a": Node(KEEPS), "b": Node(evicting)})


async def test_dead_node_does_not_fail_the_check(caplog: pytest.LogCaptureFixture) -> None:
    down = Node(redis.ConnectionError("refused"))
    await check_eviction({"a": Node(KEEPS), "b": down, "c": Node({})})
    assert "policy of b, c cannot be read" in caplog.text
    with pytest.raises(redis.ConnectionError):
        await check_eviction({"b": down, "d": down})
