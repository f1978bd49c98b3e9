"""The `Store` protocol: small immutable values under short keys.

The value under a 22-character id is the stream alone, so a prefix of the value is a prefix of the
stream; the value under ``~`` and the id is its rate-distortion curve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Protocol, TypeVar

from thumbstream.ids import identify, is_id
from thumbstream.telemetry.tracing import span

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 5.0
"""Longest duration of one operation, seconds. Long on purpose: a store that is slow for a moment
should delay a request rather than fail it."""


class Store(Protocol):
    """Storage of streams. An object belongs to one event loop; processes may share a store.

    Every coroutine may raise `StoreUnavailableError`; ``put`` may also raise `StoreFullError`.
    """

    name: str
    """``sqlite``, ``redis`` or ``redis+cluster``."""

    async def open(self) -> None:
        """Acquire what the other methods need. Call once, before them."""

    async def close(self) -> None:
        """Finish the operations in flight and release everything. May be called again."""

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``, None for unknown keys: one result a key, in their order.

        May raise `PartialReadError`.
        """

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` under ``key`` unless there is one: True if it is new.

        Returns once the value under ``key``, this or the older one, is as durable as the store can
        make it. A second put does not change a value, unless the key is an id that matches the new
        value and not the old one: a damaged stream is repaired.
        """

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each, in few round trips and commits; returns when all are durable.

        After an error some may be stored and some not; calling it again is safe.
        """

    async def ping(self) -> None:
        """Raise an error unless the store can be used."""


def matches_id(key: str, value: bytes) -> bool:
    """Whether ``key`` is the id of the stream ``value``."""
    return is_id(key) and identify(value) == key


OnOperation = Callable[[str, float, BaseException | None], None]
"""Called with the operation (``get``, ``put``, ``ping``), its seconds, and its error or None."""


class InstrumentedStore:
    """A `Store` that reports every operation of another one to ``on_operation``."""

    def __init__(self, store: Store, on_operation: OnOperation) -> None:
        self._store = store
        self._on_operation = on_operation
        self.name = store.name

    async def open(self) -> None:
        """Open the store."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""
        return await self._timed("get", self._store.get(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``; reported as one operation."""
        return await self._timed("get", self._store.get_many(keys))

    async def put(self, key: str, value: bytes) -> bool:
        """Store ``value`` under ``key`` unless there is one: True if it is new."""
        return await self._timed("put", self._store.put(key, value))

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store all ``values``; reported as one operation."""
        await self._timed("put", self._store.put_many(values))

    async def ping(self) -> None:
        """Raise an error unless the store can be used."""
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
