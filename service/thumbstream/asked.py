"""What a query string asks for: ``bytes=N`` and ``ids=a,b,c``."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from thumbstream.ids import is_id
from thumbstream.refusals import BadRequestError

MAX_BYTES = 999_999
"""Far above every stream's length; bounds the digits that are turned into a number."""

_ONLY_BYTES = re.compile(rb"bytes=([1-9][0-9]{0,5})")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def wanted_bytes(query: bytes) -> int:
    """N of ``bytes=N``; without it, `MAX_BYTES`: all. Raises `BadRequestError`."""
    if not query:
        return MAX_BYTES
    usual = _ONLY_BYTES.fullmatch(query)
    if usual is not None:
        return int(usual[1])
    values = _values(query, "bytes")
    if not values:
        return MAX_BYTES
    if len(values) > 1 or _NUMBER.fullmatch(values[0]) is None:
        raise BadRequestError(f"bytes must be one whole number from 1 to {MAX_BYTES}")
    return int(values[0])


def wanted_ids(query: bytes, limit: int) -> list[str]:
    """The ids of ``ids=a,b,c``, in order, repeats included. Raises `BadRequestError`."""
    ids = [key for value in _values(query, "ids") for key in value.split(",") if key]
    if not 1 <= len(ids) <= limit:
        raise BadRequestError(f"ids must name 1 to {limit} streams, separated by commas")
    wrong = next((key for key in ids if not is_id(key)), None)
    if wrong is not None:
        raise BadRequestError(f"ids: {wrong[:64]!r} is no id; an id has 22 base64url characters")
    return ids


def _values(query: bytes, name: str) -> list[str]:
    return parse_qs(query.decode("latin-1"), keep_blank_values=True).get(name, [])
