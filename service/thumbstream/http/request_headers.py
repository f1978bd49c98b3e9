"""Parses request header fields (RFC 9110): Range, If-None-Match, Accept, Accept-Encoding."""

from __future__ import annotations

import re
from typing import NamedTuple

from thumbstream.images.write import MEDIA_TYPES, PictureFormat

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)
MAX_LISTED = 64
"""Limit of the list members that are read in If-None-Match and Accept-Encoding."""

MAX_ACCEPT_BYTES = 2048
"""Limit of an Accept field; a longer field is ignored, as no client needs one."""

_ZERO_QUALITY = re.compile(r"q\s*=\s*0(\.0*)?\s*$")


class Span(NamedTuple):
    """A range of bytes, ``start`` <= index < ``stop``. An empty range is not satisfiable."""

    start: int
    stop: int


def parse_range(field: str, length: int) -> Span | None:
    """The bytes that a Range field selects from ``length`` >= 1 bytes (RFC 9110, 14.2).

    None means: send all bytes, because the field has another unit, is malformed, or has several
    ranges, which a server may ignore. An empty `Span` means: respond 416.
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
    """Whether an If-None-Match field names ``etag``, by weak comparison (RFC 9110, 13.1.2)."""
    if field.strip() == "*":
        return True
    opaque = etag.removeprefix("W/")
    return any(given.strip().removeprefix("W/") == opaque for given in field.split(",", MAX_LISTED))


def preferred_format(accept: str) -> PictureFormat:
    """The picture format with the highest quality value in an Accept field (RFC 9110, 12.5.1).

    Among equal values, the format with the most specific media range wins, then the first of
    `PictureFormat`. A client that accepts no format gets PNG: a picture helps more than an error.
    """
    ranges = _accepted_ranges(accept) if len(accept) <= MAX_ACCEPT_BYTES else {}
    weights = {form: _weight(ranges, MEDIA_TYPES[form].partition(";")[0]) for form in PictureFormat}
    return max(weights, key=weights.__getitem__)


def accepts_gzip(field: str) -> bool:
    """Whether an Accept-Encoding field permits gzip (RFC 9110, 12.5.3)."""
    allowed = {
        name.strip(): _ZERO_QUALITY.search(parameters) is None
        for name, _, parameters in (
            item.partition(";") for item in field.lower().split(",", MAX_LISTED)
        )
    }
    return allowed.get("gzip", allowed.get("*", False))


def _accepted_ranges(accept: str) -> dict[str, float]:
    """Quality value by media range; the first counts where a range is listed twice."""
    ranges: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name not in ranges:
            ranges[name] = _quality(parameters)
    return ranges


def _weight(ranges: dict[str, float], media_type: str) -> tuple[float, int]:
    """Quality value of ``media_type``, and specificity of the range that sets it; else (0, 0)."""
    main = media_type.partition("/")[0]
    for specificity, name in ((3, media_type), (2, f"{main}/*"), (1, "*/*")):
        if name in ranges:
            return (ranges[name], specificity) if ranges[name] else (0.0, 0)
    return (0.0, 0)


def _quality(parameters: list[str]) -> float:
    value = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
