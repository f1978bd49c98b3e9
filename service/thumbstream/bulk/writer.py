"""The store, as the loop of a bulk run uses it: many values at a time, and patience.

A store that cannot be reached is tried again for `PATIENCE_S`, because a failover takes seconds and
a run takes hours. Then, or when the store is full, the run ends; nothing is lost, and it can go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from thumbstream.bulk.journal import Kept
from thumbstream.encoding import supports_curve
from thumbstream.errors import StoreUnavailableError
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Store

PATIENCE_S = 60.0
"""How long a store may be away, seconds."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

T = TypeVar("T")


class Keeper:
    """A store for code that is not asynchronous; ``stopped`` says that nobody wants to wait."""

    def __init__(self, store: Store, stopped: Callable[[], bool]) -> None:
        self._store = store
        self._stopped = stopped
        self._loop = asyncio.Runner()

    def open(self) -> None:
        """Open the store, and see that it answers. Raises `StoreError`."""
        self._loop.run(self._store.open())
        self._loop.run(self._store.ping())

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Return when all are durable. Raises `StoreError`."""
        self._patiently(lambda: self._store.put_many(values))

    def lacking(self, kept: Sequence[Kept], *, curves: bool) -> list[bool]:
        """Of which of some streams the store does not have what it should. Raises `StoreError`."""
        streams = [one.id for one in kept]
        with_curve = [one.id for one in kept if curves and supports_curve(one.length)]
        keys = [*streams, *map(curve_key, with_curve)]
        values = dict(zip(keys, self._patiently(lambda: self._store.get_many(keys)), strict=True))
        bare = {key for key in with_curve if values[curve_key(key)] is None}
        return [
            (stream := values[key]) is None or identify(stream) != key or key in bare
            for key in streams
        ]

    def close(self) -> None:
        """Close the store."""
        self._loop.run(self._store.close())
        self._loop.close()

    def _patiently(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return self._loop.run(operation())
            except StoreUnavailableError:
                if self._stopped() or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
