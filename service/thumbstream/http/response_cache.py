"""A cache of complete responses that never change, until their stream is deleted.

Most requests are a plain GET of a prefix that was requested before. The header fields and body of
its response are the same every time, so the response is built once and found by path and query.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from starlette.types import Scope

from thumbstream.http.responses import RawResponse

MAX_CACHE_BYTES = 24 * 1024 * 1024
"""Limit of the memory of all entries, each with `ENTRY_OVERHEAD`: 14,000 responses of 64 bytes."""

MAX_CACHED_BODY_BYTES = 1024
"""Limit of the body of a cached response; nearly every stream is shorter."""

ENTRY_OVERHEAD = 1100
"""Bytes of an entry other than body, path, query and `CachedResponse.wire`: header fields, tuples,
the dict slot."""

MAX_AGE_S = 30.0
"""How long a response is used from the cache, in seconds: another process may have deleted its
stream. The stream itself may have been in memory for as long before."""

_CONDITIONAL = frozenset({b"if-none-match", b"range"})
"""Request header fields with which a GET is not plain: its response may differ."""

Key = tuple[str, bytes]


class CachedResponse(NamedTuple):
    """A response, and the number of bytes of the stream after its body."""

    response: RawResponse
    omitted_bytes: int
    since: float
    """`time.monotonic` when the response was made."""
    wire: bytes
    """The response in `wire_format`."""


class ResponseCache:
    """LRU cache of 200 responses to plain GETs, by path and query.

    ``limit``: bytes of memory; 0 disables the cache.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, CachedResponse] = OrderedDict()
        self.size = 0  # sum of _cost over _entries; at most _limit between calls

    def find(self, scope: Scope) -> CachedResponse | None:
        """The cached response to an ASGI request; None if there is none or the GET is not plain."""
        if scope["method"] != "GET":
            return None
        key = scope["path"], scope["query_string"]
        cached = self._entries.get(key)
        if cached is None or monotonic() - cached.since > MAX_AGE_S:
            return None
        for name, _ in scope["headers"]:
            if name in _CONDITIONAL:
                return None
        self._entries.move_to_end(key)
        return cached

    def put(self, path: str, query: bytes, cached: CachedResponse) -> None:
        """Add an immutable response, unless its body is too long; evict the least recently used."""
        key = path, query
        cost = _cost(key, cached)
        if len(cached.response.body) > MAX_CACHED_BODY_BYTES or cost > self._limit:
            return
        if key not in self._entries:
            self.size += cost
        self._entries[key] = cached
        self._entries.move_to_end(key)
        while self.size > self._limit:
            self.size -= _cost(*self._entries.popitem(last=False))

    def forget(self, ids: Iterable[str]) -> None:
        """Remove all responses with prefixes of the streams ``ids``, which have been deleted."""
        deleted = set(ids)
        # The id is a segment of the path, in /thumb/{id} and in /t/{id}/{bytes}.
        for key in [key for key in self._entries if not deleted.isdisjoint(key[0].split("/"))]:
            self.size -= _cost(key, self._entries.pop(key))


def _cost(key: Key, cached: CachedResponse) -> int:
    path, query = key
    length = len(cached.response.body) + len(cached.wire)
    return ENTRY_OVERHEAD + len(path) + len(query) + length
