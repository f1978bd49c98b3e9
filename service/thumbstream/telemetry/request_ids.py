"""The id of a request, for its answer and for every log line that is written on its behalf.

The request that is being served is a context variable, so tasks and worker threads that are started
for it inherit it. It holds the ASGI scope and not the id: an id is read from the header fields, or
invented, only when a log line or an answer needs it, and requests on the hot path need none.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""An id that a client or a proxy may choose: printable, short, nothing that splits a log line."""

FIELD = b"x-request-id"
_KEPT = "thumbstream.request_id"

current: ContextVar[MutableMapping[str, Any] | None] = ContextVar("request", default=None)
"""The ASGI scope of the request that this code works for."""


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The id of the request: the client's own if it is fit, else a new one; always the same."""
    kept = scope.get(_KEPT)
    if kept is None:
        given = next((v.decode("latin-1") for n, v in scope["headers"] if n == FIELD), "")
        kept = scope[_KEPT] = given if REQUEST_ID.fullmatch(given) else uuid4().hex
    return str(kept)


def current_id() -> str | None:
    """The id of the request that this code works for; None outside of requests."""
    scope = current.get()
    return None if scope is None else request_id(scope)
