"""Cached responses that never change, ready to be sent again.

Most requests are a plain GET of a prefix that was requested before. Its header fields and body are
the same every time, so they are built once and found by path and query.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from starlette.types import Scope

from thumbstream.http.responses import RawResponse

MAX_CACHE_BYTES = 8 * 1024 * 1024
"""Of all entries, with `ENTRY_OVERHEAD` for each."""

MAX_CACHED_BODY_BYTES = 1024
"""Longer than nearly every stream."""

ENTRY_OVERHEAD = 1200
"""Memory of an entry besides body, path and query, bytes: header fields, tuples, the dict slot."""

_CONDITIONAL = frozenset({b"if-none-match", b"range"})
"""Header fields that make a request more than a plain GET."""

Key = tuple[str, bytes]


class CachedResponse(NamedTuple):
    """A response, and how many bytes of the stream it leaves out."""

    response: RawResponse
    omitted_bytes: int


class ResponseCache:
    """LRU cache of 200 responses to plain GETs, by path and query; bounded by ``limit`` bytes.

    0 disables it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, CachedResponse] = OrderedDict()
        self.size = 0  # sum of _cost over _entries; at most _limit between calls

    def find(self, scope: Scope) -> CachedResponse | None:
        """The response to a request (ASGI), if it is a plain GET and was sent before."""
        if scope["method"] != "GET":
            return None
        key = scope["path"], scope["query_string"]
        cached = self._entries.get(key)
        if cached is None:
            return None
        for name, _ in scope["headers"]:
            if name in _CONDITIONAL:
                return None
        self._entries.move_to_end(key)
        return cached

    def put(self, path: str, query: bytes, cached: CachedResponse) -> None:
        """Add an immutable response, unless its body is too long, and evict what no longer fits."""
        key = path, query
        cost = _cost(key, cached)
        if len(cached.response.body) > MAX_CACHED_BODY_BYTES or cost > self._limit:
            return
        if key not in self._entries:
            self.size += cost
        self._entries[key] = cached
        while self.size > self._limit:
            self.size -= _cost(*self._entries.popitem(last=False))


def _cost(key: Key, cached: CachedResponse) -> int:
    path, query = key
    return ENTRY_OVERHEAD + len(path) + len(query) + len(cached.response.body)
