"""How many requests that cost work a client may send in a period.

Counting is the ``limits`` package's, by its sliding window: in this process's memory, or in Redis,
which several processes and replicas share. The count is a courtesy among clients, not a lock: when
Redis does not answer, requests pass.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import os
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from thumbstream.http.refusals import RateLimitedError

if TYPE_CHECKING:
    from limits.aio.storage import Storage
    from redis.asyncio import ConnectionPool

log = logging.getLogger(__name__)

BUCKETS = 4096
"""Counters for addresses in memory. Two addresses rarely share one, and nobody can choose which:
so a flood of addresses (anybody has 2^64 of IPv6) neither fills the memory nor slows the count."""


KEY_PREFIX = "thumbstream-rate"
"""Of keys in Redis, which may be the one that keeps the streams: an id never looks like this."""


class RateLimit:
    """``limit`` such as ``60/minute``; ``store``: a Redis URL, or empty for this process alone."""

    def __init__(self, limit: str, *, store: str, timeout: float) -> None:
        # Imported by those who ask for it: it takes as long to import as a store.
        from limits import parse
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        self._limit = parse(limit)
        self._policy = f'"default";q={self._limit.amount};w={self._limit.get_expiry()}'
        self._pool = _pool(store, timeout) if store else None
        self._strategy = SlidingWindowCounterRateLimiter(_storage(store, self._pool))
        self._timeout = timeout
        self._salt = b"" if store else os.urandom(16)

    async def count(self, name: str | None, address: str | None) -> dict[str, str]:
        """Counts a request of the token ``name``, or else of ``address`` (IP).

        The fields that go with the answer. Raises `RateLimitedError`.
        """
        client = f"token:{name}" if name else f"address:{self._bucket(address or '')}"
        try:
            async with asyncio.timeout(self._timeout):
                within = await self._strategy.hit(self._limit, client)
                window = await self._strategy.get_window_stats(self._limit, client)
        except Exception as error:  # whatever the library and its Redis client raise
            log.warning("the rate limit's store does not answer: %s", type(error).__name__)
            return {}
        reset = max(1, math.ceil(window.reset_time - time.time()))
        fields = {
            "RateLimit-Policy": self._policy,
            "RateLimit": f'"default";r={window.remaining};t={reset}',
        }
        if not within:
            raise RateLimitedError(
                f"more than {self._limit}: try again later",
                headers={**fields, "Retry-After": str(reset)},
            )
        return fields

    async def close(self) -> None:
        """Closes the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()

    def _bucket(self, address: str) -> str:
        digest = blake2b(_network(address).encode(), key=self._salt, digest_size=16).digest()
        if not self._salt:
            return digest.hex()  # Redis forgets what is over by itself
        return str(int.from_bytes(digest, "big") % BUCKETS)


def _pool(store: str, timeout: float) -> ConnectionPool:
    from redis.asyncio import ConnectionPool

    return ConnectionPool.from_url(store, socket_timeout=timeout, socket_connect_timeout=timeout)


def _storage(store: str, pool: ConnectionPool | None) -> Storage:
    from limits.aio.storage import MemoryStorage, RedisStorage

    if pool is None:
        return MemoryStorage()
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage(
        f"async+{store}", implementation="redispy", key_prefix=KEY_PREFIX, **options
    )


def _network(address: str) -> str:
    """What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(ip, "ipv4_mapped", None)
    if ip.version == 4 or mapped is not None:
        return str(mapped or ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))
