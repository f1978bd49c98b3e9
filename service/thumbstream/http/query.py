"""Query strings of stream reads: ``bytes=N``, ``ssim=0.8``, ``psnr=28``, ``ids=a,b:48,c``.

Every byte count is an upper limit. A target (``ssim`` or ``psnr``) selects the shortest prefix that
reaches the target, within the limit. A query has at most one target, because two targets mostly
select different prefixes. An unknown parameter is an error: a misspelt ``byte=64`` would otherwise
get the full stream, cacheable for a year.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs

from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import MEASURES
from thumbstream.http.errors import BadRequestError
from thumbstream.ids import is_id

PREFIX_SIZES = (16, 32, 64, 128, 256, 512)
"""Byte counts that ``/t/{id}/{bytes}`` accepts: only a few, so that a CDN stores few copies."""

MAX_BYTES = 999_999
"""Highest byte count in a query, far above the length of every stream."""

MAX_IDS = 64
"""Limit of the ids in one request of ``/thumbs`` or ``/thumbs.json``."""

SIGNATURE_PARAMETERS = frozenset({"exp", "sig"})
"""Parameters of signed URLs. Routes ignore both if reads are not signed, so that signing can be
switched off while signed URLs are in use."""

CACHE_BUSTER = "_"
"""A parameter that every route ignores: a new value bypasses caches, as it makes a new URL."""

IGNORED_PARAMETERS = SIGNATURE_PARAMETERS | {CACHE_BUSTER}

CACHED_QUERY_CHARACTERS = 32
"""Parsed queries of up to this length are cached: few different ones occur."""

COUNT = re.compile(r"[1-9][0-9]{0,5}")
"""A byte count, without sign or leading zero: every number has one spelling."""
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
"""The value of a target, without sign or exponent: fewer spellings make fewer entries in caches."""

_PREFIX_PARAMETERS = frozenset({"bytes", *MEASURES})

Parameters = dict[str, list[str]]


class PrefixQuery(NamedTuple):
    """Selects the shortest prefix that reaches ``target``, or ``limit`` bytes if none does."""

    limit: int = MAX_BYTES
    target: Target | None = None


class BatchQuery(NamedTuple):
    """Selects a prefix of each of ``ids``, which may contain an id more than once."""

    ids: list[str]
    limits: list[int]
    """For each id, the lower of its own byte count and the parameter ``bytes``."""
    target: Target | None


def parse_prefix_query(query: bytes) -> PrefixQuery:
    """Parses ``bytes`` and ``ssim`` or ``psnr``; without parameters, selects the full stream.

    Raises `BadRequestError`.
    """
    if len(query) <= CACHED_QUERY_CHARACTERS:
        return _cached_prefix_query(query)
    return _prefix_query(_parse(query, _PREFIX_PARAMETERS))


@lru_cache(maxsize=1024)
def _cached_prefix_query(query: bytes) -> PrefixQuery:
    return _prefix_query(_parse(query, _PREFIX_PARAMETERS))


def parse_batch_query(query: bytes) -> BatchQuery:
    """Parses ``ids=a,b:48,c`` together with the parameters of `parse_prefix_query`.

    ``b:48`` means at most 48 bytes of the stream b. Raises `BadRequestError`.
    """
    parameters = _parse(query, _PREFIX_PARAMETERS | {"ids"})
    entries = [entry for value in parameters.get("ids", []) for entry in value.split(",") if entry]
    if not 1 <= len(entries) <= MAX_IDS:
        raise BadRequestError(f"ids: expected 1 to {MAX_IDS} ids, separated by commas")
    limit, target = _prefix_query(parameters)
    ids, limits = [], []
    counts: dict[str, str] = {}
    for entry in entries:
        key, colon, count = entry.partition(":")
        if not is_id(key):
            raise BadRequestError(f"ids: expected 22 base64url characters, got {key[:64]!r}")
        if colon and COUNT.fullmatch(count) is None:
            raise BadRequestError(
                f"ids: expected an integer from 1 to {MAX_BYTES} after {key}:, got {count[:16]!r}"
            )
        if counts.setdefault(key, count) != count:
            raise BadRequestError(f"ids: {key} has two different byte counts")
        ids.append(key)
        limits.append(min(int(count), limit) if count else limit)
    return BatchQuery(ids, limits, target)


def check_no_query(query: bytes) -> None:
    """Raises `BadRequestError` for any query parameter that is not in `IGNORED_PARAMETERS`."""
    _parse(query, frozenset())


def check_parameters(names: Set[str], known: Set[str]) -> None:
    """Raises `BadRequestError` for a name that is in neither ``known`` nor `IGNORED_PARAMETERS`."""
    for name in sorted(names - known - IGNORED_PARAMETERS):
        expected = f"expected one of {', '.join(sorted(known))}" if known else "expected none"
        raise BadRequestError(f"unknown parameter {name[:64]!r}: {expected}")


def _parse(query: bytes, known: Set[str]) -> Parameters:
    parameters = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    check_parameters(parameters.keys(), known)
    return parameters


def _prefix_query(parameters: Parameters) -> PrefixQuery:
    measures = [measure for measure in MEASURES if measure in parameters]
    if len(measures) > 1:
        raise BadRequestError(f"{' and '.join(measures)} are mutually exclusive")
    return PrefixQuery(
        _byte_count(parameters) if "bytes" in parameters else MAX_BYTES,
        _target(parameters, measures[0]) if measures else None,
    )


def _byte_count(parameters: Parameters) -> int:
    values = parameters["bytes"]
    if len(values) > 1 or COUNT.fullmatch(values[0]) is None:
        raise BadRequestError(f"bytes: expected one integer from 1 to {MAX_BYTES}")
    return int(values[0])


def _target(parameters: Parameters, measure: str) -> Target:
    values = parameters[measure]
    if len(values) > 1 or _DECIMAL.fullmatch(values[0]) is None:
        raise BadRequestError(
            f"{measure}: expected one number such as 0.8 or 28, with at most six decimals"
        )
    try:
        return Target(measure, float(values[0]))
    except ValueError as error:
        raise BadRequestError(f"{measure}: {error}") from None
