"""Whole answers that never change, ready to be sent again.

The commonest request by far is a plain GET of a prefix that was asked for before. Its header fields
and body are the same every time, so they are built once and found by path and query.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from starlette.types import Scope

from thumbstream.http.replies import Reply

READY_REPLIES = 4096
"""How many are kept; with `READY_BYTES` each that is 10 MB at most, header fields included."""

READY_BYTES = 1024
"""The longest body that is kept: longer than nearly every stream."""

_CONDITIONAL = frozenset({b"if-none-match", b"range"})
"""Fields with which a request is not a plain one."""


class Ready(NamedTuple):
    """An answer, and the bytes of the stream that it leaves out."""

    reply: Reply
    left_out: int


class ReadyReplies:
    """(path, query) -> answer of status 200 to a plain GET; the ``limit`` used last are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, bytes], Ready] = OrderedDict()

    def find(self, scope: Scope) -> Ready | None:
        """The answer to a request (ASGI), if it is a plain GET that was answered before."""
        if scope["method"] != "GET":
            return None
        key = scope["path"], scope["query_string"]
        ready = self._kept.get(key)
        if ready is None:
            return None
        for name, _ in scope["headers"]:
            if name in _CONDITIONAL:
                return None
        self._kept.move_to_end(key)
        return ready

    def keep(self, path: str, query: bytes, ready: Ready) -> None:
        """Keep an answer that will be right for ever, if it is not too long."""
        if self._limit and len(ready.reply.body) <= READY_BYTES:
            self._kept[path, query] = ready
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
