"""Redis alone: what a full, silent, dead or foreign server means to the store."""

from __future__ import annotations

import asyncio
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
from thumbstream.storage import open_store
from thumbstream.storage.redis import STORE_PATIENCE, Patience, RedisStore
from thumbstream.storage.redis_cluster import RedisClusterStore

StartRedis = Callable[..., Any]


async def test_keys_carry_the_prefix(redis_url: str, new_key: Callable[[], str]) -> None:
    store = open_store(redis_url)
    await store.open()
    key = new_key()
    await store.put(key, b"stream")
    with redis.Redis.from_url(redis_url) as plain:
        assert plain.get(f"thumb:{key}") == b"stream"
        assert plain.ttl(f"thumb:{key}") == -1
    await store.close()


@pytest.mark.parametrize("cluster", [False, True])
async def test_a_full_server_is_a_full_store(start_redis: StartRedis, cluster: bool) -> None:
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
async def test_a_dead_server_is_unavailable_until_it_is_back(
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
        assert time.monotonic() - before < STORE_PATIENCE.deadline + 1
    server.start()
    await store.ping()
    assert await store.put("k", b"new life") is True
    assert await store.get_many(["k", "x"]) == [b"new life", None]
    await store.close()
    server.stop()


async def start_tls_in_front_of(port: int, context: ssl.SSLContext) -> asyncio.Server:
    """A TLS server that passes everything on: the test server itself is built without TLS."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    return await asyncio.start_server(serve, "localhost", 0, ssl=context)


async def test_tls_is_spoken_and_certificates_are_checked(
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

    wary = open_store(url)
    await wary.open()
    with pytest.raises(StoreUnavailableError, match="certificate"):
        await wary.ping()
    await wary.close()
    front.close()


async def test_a_server_that_is_not_there_yet_does_not_stop_the_start() -> None:
    store = open_store("redis://127.0.0.1:1")
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    await store.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_silent_server_is_given_up_in_time(
    scheme: str,
) -> None:
    silence = await asyncio.start_server(lambda _, __: asyncio.sleep(60), "127.0.0.1", 0)
    port = silence.sockets[0].getsockname()[1]
    kind = RedisStore if scheme == "redis" else RedisClusterStore
    store = kind(f"{scheme}://127.0.0.1:{port}", may_evict=True, patience=Patience(0.3, 1, 1, 0))
    await store.open()
    before = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer in time"):
        await store.get("k")
    assert time.monotonic() - before < 2
    await store.close()
    silence.close()


async def test_whatever_the_client_fails_with_the_store_is_unavailable(redis_url: str) -> None:
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
    await store.close()


async def test_a_server_of_another_kind_is_unavailable() -> None:
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


async def test_a_foreign_value_under_the_key_is_unavailable(
    redis_url: str, new_key: Callable[[], str]
) -> None:
    key = new_key()
    with redis.Redis.from_url(redis_url) as plain:
        plain.rpush(f"thumb:{key}", b"a list")
    store = open_store(redis_url)
    await store.open()
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await store.get(key)
    await store.close()


async def test_a_read_only_server_is_unavailable(start_redis: StartRedis) -> None:
    # A replica of a primary that is not there refuses writes.
    server = start_redis(options=("--replicaof", "127.0.0.1 1"))
    store = open_store(server.url)
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.put("k", b"v")
    await store.close()
    server.stop()


async def test_a_wrong_password_is_unavailable_and_not_repeated(start_redis: StartRedis) -> None:
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
