"""What a store of streams promises: small immutable values under short keys.

Under a 22-character id lies the stream and nothing else, so that a prefix of a value is a prefix of
the stream; under ``~`` and the id, its rate-distortion curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Store(Protocol):
    """Where streams live. One object serves one event loop; several processes may share a store.

    Every coroutine may raise `StoreUnavailableError`; ``put`` may raise `StoreFullError` as well.
    """

    name: str
    """``sqlite``, ``redis`` or ``redis+cluster``."""

    async def open(self) -> None:
        """Acquire what the other methods need. Call once, before them."""

    async def close(self) -> None:
        """Finish what has begun and release everything. Harmless when repeated."""

    async def get(self, key: str) -> bytes | None:
        """The stream under ``key``, or None."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The streams under ``keys``, None for those unknown: one answer a key, in their order.

        May raise `PartialReadError`.
        """

    async def put(self, key: str, value: bytes) -> bool:
        """Keep ``value`` under ``key`` unless there is one: True if it is new.

        Returns only when the stream under ``key``, be it this one or the older one, is as durable
        as the store can make it. A second put of a key never changes its stream.
        """

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        """`put` of each, in few round trips and commits; returns when all are durable.

        After an error some are kept and some are not; putting all again is safe.
        """

    async def ping(self) -> None:
        """Return if the store answers."""
