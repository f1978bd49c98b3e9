"""Stores streams in Redis, Valkey or another server that speaks the Redis protocol.

``put`` is ``SET key value NX``, ``get_many`` is MGET. `RedisClusterStore` is for a Redis Cluster.

The settings of the server decide how durable an acknowledged stream is. With ``appendonly yes``
and ``appendfsync always`` the stream is on disk; with ``appendfsync everysec`` a crash may lose
the writes of the last second; without an append-only file a crash loses all writes since the last
snapshot. Replication is asynchronous: a failover may lose writes that the old primary had
acknowledged but not yet replicated.

A server with ``maxmemory`` and an ``allkeys-*`` policy evicts streams that it has acknowledged,
so this store rejects such a server. With ``noeviction`` a full server refuses writes. So does a
full server with a ``volatile-*`` policy: that policy evicts only keys with an expiry, and streams
have none.

Every operation ends within `Timeouts.deadline`, including retries and waiting for a connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.base import DEFAULT_TIMEOUT_S, matches_id

log = logging.getLogger(__name__)

KEY_PREFIX = "thumb:"
"""Prefix of every key, so that other programs can use the same Redis database."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of the Redis client, in seconds, and its number of retries."""

    deadline: float
    """Longest duration of one operation, including its retries."""
    connect: float
    """Longest wait for the server to accept a connection."""
    response: float
    """Longest wait for one response. Shorter than ``deadline``, because only this timeout detects
    a half-open connection, and a new connection needs the remaining time."""
    retries: int = 2
    """Attempts after the first one. SET NX is safe to repeat because values are immutable."""

    @classmethod
    def within(cls, deadline: float) -> Timeouts:
        """Return timeouts for operations that may take ``deadline`` seconds each."""
        return cls(deadline, connect=0.4 * deadline, response=0.6 * deadline)


HEALTH_CHECK_S = 30.0
"""Idle time, in seconds, after which a connection is checked with PING before its next use."""

NODE_TIMEOUT_S = 1.0
"""Longest wait, in seconds, for the answer of one node to INFO or PING. Short, so that one dead
node hardly delays an operation that needs the answers of several nodes."""

MAX_CONNECTIONS = 32
"""Most connections to one server, and most operations of one store at a time; further operations
wait. More connections would not help, because Redis runs one command at a time."""

PIPELINE_SIZE = 256
"""Most values that `put_many` writes in one round trip: about 150 KB. A round trip takes a
fraction of the deadline even if the server syncs each value to disk."""

BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.2


class EvictingStoreError(StoreUnavailableError):
    """The Redis server's eviction policy would drop acknowledged streams to free memory."""


class RedisStore:
    """A `Store` on the Redis server at ``url`` (``redis://``, or ``rediss://`` for TLS).

    If the server's eviction policy would drop streams, `open` raises `EvictingStoreError`; if the
    server was not reachable then, the first ``put`` or ``ping`` that reaches the server raises it.
    The constructor raises ValueError if ``url`` cannot be parsed.
    """

    name = "redis"

    def __init__(self, url: str, *, timeouts: Timeouts | None = None) -> None:
        parse_url(url)
        self._url = url
        self._timeouts = timeouts or Timeouts.within(DEFAULT_TIMEOUT_S)
        self._client: Any = None
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._eviction_checked = False

    async def open(self) -> None:
        """Create the Redis client and check the server's eviction policy.

        Raises `EvictingStoreError` if the policy would drop streams. If the server is not
        reachable, `open` only logs a warning: the client connects on the next operation.
        """
        if self._client is not None:
            return
        self._client = self._connect(self._url, connection_options(self._timeouts))
        try:
            await self._check_eviction()
        except EvictingStoreError:
            await self.close()
            raise
        except StoreUnavailableError as error:
            log.warning("Redis not reachable at startup: %s", error)

    async def close(self) -> None:
        """Close all connections to the server; further calls do nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if there is none."""
        async with self._operation() as client:
            value: bytes | None = await client.get(KEY_PREFIX + key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return one value, or None if there is none, for each of ``keys``, in their order."""
        if not keys:
            return []
        async with self._operation() as client:
            return await self._mget(client, keys)

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` unless ``key`` has a value; return once the server has acknowledged it.

        Returns whether ``value`` was written. May return False for a written value if its first
        response was lost and the command was retried.
        """
        await self._check_eviction()
        async with self._operation() as client:
            new = await client.set(KEY_PREFIX + key, value, nx=True)
            return bool(new) or await self._repair(client, {key: value})

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` as `put` does, `PIPELINE_SIZE` of them in one round trip.

        In a Redis Cluster, such a round trip goes to all nodes concerned at the same time.
        """
        await self._check_eviction()
        remaining = iter(values.items())
        while batch := dict(islice(remaining, PIPELINE_SIZE)):
            async with self._operation() as client:
                new = await self._set_many(client, batch)
                await self._repair(client, {k: v for k, v in batch.items() if not new[k]})

    async def ping(self) -> None:
        """Raise `StoreUnavailableError` unless the server answers a read.

        A server that is still loading its data counts as unavailable.
        """
        await self._check_eviction()
        async with self._operation() as client:
            await self._ping(client)

    async def _repair(self, client: Any, values: Mapping[str, bytes]) -> bool:
        """Overwrite damaged stored values with the correct ``values`` (key -> value).

        A stored value is damaged if it differs from ``values[key]`` and ``key`` is the id of
        ``values[key]``. Returns whether at least one stored value was overwritten.
        """
        values = {key: value for key, value in values.items() if matches_id(key, value)}
        if not values:
            return False
        stored = await self._mget(client, list(values))
        damaged = {k: v for (k, v), old in zip(values.items(), stored, strict=True) if v != old}
        for key, value in damaged.items():
            log.warning("the damaged value under %s was replaced", key)
            await client.set(KEY_PREFIX + key, value)
        return bool(damaged)

    async def _check_eviction(self) -> None:
        """Raise `EvictingStoreError` if the server's eviction policy would drop streams.

        Once a check has succeeded, further calls do nothing.
        """
        if self._eviction_checked:
            return
        async with self._operation() as client:
            await check_eviction(await self._nodes(client))
        self._eviction_checked = True

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        """Return every server: its name for error messages -> the client connected to it."""
        return {"the server": client}

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        # READONLY means that this connection leads to a former primary; a new one may not.
        return Redis.from_url(url, retry_on_error=[ReadOnlyError], **options)

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = await client.mget([KEY_PREFIX + key for key in keys])
        return values

    @staticmethod
    async def _set_many(client: Any, values: Mapping[str, bytes]) -> dict[str, bool]:
        """Send SET NX for each of ``values``; return for each key whether its value was written."""
        pipeline = client.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(KEY_PREFIX + key, value, nx=True)
        return dict(zip(values, map(bool, await pipeline.execute()), strict=True))

    @staticmethod
    async def _ping(client: Any) -> None:
        await client.get(KEY_PREFIX)

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Any]:
        """Wait for a free connection, yield the Redis client, and limit the block to the deadline.

        Every exception in the block is raised as a `StoreError`.
        """
        if self._client is None:
            raise StoreUnavailableError("the store is not open")
        try:
            async with asyncio.timeout(self._timeouts.deadline), self._connections:
                yield self._client
        except StoreError:
            raise
        except OutOfMemoryError as error:
            raise StoreFullError("the store is full") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise StoreUnavailableError(f"Redis: {reason_of(error)}") from error
        except Exception as error:
            # A bug, in redis-py as well: it may close a connection that another command is about
            # to use. The request fails as if the server did, and the traceback goes to the log.
            log.exception("unexpected error of the Redis client")
            raise StoreUnavailableError(f"Redis: {error!r}") from error


def reason_of(error: Exception) -> str:
    """Return the message of ``error``, or "no response in time" if it is empty, as for timeouts."""
    return str(error) or "no response in time"


def connection_options(timeouts: Timeouts) -> dict[str, Any]:
    """Return redis-py options for a single server or a Cluster.

    Options in the query string of the store's URL take precedence.
    """
    backoff = ExponentialWithJitterBackoff(base=BACKOFF_BASE_S, cap=BACKOFF_CAP_S)
    return {
        "decode_responses": False,
        # RESP2 saves new connections the round trips of HELLO and CLIENT SETINFO, which would
        # make reconnecting to a slow server even slower. Nothing here needs RESP3.
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": timeouts.connect,
        "socket_timeout": timeouts.response,
        "health_check_interval": HEALTH_CHECK_S,
        "max_connections": MAX_CONNECTIONS,
        "retry": Retry(backoff, timeouts.retries),
        # A feature of one vendor's cloud; elsewhere it costs every connection a rejected command.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


async def check_eviction(nodes: Mapping[str, Any]) -> None:
    """Raise `EvictingStoreError` if one of ``nodes`` (name -> client) would drop streams.

    Logs a warning for nodes whose eviction policy cannot be read. If no node answers, raises the
    exception of the first node.
    """
    replies = await asyncio.gather(*map(_memory_info, nodes.values()), return_exceptions=True)
    errors = [reply for reply in replies if isinstance(reply, BaseException)]
    if errors and len(errors) == len(replies):
        raise errors[0]
    unknown = []
    for node, reply in zip(nodes, replies, strict=True):
        if not isinstance(reply, dict) or "maxmemory_policy" not in reply:
            unknown.append(node)
        elif evicts(str(reply["maxmemory_policy"]), int(reply.get("maxmemory", 0))):
            raise EvictingStoreError(
                f"{node} drops streams when it is full (maxmemory-policy "
                f"{reply['maxmemory_policy']}): set maxmemory-policy noeviction"
            )
    if unknown:
        log.warning(
            "the eviction policy of %s cannot be read: make sure that it is noeviction",
            ", ".join(unknown),
        )


def evicts(policy: str, max_bytes: int) -> bool:
    """Return whether a server may drop keys that have no expiry.

    ``policy`` is its ``maxmemory-policy``; unknown policies give True. ``max_bytes`` is its
    ``maxmemory``; 0 means no limit.
    """
    return max_bytes > 0 and policy != "noeviction" and not policy.startswith("volatile-")


async def _memory_info(node: Any) -> dict[str, Any] | None:
    """Return the fields of ``INFO memory``, or None if the server rejects the command.

    INFO rather than CONFIG GET, because managed servers forbid CONFIG GET.
    """
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            info: dict[str, Any] = await node.execute_command("INFO", "memory")
        return info
    except ResponseError as error:
        # A server that is loading its data or fails over will answer later.
        if str(error).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN")):
            raise
        return None
