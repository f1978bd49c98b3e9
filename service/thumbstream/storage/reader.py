"""Cached and coalesced reads of streams and rate-distortion curves (the DataLoader pattern).

Keys that are requested in the same iteration of the event loop are read by one `Store.get_many`.
This is fast under load and delays nothing when the service is idle. A `StreamCache` keeps the
values that were found, for a short time, since another process may delete them. The absence of a
value is not cached, since a put may follow.

The reader does not flood a slow store: at most `MAX_READS` reads are in flight, and each key is in
at most one of these reads. Further keys wait for the next read. While `MAX_PENDING` keys wait,
requests for other keys fail at once.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import shield  # a cancelled caller must not cancel the read for other callers
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from time import monotonic

from thumbstream.errors import PartialReadError, StoreError, StoreUnavailableError
from thumbstream.ids import curve_key, is_id
from thumbstream.storage.base import Store, matches_id
from thumbstream.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

READ_SIZE = 256
"""Most keys in one read. This bounds the duration of a single store command."""

MAX_READS = 16
"""Most reads in flight. A healthy store usually answers a read before the next one starts."""

MAX_PENDING = MAX_READS * READ_SIZE
"""Most keys that wait for their read to start: as many as `MAX_READS` reads can hold."""

ENTRY_OVERHEAD = 200
"""Bytes of memory of a cache entry without its value: two object headers, the key, a dict slot."""

MAX_AGE_S = 30.0
"""How long a value is used from the cache, in seconds: another process may have deleted it."""

Result = asyncio.Future[bytes | None]
PendingReads = dict[str, Result]
Lookup = bytes | Result
"""The cached value of a key, or else the future result of its read."""


class StreamCache:
    """An LRU cache of streams and rate-distortion curves in memory.

    ``limit`` is its largest size in bytes, including `ENTRY_OVERHEAD` for each entry; 0 disables
    the cache. The value of a key never changes, but may be deleted: entries are used for
    `MAX_AGE_S`. Not thread-safe: use it only on the event loop.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()  # value, time of put
        self.size = 0  # sum of _cost over _values; at most _limit between calls

    def get(self, key: str) -> bytes | None:
        """Return the cached value of ``key`` and mark it as most recently used, or return None."""
        entry = self._values.get(key)
        if entry is None:
            return None
        value, since = entry
        if monotonic() - since > MAX_AGE_S:
            self.discard(key)
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Add a value; evict the least recently used values if the cache is over its limit.

        Does nothing if ``key`` is already cached or ``value`` alone is over the limit.
        """
        if key in self._values or _cost(value) > self._limit:
            return
        self._values[key] = value, monotonic()
        self.size += _cost(value)
        while self.size > self._limit:
            _, (oldest, _) = self._values.popitem(last=False)
            self.size -= _cost(oldest)

    def discard(self, key: str) -> None:
        """Remove the value of ``key``, if there is one."""
        entry = self._values.pop(key, None)
        if entry is not None:
            self.size -= _cost(entry[0])


def _cost(value: bytes) -> int:
    return len(value) + ENTRY_OVERHEAD


class StreamReader:
    """Reads values from ``store`` through ``cache``, and coalesces concurrent reads.

    ``timeout`` is the longest duration of one `Store.get_many`, in seconds.
    """

    def __init__(
        self, store: Store, cache: StreamCache, metrics: Metrics, *, timeout: float
    ) -> None:
        self._store = store
        self._cache = cache
        self._metrics = metrics
        self._timeout = timeout
        self._pending: PendingReads = {}  # for the next read
        self._in_flight: PendingReads = {}
        # Requested after the read of their key began, which may miss a put in between.
        self._late: PendingReads = {}
        self._forgotten: set[str] = set()  # keys in flight that were deleted meanwhile
        self._reads: set[asyncio.Task[None]] = set()  # the loop keeps only weak references

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if it is missing or damaged.

        Raises `StoreError` if the value cannot be read.
        """
        lookup = self._lookup(key)
        return lookup if isinstance(lookup, bytes) else await shield(lookup)

    async def get_many(self, keys: Iterable[str]) -> list[bytes | None]:
        """Return the result of `get` for each of ``keys``, in their order.

        Raises `StoreError` if any of the values cannot be read.
        """
        lookups = [self._lookup(key) for key in keys]  # before the first await: one read for all
        return [item if isinstance(item, bytes) else await shield(item) for item in lookups]

    async def get_with_curves(
        self, keys: Sequence[str]
    ) -> tuple[list[bytes | None], list[bytes | None]]:
        """Return two lists in the order of ``keys``: the streams, and their encoded curves.

        ``keys`` are ids of streams. A list has None where the stream or the curve is missing.
        Raises `StoreError` if any of the values cannot be read.
        """
        found = await self.get_many([*keys, *map(curve_key, keys)])
        return found[: len(keys)], found[len(keys) :]

    def is_cached(self, keys: Iterable[str]) -> bool:
        """Return whether all of ``keys`` are in the cache."""
        return all(self._cache.get(key) is not None for key in keys)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the streams ``keys``, which have been deleted, and their curves from the cache.

        A read in flight may still find them; its result counts as missing.
        """
        for stream in keys:
            for key in (stream, curve_key(stream)):
                self._cache.discard(key)
                if key in self._in_flight:
                    self._forgotten.add(key)

    def _lookup(self, key: str) -> Lookup:
        value = self._cache.get(key)
        if value is not None:
            self._metrics.cache_hits.inc()
            return value
        self._metrics.cache_misses.inc()
        return self._enqueue(key)

    def _enqueue(self, key: str) -> Result:
        queue = self._late if key in self._in_flight else self._pending
        result = queue.get(key)
        if result is None:
            if len(self._pending) + len(self._late) >= MAX_PENDING:
                raise StoreUnavailableError("too many pending reads")
            loop = asyncio.get_running_loop()
            if queue is self._pending and not queue:
                loop.call_soon(self._flush)
            result = queue[key] = loop.create_future()
            # Marks the exception as retrieved when every caller has gone.
            result.add_done_callback(lambda done: done.cancelled() or done.exception())
        return result

    def _flush(self) -> None:
        while self._pending and len(self._reads) < MAX_READS:
            keys = list(islice(self._pending, READ_SIZE))
            self._in_flight |= {key: self._pending.pop(key) for key in keys}
            read = asyncio.ensure_future(self._read(keys))
            self._reads.add(read)
            read.add_done_callback(self._on_read_done)

    def _on_read_done(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._flush()

    async def _read(self, keys: list[str]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                values = await self._store.get_many(keys)
        except PartialReadError as error:
            for key, value in error.found.items():
                self._resolve(key, value)
            self._fail([key for key in keys if key not in error.found], error)
        except TimeoutError:
            self._fail_all(keys, StoreUnavailableError("the store did not answer in time"))
        except Exception as error:  # callers would wait forever otherwise
            if not isinstance(error, StoreError):
                log.exception("unexpected error of the store")
            self._fail_all(keys, error)
        else:
            for key, value in zip(keys, values, strict=True):
                self._resolve(key, value)

    def _resolve(self, key: str, value: bytes | None) -> None:
        if value is not None and is_id(key) and not matches_id(key, value):
            # Responses are cached for a year. The next upload of the picture repairs the store.
            log.error("the value stored under %s is damaged: treated as missing", key)
            value = None
        if key in self._forgotten:
            self._forgotten.remove(key)
            value = None
        if value is not None:
            self._cache.put(key, value)
        results = [self._in_flight.pop(key)]
        late = self._late.pop(key, None)
        if late is not None:
            if value is None:
                self._pending[key] = late  # _on_read_done starts the next read
            else:
                results.append(late)
        for result in results:
            if not result.done():
                result.set_result(value)

    def _fail_all(self, keys: list[str], error: Exception) -> None:
        """Fail the read of ``keys`` with ``error``, and pending keys if all reads are in use.

        All reads are in use if `MAX_READS` are in flight.
        """
        pending: PendingReads = {}
        if len(self._reads) >= MAX_READS:
            # The pending keys have waited too, and their reads would most likely fail as well.
            pending, self._pending = self._pending, {}
        self._in_flight |= pending
        self._fail([*keys, *pending], error)

    def _fail(self, keys: list[str], error: Exception) -> None:
        results = [self._in_flight.pop(key) for key in keys]
        results += [self._late.pop(key) for key in keys if key in self._late]
        self._forgotten.difference_update(keys)
        log.warning("%d values could not be read: %s", len(results), error)
        log.debug("keys that could not be read: %s", ", ".join(keys))
        for result in results:
            if not result.done():
                result.set_exception(error)
