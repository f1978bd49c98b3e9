"""Request ids, which responses and log lines contain.

The context variable `current` identifies the current request; tasks and worker threads that are
started during a request inherit the variable. Its value is the ASGI scope and not the request id,
because an id is generated, or read from the header fields, only when a response or a log line needs
an id: most requests need none.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

_VALID = re.compile(r"[\x21-\x7e]{1,128}")
"""Ids that are accepted from a client or proxy: 1 to 128 printable ASCII characters, no spaces."""

HEADER = b"x-request-id"
_MEMBER = "thumbstream.request_id"

current: ContextVar[MutableMapping[str, Any] | None] = ContextVar("request", default=None)
"""The ASGI scope of the current request; None outside of requests."""


def request_id(scope: MutableMapping[str, Any]) -> str:
    """Return the id of the request with the ASGI scope ``scope``, and store the id in the scope.

    This is the value of the header field X-Request-ID if that is valid, else a new random id.
    """
    found = scope.get(_MEMBER)
    if found is None:
        given = next((v.decode("latin-1") for n, v in scope["headers"] if n == HEADER), "")
        found = scope[_MEMBER] = given if _VALID.fullmatch(given) else uuid4().hex
    return str(found)


def current_id() -> str | None:
    """Return the id of the current request; None outside of requests."""
    scope = current.get()
    return None if scope is None else request_id(scope)
