"""The `Store` protocol: a key-value store for streams and their rate-distortion curves.

The key of a stream is its 22-character id, and the value is the stream without any framing, so a
prefix of the value is a prefix of the stream. The key of its rate-distortion curve is ``~``
followed by the id. Values are small and immutable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Protocol, TypeVar

from thumbstream.ids import identify, is_id
from thumbstream.telemetry.tracing import span

T = TypeVar("T")

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

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` unless ``key`` already has a value; return whether it was written.

        Returns once the value under ``key``, new or old, is as durable as the store can make it.
        An existing value is overwritten only if it is damaged: if ``key`` is the id of ``value``
        but not of the existing value.
        """

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` (key -> value) as `put` does, with few round trips and commits.

        Returns once all values are durable. If an error is raised, any part of ``values`` may have
        been stored; it is safe to repeat the call.
        """

    async def ping(self) -> None:
        """Raise `StoreError` if the store cannot be used at present."""


def matches_id(key: str, value: bytes) -> bool:
    """Return whether ``key`` is the id of the stream ``value``."""
    return is_id(key) and identify(value) == key


OnOperation = Callable[[str, float, BaseException | None], None]
"""A callback after each operation of a store, with three arguments: the name of the operation
(``get``, ``put`` or ``ping``), its duration in seconds, and the exception it raised, or None."""


class InstrumentedStore:
    """A `Store` that wraps ``store`` and reports each get, put and ping to ``on_operation``."""

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

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` unless ``key`` already has a value; return whether it was written."""
        return await self._timed("put", self._store.put(key, value))

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` (key -> value); this is reported as one ``put``."""
        await self._timed("put", self._store.put_many(values))

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
