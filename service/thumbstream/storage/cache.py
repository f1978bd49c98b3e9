"""A least-recently-used cache, bounded by the bytes it holds.

Streams never change under their id, nor curves under theirs, so nothing here is ever invalidated,
only pushed out. Used on the event loop only: no lock.
"""

from __future__ import annotations

from collections import OrderedDict

ENTRY_OVERHEAD = 200
"""Bytes a stream costs beside its own: two Python objects' headers, the id, the dict entry."""


class StreamCache:
    """id -> stream, at most ``limit`` bytes with overheads; 0 keeps nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._streams: OrderedDict[str, bytes] = OrderedDict()
        self.size = 0  # the sum of _cost over _streams, never above _limit between two calls

    def get(self, key: str) -> bytes | None:
        """The stream, which becomes the one used last; None when it is not here."""
        stream = self._streams.get(key)
        if stream is not None:
            self._streams.move_to_end(key)
        return stream

    def put(self, key: str, stream: bytes) -> None:
        """Keep a stream, and push out those used longest ago that no longer fit beside it."""
        if key in self._streams or _cost(stream) > self._limit:
            return
        self._streams[key] = stream
        self.size += _cost(stream)
        while self.size > self._limit:
            _, oldest = self._streams.popitem(last=False)
            self.size -= _cost(oldest)


def _cost(stream: bytes) -> int:
    return len(stream) + ENTRY_OVERHEAD
