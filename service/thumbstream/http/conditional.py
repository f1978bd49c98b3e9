"""The rules of HTTP that cached bytes need, as pure functions (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """A part of a representation: ``start`` <= index < ``stop``; empty: not satisfiable."""

    start: int
    stop: int


def parse_range(field: str, length: int) -> Span | None:
    """The part that a Range field asks for, of a representation of ``length`` >= 1 bytes.

    None: answer with the whole (another unit, a malformed field, or several ranges, which a server
    may ignore). An empty `Span`: 416.
    """
    match = _ONE_RANGE.fullmatch(field.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # a suffix: the last so many bytes
        return Span(max(0, length - int(match[2])), length)
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else length
    if stop <= start and match[2]:
        return None
    return Span(start, min(stop, length)) if start < length else Span(length, length)


def matches_any(field: str, etag: str) -> bool:
    """Whether If-None-Match names ``etag`` (weak comparison, as the rule is for this field)."""
    if field.strip() == "*":
        return True
    wanted = etag.removeprefix("W/")
    return any(given.strip().removeprefix("W/") == wanted for given in field.split(","))
