"""Request header fields as pure functions (RFC 9110): ranges, conditions, negotiation."""

from __future__ import annotations

import re
from typing import NamedTuple

from thumbstream.images.write import MEDIA_TYPES, PictureFormat

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)
_ZERO_QUALITY = re.compile(r"q\s*=\s*0(\.0*)?\s*$")


class Span(NamedTuple):
    """A part of a representation: ``start`` <= index < ``stop``; empty: not satisfiable."""

    start: int
    stop: int


def parse_range(field: str, length: int) -> Span | None:
    """The part that a Range field selects of a representation of ``length`` >= 1 bytes (14.2).

    None: send the full representation (another unit, a malformed field, or several ranges, which a
    server may ignore). An empty `Span`: 416.
    """
    match = _ONE_RANGE.fullmatch(field.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # a suffix: the last N bytes
        return Span(max(0, length - int(match[2])), length)
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else length
    if stop <= start and match[2]:
        return None
    return Span(start, min(stop, length)) if start < length else Span(length, length)


def matches_any(field: str, etag: str) -> bool:
    """Whether If-None-Match names ``etag``, by the weak comparison of this field (13.1.2)."""
    if field.strip() == "*":
        return True
    opaque = etag.removeprefix("W/")
    return any(given.strip().removeprefix("W/") == opaque for given in field.split(","))


def preferred_format(accept: str) -> PictureFormat:
    """The picture format with the highest quality value in an Accept field (12.5.1).

    Ties go to the format with the most specific range, then to the first of the table (PNG). A
    client that accepts none of them gets PNG too: a picture is more useful to it than an error.
    """
    weights = {form: _weight(accept, MEDIA_TYPES[form].partition(";")[0]) for form in PictureFormat}
    return max(weights, key=weights.__getitem__)


def accepts_gzip(field: str) -> bool:
    """Whether an Accept-Encoding field permits gzip (12.5.3)."""
    allowed = {
        name.strip(): _ZERO_QUALITY.search(parameters) is None
        for name, _, parameters in (item.partition(";") for item in field.lower().split(","))
    }
    return allowed.get("gzip", allowed.get("*", False))


def _weight(accept: str, media_type: str) -> tuple[float, int]:
    """Quality of a type, and how specific the range is that sets it; (0, 0) without one."""
    main = media_type.partition("/")[0]
    covering = {media_type: 3, f"{main}/*": 2, "*/*": 1}
    specificity, quality = 0, 0.0
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if covering.get(name, 0) > specificity:
            specificity, quality = covering[name], _quality(parameters)
    return (quality, specificity) if quality else (0.0, 0)


def _quality(parameters: list[str]) -> float:
    value = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
