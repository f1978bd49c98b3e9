"""The shelf: streams and their curves, from memory or from one gathered read of the store.

Reads that arrive in the same turn of the event loop become one `Store.get_many`; under load this is
what a store likes best, and at rest it costs nothing. What was found is kept in a `StreamCache`;
what was not found is asked again, because it may come to exist.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import shield  # one who leaves must not take the answer from others who wait for it
from collections.abc import Iterable, Sequence

from thumbstream.cache import StreamCache
from thumbstream.ids import curve_key
from thumbstream.metrics import Metrics
from thumbstream.store import Store, StoreUnavailableError

log = logging.getLogger(__name__)

GATHER_LIMIT = 256
"""Keys in one read: bounds the time that a single store command may take."""

Answer = asyncio.Future[bytes | None]
Waiting = dict[str, Answer]
Sought = bytes | Answer


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
        sought = self._seek(key)
        return sought if isinstance(sought, bytes) else await shield(sought)

    async def get_many(self, keys: Iterable[str]) -> list[bytes | None]:
        """Streams in the order of ``keys``. Raises `StoreError`."""
        all_sought = [self._seek(key) for key in keys]  # before the first wait: one read for all
        return [s if isinstance(s, bytes) else await shield(s) for s in all_sought]

    async def get_with_curves(
        self, keys: Sequence[str]
    ) -> tuple[list[bytes | None], list[bytes | None]]:
        """Streams, and their curves as they were stored, both in the order of ``keys``.

        Raises `StoreError`.
        """
        found = await self.get_many([*keys, *map(curve_key, keys)])
        return found[: len(keys)], found[len(keys) :]

    def _seek(self, key: str) -> Sought:
        """The value if it is in memory; if not, the answer of a read that is on its way."""
        value = self._cache.get(key)
        if value is not None:
            self._metrics.cache_hits.inc()
            return value
        self._metrics.cache_misses.inc()
        return self._ask(key)

    def _ask(self, key: str) -> Answer:
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
        log.warning("%d values could not be read: %s", len(waiting), error)
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(error)
