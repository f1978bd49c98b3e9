"""Streams in Redis, Valkey or whatever else speaks their protocol; one server or a Cluster.

``put`` is ``SET key value NX``, ``get_many`` is MGET (in a Cluster one MGET a slot, pipelined).

How durable an acknowledged stream is, the server decides: with ``appendonly yes`` and
``appendfsync always`` it is on disk; with ``everysec`` a crash may take the last second; without
AOF, everything since the last snapshot. The server must run ``maxmemory-policy noeviction`` (the
default): a full one then refuses, where another policy would drop streams that were acknowledged.

Every operation ends within `DEADLINE_S`, retries and waiting for a connection included.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from thumbstream.store.base import StoreFullError, StoreUnavailableError

KEY_PREFIX = "thumb:"
"""Before every id, so that the store can share a server."""

DEADLINE_S = 5.0
"""The longest that an operation may take in all, seconds."""

CONNECT_TIMEOUT_S = 2.0
"""The longest that a server may take to accept a connection, seconds."""

SOCKET_TIMEOUT_S = 2.0
"""The longest that a server may take to answer, seconds; a stream is read in under 1 ms."""

HEALTH_CHECK_S = 30.0
"""A connection idle for longer is tried with PING before it is used, seconds."""

MAX_CONNECTIONS = 32
"""Connections to a server; operations beyond wait for one. Redis works on one at a time anyway."""

PIPELINED = 256
"""Puts sent in one go: some 150 KB, a fraction of `DEADLINE_S` where each is synced to disk."""

RETRIES = 2
"""Tries after the first; SET NX is safe to repeat, values being immutable."""

BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.2


class RedisStore:
    """A `Store` on the one server that ``url`` names: ``redis://`` or ``rediss://`` (TLS).

    ValueError if ``url`` cannot be read. Nothing is asked of the server before the first operation.
    """

    name = "redis"

    def __init__(self, url: str) -> None:
        parse_url(url)
        self._url = url
        self._client: Any = None
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)

    async def open(self) -> None:
        """Make the client; it connects when it is first used, and again whenever it has to."""
        if self._client is None:
            self._client = self._connect(self._url, _options())

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""
        async with self._operation() as client:
            value: bytes | None = await client.get(KEY_PREFIX + key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``, in their order, by MGET."""
        if not keys:
            return []
        async with self._operation() as client:
            return await self._mget(client, [KEY_PREFIX + key for key in keys])

    async def put(self, key: str, value: bytes) -> bool:
        """Keep ``value`` under ``key`` unless there is one; returns when the server says so.

        A put that is repeated because its answer was lost may say False although it is new.
        """
        async with self._operation() as client:
            new = await client.set(KEY_PREFIX + key, value, nx=True)
        return bool(new)

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each, `PIPELINED` of them a round trip (in a Cluster one a node)."""
        rest = iter(values.items())
        while some := list(islice(rest, PIPELINED)):
            async with self._operation() as client:
                pipeline = client.pipeline(transaction=False)
                for key, value in some:
                    pipeline.set(KEY_PREFIX + key, value, nx=True)
                await pipeline.execute()

    async def ping(self) -> None:
        """Return if the server answers a read (a server that is loading its data does not)."""
        await self.get("")

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        return Redis.from_url(url, **options)

    @staticmethod
    async def _mget(client: Any, names: list[str]) -> list[bytes | None]:
        values: list[bytes | None] = await client.mget(names)
        return values

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Any]:
        """The client, while a connection is free for it; errors and time are bounded."""
        if self._client is None:
            raise StoreUnavailableError("the store is not open")
        try:
            async with asyncio.timeout(DEADLINE_S), self._connections:
                yield self._client
        except OutOfMemoryError as error:
            raise StoreFullError("the store is full") from error
        except (RedisError, RedisClusterException, OSError) as error:  # TimeoutError is an OSError.
            reason = str(error) or "no answer in time"
            raise StoreUnavailableError(f"the store cannot be used: {reason}") from error


class RedisClusterStore(RedisStore):
    """A `Store` on a Redis Cluster of which ``url`` names one node.

    ``redis+cluster://`` or ``rediss+cluster://`` (TLS). ValueError if ``url`` cannot be read.
    """

    name = "redis+cluster"

    def __init__(self, url: str) -> None:
        super().__init__(url.replace("+cluster://", "://", 1))

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        return RedisCluster.from_url(url, **options)

    @staticmethod
    async def _mget(client: Any, names: list[str]) -> list[bytes | None]:
        # Keys of different slots in one MGET are an error; one name twice would be one answer.
        distinct = list(dict.fromkeys(names))
        found = dict(zip(distinct, await client.mget_nonatomic(distinct), strict=True))
        return [found[name] for name in names]


def _options() -> dict[str, Any]:
    """What both clients are made with. The URL's query may override any of it."""
    backoff = ExponentialWithJitterBackoff(base=BACKOFF_BASE_S, cap=BACKOFF_CAP_S)
    return {
        "decode_responses": False,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
        "max_connections": MAX_CONNECTIONS,
        "retry": Retry(backoff, RETRIES),
        # A service of one vendor's cloud; elsewhere it costs a refused command a connection.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
