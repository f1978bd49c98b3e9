"""The shelf: streams by id, from memory or from one gathered read of the store.

Reads that arrive in the same turn of the event loop become one `Store.get_many`; under load this is
what a store likes best, and at rest it costs nothing. What was found is kept in a `StreamCache`;
what was not found is asked again, because it may come to exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from thumbstream.cache import StreamCache
from thumbstream.metrics import Metrics
from thumbstream.store import Store, StoreUnavailableError

log = logging.getLogger(__name__)

GATHER_LIMIT = 256
"""Keys in one read: bounds the time that a single store command may take."""

Waiting = dict[str, "asyncio.Future[bytes | None]"]


class Shelf:
    """Read side of a store. ``timeout`` is in seconds, for one read of the store."""

    def __init__(
        self, store: Store, cache: StreamCache, metrics: Metrics, *, timeout: float
    ) -> None:
        self._store = store
        self._cache = cache
        self._metrics = metrics
        self._timeout = timeout
        self._waiting: Waiting = {}  # asked in this turn; emptied by _flush
        self._reads: set[asyncio.Task[None]] = set()  # the loop itself keeps weak references only

    async def get(self, key: str) -> bytes | None:
        """The stream, or None when the store has none. Raises `StoreError`."""
        stream = self._cache.get(key)
        if stream is not None:
            self._metrics.cache_hits.inc()
            return stream
        self._metrics.cache_misses.inc()
        return await asyncio.shield(self._ask(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Streams in the order of ``keys``. Raises `StoreError`."""
        return list(await asyncio.gather(*(self.get(key) for key in keys)))

    def _ask(self, key: str) -> asyncio.Future[bytes | None]:
        answer = self._waiting.get(key)
        if answer is None:
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._flush)
            answer = self._waiting[key] = loop.create_future()
            # An answer that nobody waits for any more is no error.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answer

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        items = list(waiting.items())
        for start in range(0, len(items), GATHER_LIMIT):
            read = asyncio.ensure_future(self._read(dict(items[start : start + GATHER_LIMIT])))
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)

    async def _read(self, waiting: Waiting) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                streams = await self._store.get_many(list(waiting))
        except TimeoutError:
            self._fail(waiting, StoreUnavailableError("the store did not answer in time"))
        except Exception as error:  # whatever it was, those who wait must learn of it
            self._fail(waiting, error)
        else:
            for (key, answer), stream in zip(waiting.items(), streams, strict=True):
                if stream is not None:
                    self._cache.put(key, stream)
                if not answer.done():
                    answer.set_result(stream)

    @staticmethod
    def _fail(waiting: Waiting, error: Exception) -> None:
        log.warning("%d streams could not be read: %s", len(waiting), error)
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(error)
