"""The shelf: streams and their curves, from memory or from one gathered read of the store.

Reads that arrive in the same turn of the event loop become one `Store.get_many`; under load this is
what a store likes best, and at rest it costs nothing. What was found is kept in a `StreamCache`;
what was not found is asked again, because it may come to exist.

A slow store is not asked more and more: at most `READS_AT_ONCE` reads are under way, a key is in at
most one of them, what arrives meanwhile gathers for the next read, and beyond `MAX_WAITING` keys it
is refused at once.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import shield  # one who leaves must not take the answer from others who wait for it
from collections.abc import Iterable, Sequence
from itertools import islice

from thumbstream.errors import PartialReadError, StoreUnavailableError
from thumbstream.ids import curve_key
from thumbstream.storage import Store
from thumbstream.storage.cache import StreamCache
from thumbstream.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

GATHER_LIMIT = 256
"""Keys in one read: bounds the time that a single store command may take."""

READS_AT_ONCE = 16
"""Reads of the store under way; a healthy one answers each before there is a second."""

MAX_WAITING = READS_AT_ONCE * GATHER_LIMIT
"""Keys that wait while all reads are under way: as many as these can ask for."""

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
        self._waiting: Waiting = {}  # for the next read
        self._under_way: Waiting = {}  # in a read that has begun
        self._late: Waiting = {}  # asked for since theirs began: it may miss what was put meanwhile
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
        asked = self._late if key in self._under_way else self._waiting
        answer = asked.get(key)
        if answer is None:
            if len(self._waiting) + len(self._late) >= MAX_WAITING:
                raise StoreUnavailableError("too many values are waited for")
            loop = asyncio.get_running_loop()
            if asked is self._waiting and not asked:
                loop.call_soon(self._flush)
            answer = asked[key] = loop.create_future()
            # An answer that nobody waits for any more is no error.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answer

    def _flush(self) -> None:
        while self._waiting and len(self._reads) < READS_AT_ONCE:
            keys = list(islice(self._waiting, GATHER_LIMIT))
            self._under_way |= {key: self._waiting.pop(key) for key in keys}
            read = asyncio.ensure_future(self._read(keys))
            self._reads.add(read)
            read.add_done_callback(self._done)

    def _done(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._flush()

    async def _read(self, keys: list[str]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                streams = await self._store.get_many(keys)
        except PartialReadError as error:
            for key, stream in error.found.items():
                self._answer(key, stream)
            self._fail([key for key in keys if key not in error.found], error)
        except TimeoutError:
            self._give_up(keys, StoreUnavailableError("the store did not answer in time"))
        except Exception as error:  # whatever it was, those who wait must learn of it
            self._give_up(keys, error)
        else:
            for key, stream in zip(keys, streams, strict=True):
                self._answer(key, stream)

    def _answer(self, key: str, stream: bytes | None) -> None:
        if stream is not None:
            self._cache.put(key, stream)
        answers = [self._under_way.pop(key)]
        late = self._late.pop(key, None)
        if late is not None:
            if stream is None:
                self._waiting[key] = late  # _done begins the next read
            else:
                answers.append(late)
        for answer in answers:
            if not answer.done():
                answer.set_result(stream)

    def _give_up(self, keys: list[str], error: Exception) -> None:
        waiting: Waiting = {}
        if len(self._reads) >= READS_AT_ONCE:
            # Those who wait for one of them to end would fare no better, and have waited long.
            waiting, self._waiting = self._waiting, {}
        self._under_way |= waiting
        self._fail([*keys, *waiting], error)

    def _fail(self, keys: list[str], error: Exception) -> None:
        answers = [self._under_way.pop(key) for key in keys]
        answers += [self._late.pop(key) for key in keys if key in self._late]
        log.warning("%d values could not be read: %s", len(answers), error)
        for answer in answers:
            if not answer.done():
                answer.set_exception(error)
