"""A store that tells how long each of its operations took, and what it failed with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import TypeVar

from thumbstream.storage.base import Store
from thumbstream.telemetry.tracing import span

T = TypeVar("T")

Told = Callable[[str, float, BaseException | None], None]
"""Called with the operation (``get``, ``put``, ``ping``), its seconds, and its error or None."""


class MeasuredStore:
    """A `Store` in front of another one; every operation is told to ``tell``."""

    def __init__(self, store: Store, tell: Told) -> None:
        self._store = store
        self._tell = tell
        self.name = store.name

    async def open(self) -> None:
        """Open the store behind."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store behind."""
        await self._store.close()

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""
        return await self._timed("get", self._store.get(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``: one operation, and one measurement."""
        return await self._timed("get", self._store.get_many(keys))

    async def put(self, key: str, value: bytes) -> bool:
        """Keep ``value`` under ``key`` unless there is one: True if it is new."""
        return await self._timed("put", self._store.put(key, value))

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """Keep all ``values``: one operation, and one measurement."""
        await self._timed("put", self._store.put_many(values))

    async def ping(self) -> None:
        """Return if the store answers."""
        await self._timed("ping", self._store.ping())

    async def _timed(self, operation: str, answer: Awaitable[T]) -> T:
        started = perf_counter()
        error: BaseException | None = None
        try:
            with span(f"store {operation}"):
                return await answer
        except BaseException as failure:  # a cancelled operation is one that took too long
            error = failure
            raise
        finally:
            self._tell(operation, perf_counter() - started, error)
