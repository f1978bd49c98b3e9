"""The `Store` protocol: a key-value store for streams and their rate-distortion curves.

The key of a stream is its 22-character id, and the value is the stream without any framing, so a
prefix of the value is a prefix of the stream. The key of its rate-distortion curve is ``~``
followed by the id. Values are small and immutable. A stream has a `Record`: when it was uploaded,
under which labels, and when it expires. Deleting a stream deletes its curve and record.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, Protocol, TypeVar

from thumbstream.ids import CURVE_MARK, identify, is_id
from thumbstream.telemetry.tracing import span

T = TypeVar("T")

MAX_LABEL_BYTES = 128
"""Longest label of an upload, in bytes of UTF-8."""

NO_LABEL = ""
"""Stands in a `Record` for uploads without a label."""

PAGE_SIZE = 1000
"""Most streams in one page of a listing, and in one deletion by label."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Record:
    """What a store knows about a stream besides its bytes.

    If a picture is uploaded again, the records of all its uploads are merged: the earliest
    ``created``, all ``labels``, and ``expires`` of the last upload.
    """

    created: int | None
    """Unix time of the first upload; None if an earlier version stored the stream."""
    labels: frozenset[str] = frozenset({NO_LABEL})
    """The labels of all uploads; `NO_LABEL` if there was an upload without a label."""
    expires: int | None = None
    """Unix time at which the store deletes the stream; None: never."""

    @classmethod
    def now(cls, label: str = NO_LABEL, *, retention_days: int = 0) -> Record:
        """Return the record of an upload at this moment; 0 days: the stream does not expire."""
        created = int(time.time())
        expires = created + retention_days * DAY_S if retention_days else None
        return cls(created, frozenset({label}), expires)


class StreamInfo(NamedTuple):
    """A stored stream without its bytes."""

    key: str
    length: int
    """Length of the stream in bytes."""
    record: Record


class LabelPage(NamedTuple):
    """A part of the streams of a label, in the order of their ids."""

    streams: list[StreamInfo]
    after: str | None
    """The argument ``after`` of the next page; None if this is the last one."""


class LabelRemoval(NamedTuple):
    """The result of removing a label from a part of its streams."""

    deleted: list[str]
    """Ids of the streams that had no other upload, and have been deleted."""
    more: bool
    """Whether the label may have further streams: call again."""


class ScanPage(NamedTuple):
    """A part of all keys of a store."""

    keys: list[str]
    fraction: float
    """How much of the store has been scanned, from 0 to 1, as an estimate."""


def check_label(label: str) -> str:
    """Return ``label``; raise ValueError unless it is printable text of 1 to `MAX_LABEL_BYTES`."""
    # U+FFFD stands for bytes of a URL that are not UTF-8: different labels would become one.
    printable = label.isprintable() and "\ufffd" not in label
    if not printable or not 1 <= len(label.encode()) <= MAX_LABEL_BYTES:
        raise ValueError(f"expected 1 to {MAX_LABEL_BYTES} bytes of printable text")
    return label


def is_curve_key(key: str) -> bool:
    """Return whether ``key`` is the key of a curve rather than of a stream."""
    return key.startswith(CURVE_MARK)


DEFAULT_TIMEOUT_S = 5.0
"""Longest duration of one operation, in seconds. Long on purpose: while the store is slow for a
moment, a request should be delayed rather than fail."""


class Store(Protocol):
    """A key-value store for streams and their rate-distortion curves.

    A `Store` object belongs to one event loop. Several processes may use the same database, each
    with its own `Store` object. Every coroutine may raise `StoreUnavailableError`; ``put`` and
    ``put_many`` may also raise `StoreFullError`.
    """

    name: str
    """The kind of store: ``sqlite``, ``redis`` or ``redis+cluster``."""

    async def open(self) -> None:
        """Open the database or the connections. Call this once, before the other methods."""

    async def close(self) -> None:
        """Close the database or the connections. Further calls do nothing."""

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if there is none."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return one value, or None if there is none, for each of ``keys``, in their order.

        May raise `PartialReadError`, which has the values that could be read.
        """

    async def put(self, key: str, value: bytes, record: Record | None = None) -> bool:
        """Store ``value`` unless ``key`` already has a value; return whether it was written.

        Returns once the value under ``key``, new or old, is as durable as the store can make it.
        An existing value is overwritten only if it is damaged: if ``key`` is the id of ``value``
        but not of the existing value. A curve is stored only if its stream is: a curve that is
        measured while its stream is deleted leaves no trace.

        ``record`` is merged with the record of the stream; None stands for `Record.now()`. For a
        curve it is the record of its stream.
        """

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        """Store ``values`` (key -> value) as `put` does, with few round trips and commits.

        ``records``: id -> record, for streams and their curves. A curve must follow its stream in
        ``values``. Returns the keys that were written, once all values are durable. If an error is
        raised, any part of ``values`` may have been stored; it is safe to repeat the call.
        """

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the streams with the ids ``keys``, and their curves and records.

        Unknown ids are ignored. If an error is raised, any part may have been deleted; it is safe
        to repeat the call.
        """

    async def delete_curves(self, keys: Sequence[str]) -> None:
        """Delete the curves of the streams with the ids ``keys``, and leave the streams."""

    async def info_many(self, keys: Sequence[str]) -> list[StreamInfo | None]:
        """Return the length and record of each of the streams ``keys``; None where none is."""

    async def list_label(self, label: str, *, after: str = "", limit: int = PAGE_SIZE) -> LabelPage:
        """Return up to ``limit`` streams of ``label`` with ids above ``after``, in their order.

        A stream that has the label from the first page to the last is returned exactly once,
        whatever is stored and deleted meanwhile.
        """

    async def remove_label(self, label: str, *, limit: int = PAGE_SIZE) -> LabelRemoval:
        """Remove ``label`` from up to ``limit`` streams, and delete those without other uploads.

        A stream that was also uploaded under another label, or without one, is not deleted.
        """

    def scan(self) -> AsyncIterator[ScanPage]:
        """Yield all keys, of streams and of curves, page by page.

        A key that is stored during the whole scan is yielded at least once; Redis may repeat one.
        """

    async def delete_expired(self) -> int:
        """Delete the streams whose time is over; return their number.

        Redis deletes them by itself: there this does nothing.
        """

    async def used_bytes(self) -> int:
        """Return the size of the database file, or the memory of the Redis servers, in bytes."""

    async def ping(self) -> None:
        """Raise `StoreError` if the store cannot be used at present."""


def matches_id(key: str, value: bytes) -> bool:
    """Return whether ``key`` is the id of the stream ``value``."""
    return is_id(key) and identify(value) == key


OnOperation = Callable[[str, float, BaseException | None], None]
"""A callback after each operation of a store, with three arguments: the name of the operation
(``get``, ``put``, ``delete``, ``list`` or ``ping``), its duration in seconds, and the exception it
raised, or None."""


class InstrumentedStore:
    """A `Store` that wraps ``store`` and reports the operations to ``on_operation``."""

    def __init__(self, store: Store, on_operation: OnOperation) -> None:
        self._store = store
        self._on_operation = on_operation
        self.name = store.name

    async def open(self) -> None:
        """Open the wrapped store; this is not reported."""
        await self._store.open()

    async def close(self) -> None:
        """Close the wrapped store; this is not reported."""
        await self._store.close()

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if there is none."""
        return await self._timed("get", self._store.get(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values under ``keys``; this is reported as one ``get``."""
        return await self._timed("get", self._store.get_many(keys))

    async def put(self, key: str, value: bytes, record: Record | None = None) -> bool:
        """Store ``value`` unless ``key`` already has a value; return whether it was written."""
        return await self._timed("put", self._store.put(key, value, record))

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        """Store ``values`` (key -> value); this is reported as one ``put``."""
        return await self._timed("put", self._store.put_many(values, records))

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete streams; this is reported as one ``delete``."""
        await self._timed("delete", self._store.delete_many(keys))

    async def delete_curves(self, keys: Sequence[str]) -> None:
        """Delete curves; this is reported as one ``delete``."""
        await self._timed("delete", self._store.delete_curves(keys))

    async def info_many(self, keys: Sequence[str]) -> list[StreamInfo | None]:
        """Return lengths and records; this is reported as one ``list``."""
        return await self._timed("list", self._store.info_many(keys))

    async def list_label(self, label: str, *, after: str = "", limit: int = PAGE_SIZE) -> LabelPage:
        """Return a page of the streams of a label; this is reported as ``list``."""
        return await self._timed("list", self._store.list_label(label, after=after, limit=limit))

    async def remove_label(self, label: str, *, limit: int = PAGE_SIZE) -> LabelRemoval:
        """Remove a label from streams; this is reported as ``delete``."""
        return await self._timed("delete", self._store.remove_label(label, limit=limit))

    def scan(self) -> AsyncIterator[ScanPage]:
        """Yield all keys; this is not reported."""
        return self._store.scan()

    async def delete_expired(self) -> int:
        """Delete the streams whose time is over; this is reported as ``delete``."""
        return await self._timed("delete", self._store.delete_expired())

    async def used_bytes(self) -> int:
        """Return the size of the wrapped store in bytes; this is not reported."""
        return await self._store.used_bytes()

    async def ping(self) -> None:
        """Raise `StoreError` if the store cannot be used at present."""
        await self._timed("ping", self._store.ping())

    async def _timed(self, operation: str, result: Awaitable[T]) -> T:
        start = perf_counter()
        error: BaseException | None = None
        try:
            with span(f"store {operation}"):
                return await result
        except BaseException as failure:  # cancellation as well: the operation took too long
            error = failure
            raise
        finally:
            self._on_operation(operation, perf_counter() - start, error)
