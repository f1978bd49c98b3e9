"""Streams in Redis, Valkey or any other server of their protocol; ``redis_cluster``: a Cluster.

``put`` is ``SET key value NX``, ``get_many`` is MGET.

The server decides how durable an acknowledged stream is: with ``appendonly yes`` and
``appendfsync always`` it is on disk; with ``everysec`` a crash may lose the last second; without
AOF, everything since the last snapshot. Replication is asynchronous: a failover may lose what the
old primary had acknowledged and not yet replicated.

A server with ``maxmemory`` and an ``allkeys-*`` policy is a cache, not a store: it drops streams
that it acknowledged. It is rejected. ``noeviction`` refuses writes when it is full, and so do the
``volatile-*`` policies here, since they drop only keys that expire and streams never do.

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
"""Prefix of every key, so that the store can share a server."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a server, in seconds, and how often to retry."""

    deadline: float
    """For one operation, including its retries."""
    connect: float
    """For a connection to be accepted."""
    response: float
    """For one response. Shorter than ``deadline``: nothing else detects a half-open connection,
    and there must be time left for a new one."""
    retries: int = 2
    """Attempts after the first; SET NX is safe to repeat because values are immutable."""

    @classmethod
    def within(cls, deadline: float) -> Timeouts:
        """Timeouts of an operation that may take ``deadline`` seconds."""
        return cls(deadline, connect=0.4 * deadline, response=0.6 * deadline)


HEALTH_CHECK_S = 30.0
"""A connection that was idle for longer is checked with PING before it is used, seconds."""

NODE_TIMEOUT_S = 1.0
"""For one node of several to answer INFO or PING, seconds, so that a dead one delays nothing."""

MAX_CONNECTIONS = 32
"""Connections to a server; further operations wait. Redis runs one command at a time anyway."""

PIPELINE_SIZE = 256
"""Puts in one round trip: some 150 KB, which takes a fraction of the deadline even if each put is
synced to disk."""

BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.2


class EvictingStoreError(StoreUnavailableError):
    """A server that would drop acknowledged streams to make room."""


class RedisStore:
    """A `Store` on the server that ``url`` names: ``redis://`` or ``rediss://`` (TLS).

    `open`, or the first ``put`` or ``ping`` that reaches the server, raises `EvictingStoreError`
    if it would drop streams. ValueError if ``url`` cannot be parsed.
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
        """Create the client, which connects on first use and reconnects when needed.

        A server that is not reachable yet is no error. Raises `EvictingStoreError`.
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
            return await self._mget(client, keys)

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` under ``key`` unless there is one; returns once it is acknowledged.

        A put that was retried because its response was lost may return False for a new value.
        """
        await self._check_eviction()
        async with self._operation() as client:
            new = await client.set(KEY_PREFIX + key, value, nx=True)
            return bool(new) or await self._repair(client, {key: value})

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each, `PIPELINE_SIZE` of them a round trip (in a Cluster one a node)."""
        await self._check_eviction()
        remaining = iter(values.items())
        while batch := dict(islice(remaining, PIPELINE_SIZE)):
            async with self._operation() as client:
                new = await self._set_many(client, batch)
                await self._repair(client, {k: v for k, v in batch.items() if not new[k]})

    async def ping(self) -> None:
        """Read something; raises if the server does not answer (as while it loads its data)."""
        await self._check_eviction()
        async with self._operation() as client:
            await self._ping(client)

    async def _repair(self, client: Any, values: Mapping[str, bytes]) -> bool:
        """Replace stored values that differ from ``values`` although these match their ids."""
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
        """Check the eviction policy once the server is reachable, before the first write."""
        if self._eviction_checked:
            return
        async with self._operation() as client:
            await check_eviction(await self._nodes(client))
        self._eviction_checked = True

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        """Clients of every server, by their names in messages."""
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
        """SET NX of each; True for each new value."""
        pipeline = client.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(KEY_PREFIX + key, value, nx=True)
        return dict(zip(values, map(bool, await pipeline.execute()), strict=True))

    @staticmethod
    async def _ping(client: Any) -> None:
        await client.get(KEY_PREFIX)

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Any]:
        """The client, once a connection is free; every error becomes a `StoreError`."""
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
    """The message of ``error``; a timeout has none, and gets one here."""
    return str(error) or "no response in time"


def connection_options(timeouts: Timeouts) -> dict[str, Any]:
    """Options of both kinds of client. The query of the URL may override any of them."""
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

    Logs nodes whose policy cannot be read. Raises what redis-py raises if no node answers.
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
    """Whether a server with this policy and memory limit (0: none) drops keys without expiry.

    Unknown policies count as if they did.
    """
    return max_bytes > 0 and policy != "noeviction" and not policy.startswith("volatile-")


async def _memory_info(node: Any) -> dict[str, Any] | None:
    """``INFO memory`` (managed servers forbid CONFIG GET); None if that is forbidden, too."""
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            info: dict[str, Any] = await node.execute_command("INFO", "memory")
        return info
    except ResponseError as error:
        # A server that is loading its data or fails over will answer later.
        if str(error).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN")):
            raise
        return None
