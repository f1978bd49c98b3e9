"""Streams in Redis, Valkey or whatever else speaks their protocol; one server here.

``put`` is ``SET key value NX``, ``get_many`` is MGET. A Cluster: ``redis_cluster``.

How durable an acknowledged stream is, the server decides: with ``appendonly yes`` and
``appendfsync always`` it is on disk; with ``everysec`` a crash may take the last second; without
AOF, everything since the last snapshot. Replication is asynchronous: a failover may take what the
lost primary had acknowledged and not yet passed on. A server that would drop streams to make room
is refused (``eviction``), unless it is a cache or was chosen knowingly.

Every operation ends within `Patience.deadline`, retries and waiting for a connection included.
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
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.eviction import EvictingStoreError, policies_of, refuse_eviction

log = logging.getLogger(__name__)

KEY_PREFIX = "thumb:"
"""Before every id, so that the store can share a server."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds, and how often a server is waited for."""

    deadline: float
    """The longest that an operation may take in all."""
    connect: float
    """The longest that a server may take to accept a connection."""
    answer: float
    """The longest that a server may take to answer. Less than ``deadline``: a connection whose
    other end vanished without a word is noticed only by this, and a new one must find time too."""
    retries: int
    """Tries after the first; SET NX is safe to repeat, values being immutable."""


STORE_PATIENCE = Patience(deadline=5.0, connect=2.0, answer=3.0, retries=2)
"""For the only copy: slow is better than 503."""

CACHE_PATIENCE = Patience(deadline=0.25, connect=0.2, answer=0.2, retries=1)
"""For a copy: the durable store has it as well. A stream is read in under 1 ms."""

HEALTH_CHECK_S = 30.0
"""A connection idle for longer is tried with PING before it is used, seconds."""

MAX_CONNECTIONS = 32
"""Connections to a server; operations beyond wait for one. Redis works on one at a time anyway."""

PIPELINED = 256
"""Puts sent in one go: some 150 KB, a fraction of the deadline where each is synced to disk."""

BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.2


class RedisStore:
    """A `Store` on the one server that ``url`` names: ``redis://`` or ``rediss://`` (TLS).

    ``may_evict``: the server may drop streams to make room. Otherwise `open` and the first ``put``
    or ``ping`` that reach it raise `EvictingStoreError` if it would. ValueError if ``url`` cannot
    be read.
    """

    name = "redis"

    def __init__(
        self, url: str, *, may_evict: bool = False, patience: Patience = STORE_PATIENCE
    ) -> None:
        parse_url(url)
        self._url = url
        self._patience = patience
        self._client: Any = None
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._trusted = may_evict  # whether the eviction policy is known, or does not matter

    async def open(self) -> None:
        """Make the client; it connects when it is first used, and again whenever it has to.

        A server that cannot be reached yet is no error. Raises `EvictingStoreError`.
        """
        if self._client is not None:
            return
        self._client = self._connect(self._url, connection_options(self._patience))
        try:
            await self._check_eviction()
        except EvictingStoreError:
            await self.close()
            raise
        except StoreUnavailableError as error:
            log.warning("the store is not there yet: %s", error)

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
        """Keep ``value`` under ``key`` unless there is one; returns when the server says so.

        A put that is repeated because its answer was lost may say False although it is new.
        """
        await self._check_eviction()
        async with self._operation() as client:
            new = await client.set(KEY_PREFIX + key, value, nx=True)
        return bool(new)

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each, `PIPELINED` of them a round trip (in a Cluster one a node)."""
        await self._check_eviction()
        rest = iter(values.items())
        while some := dict(islice(rest, PIPELINED)):
            async with self._operation() as client:
                await self._set_many(client, some)

    async def ping(self) -> None:
        """Return if the server answers a read (a server that is loading its data does not)."""
        await self._check_eviction()
        async with self._operation() as client:
            await self._ping(client)

    async def _check_eviction(self) -> None:
        """Ask for the policy until it is known to keep streams."""
        if self._trusted:
            return
        async with self._operation() as client:
            policies = await policies_of(await self._nodes(client))
        refuse_eviction(policies)
        self._trusted = True

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        """Everything that takes a command, by the name that a message may give it."""
        return {"the server": client}

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        # READONLY says that this connection leads to a former primary: a new one finds the next.
        return Redis.from_url(url, retry_on_error=[ReadOnlyError], **options)

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = await client.mget([KEY_PREFIX + key for key in keys])
        return values

    @staticmethod
    async def _set_many(client: Any, values: Mapping[str, bytes]) -> None:
        pipeline = client.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(KEY_PREFIX + key, value, nx=True)
        await pipeline.execute()

    @staticmethod
    async def _ping(client: Any) -> None:
        await client.get(KEY_PREFIX)

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Any]:
        """The client, while a connection is free for it; errors and time are bounded."""
        if self._client is None:
            raise StoreUnavailableError("the store is not open")
        try:
            async with asyncio.timeout(self._patience.deadline), self._connections:
                yield self._client
        except StoreError:
            raise
        except OutOfMemoryError as error:
            raise StoreFullError("the store is full") from error
        except Exception as error:
            # RedisError and OSError (TimeoutError is one) as a rule; and AttributeError and the
            # like, where redis-py closes a connection that another command is about to use.
            reason = str(error) or "no answer in time"
            raise StoreUnavailableError(f"the store cannot be used: {reason}") from error


def connection_options(patience: Patience) -> dict[str, Any]:
    """What both kinds of client are made with. The URL's query may override any of it."""
    backoff = ExponentialWithJitterBackoff(base=BACKOFF_BASE_S, cap=BACKOFF_CAP_S)
    return {
        "decode_responses": False,
        # Nothing here needs RESP3, and a new connection saves the round trips of HELLO and of
        # CLIENT SETINFO: a slow server is then not made slower by every reconnection.
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": patience.connect,
        "socket_timeout": patience.answer,
        "health_check_interval": HEALTH_CHECK_S,
        "max_connections": MAX_CONNECTIONS,
        "retry": Retry(backoff, patience.retries),
        # A service of one vendor's cloud; elsewhere it costs a refused command a connection.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
