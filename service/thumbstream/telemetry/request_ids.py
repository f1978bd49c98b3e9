"""The id of a request, for its response and for every log line written for it.

The current request is a context variable, so tasks and worker threads that are started for it
inherit it. It holds the ASGI scope and not the id: an id is read from the header fields, or
generated, only when a log line or a response needs it, and requests on the hot path need none.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

_VALID = re.compile(r"[\x21-\x7e]{1,128}")
"""An id that a client or a proxy may choose: printable, short, no line breaks."""

HEADER = b"x-request-id"
_MEMBER = "thumbstream.request_id"

current: ContextVar[MutableMapping[str, Any] | None] = ContextVar("request", default=None)
"""The ASGI scope of the current request."""


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The id of a request: the client's own if it is valid, else a new one, stored in the scope."""
    found = scope.get(_MEMBER)
    if found is None:
        given = next((v.decode("latin-1") for n, v in scope["headers"] if n == HEADER), "")
        found = scope[_MEMBER] = given if _VALID.fullmatch(given) else uuid4().hex
    return str(found)


def current_id() -> str | None:
    """The id of the current request; None outside of requests."""
    scope = current.get()
    return None if scope is None else request_id(scope)
