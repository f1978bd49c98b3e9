"""A cache in front of a durable store: the cache makes reads fast, the store makes them true.

    read   cache -> durable store for what the cache lacks -> fill the cache, nobody waits for that
    write  durable store, which acknowledges -> fill the cache, nobody waits for that

Only values that are in the durable store get into the cache, and values never change: whatever the
cache forgets, drops or loses costs a read of the store and nothing else. While it fails, it is left
alone (``breaker``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import islice

from thumbstream.errors import PartialReadError, StoreUnavailableError
from thumbstream.storage.base import Store
from thumbstream.storage.breaker import PAUSE_S, Breaker

log = logging.getLogger(__name__)

FILL_BATCH = 256
"""Values in one write to the cache."""

FILL_MAX_WAITING = 4096
"""Values that may wait to be written to the cache, about 2 MB; more are left out."""


class TieredStore:
    """A `Store` that is ``durable`` and as fast as ``cache``, which may fail at any time."""

    def __init__(self, durable: Store, cache: Store, *, pause: float = PAUSE_S) -> None:
        self.name = f"{durable.name} behind {cache.name}"
        self.hits = 0
        """Values found in the cache."""
        self.misses = 0
        """Values that the durable store was asked for, with the cache failing or without them."""
        self._durable = durable
        self._cache = cache
        self._breaker = Breaker("the cache", cache.ping, pause=pause)
        self._waiting: dict[str, bytes] = {}
        self._filling: asyncio.Task[None] | None = None
        self._fills = True  # so that the log tells once that it does not

    @property
    def cache_usable(self) -> bool:
        """Whether the cache answers, as far as is known."""
        return self._breaker.usable

    async def open(self) -> None:
        """Open both."""
        await self._durable.open()
        await self._cache.open()

    async def close(self) -> None:
        """Close both; what was to be cached is not any more."""
        await self._breaker.close()
        self._waiting.clear()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        await self._cache.close()
        await self._durable.close()

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``, in their order."""
        found = await self._cached(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        self.hits += len(found)
        self.misses += len(missing)
        if missing:
            try:
                values = await self._durable.get_many(missing)
            except PartialReadError as error:
                raise PartialReadError(str(error), {**found, **error.found}) from error
            except StoreUnavailableError as error:
                raise PartialReadError(str(error), found) from error
            fresh = {k: v for k, v in zip(missing, values, strict=True) if v is not None}
            self._fill(fresh)
            found |= fresh
        return [found.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        """Keep ``value`` in the durable store unless there is one; returns when it says so."""
        new = await self._durable.put(key, value)
        if new:  # an older value may be another one: the next read brings it
            self._fill({key: value})
        return new

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each in the durable store; the cache waits until they are read."""
        await self._durable.put_many(values)

    async def ping(self) -> None:
        """Return if the durable store answers."""
        await self._durable.ping()

    async def _cached(self, keys: Sequence[str]) -> dict[str, bytes]:
        if not self._breaker.usable:
            return {}
        try:
            found = dict(zip(keys, await self._cache.get_many(keys), strict=True))
        except PartialReadError as error:  # a Cluster without one of its primaries
            found = dict(error.found)
        except Exception as error:  # whatever it is, the durable store has the answer
            self._breaker.trip(error)
            return {}
        return {key: value for key, value in found.items() if value is not None}

    def _fill(self, values: Mapping[str, bytes]) -> None:
        if not values or not self._breaker.usable:
            return
        if len(self._waiting) + len(values) > FILL_MAX_WAITING:
            return
        self._waiting |= values
        if self._filling is None:
            self._filling = asyncio.create_task(self._fill_waiting())

    async def _fill_waiting(self) -> None:
        try:
            while self._waiting:
                batch = dict(islice(self._waiting.items(), FILL_BATCH))
                for key in batch:
                    del self._waiting[key]
                await self._cache.put_many(batch)
                self._fills = True
        except Exception as error:  # reading may work all the same: a cache that is full
            self._waiting.clear()
            if self._fills:
                log.warning("values cannot be cached: %s", error)
            self._fills = False
        finally:
            self._filling = None
