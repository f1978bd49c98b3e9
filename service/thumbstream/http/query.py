"""What a query string asks for: ``bytes=N``, ``ssim=0.8``, ``psnr=28`` and ``ids=a,b:48,c``.

Every count is an upper limit. A goal asks for the shortest prefix that reaches it, within the
limit; one goal at a time, because two would mostly name two different prefixes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs

from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import MEASURES
from thumbstream.http.refusals import BadRequestError
from thumbstream.ids import is_id

MAX_BYTES = 999_999
"""Far above every stream's length; bounds the digits that are turned into a number."""

USUAL_QUERY = 32
"""Characters. Few queries of this length are all that a page asks: what they mean is remembered."""

_COUNT = re.compile(r"[1-9][0-9]{0,5}")
_GOAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
"""No sign, no exponent: every number has few spellings, and caches go by the spelling."""

Parameters = dict[str, list[str]]


class Wanted(NamedTuple):
    """A prefix: at most ``limit`` bytes, and of these the fewest that reach ``goal``."""

    limit: int = MAX_BYTES
    goal: Target | None = None


class WantedBatch(NamedTuple):
    """Many prefixes, in order, repeats included."""

    keys: list[str]
    limits: list[int]
    """For each key the fewest of its own count and ``bytes``."""
    goal: Target | None


def wanted_prefix(query: bytes) -> Wanted:
    """What ``bytes``, ``ssim`` and ``psnr`` ask for; without them, all.

    Raises `BadRequestError`.
    """
    return _read(query) if len(query) <= USUAL_QUERY else _prefix(_parameters(query))


@lru_cache(maxsize=1024)
def _read(query: bytes) -> Wanted:
    return _prefix(_parameters(query))


def wanted_batch(query: bytes, limit: int) -> WantedBatch:
    """What ``ids=a,b:48,c`` asks for, with the parameters of `wanted_prefix`.

    ``b:48``: at most 48 bytes of b. At most ``limit`` ids. Raises `BadRequestError`.
    """
    parameters = _parameters(query)
    named = [name for value in parameters.get("ids", []) for name in value.split(",") if name]
    if not 1 <= len(named) <= limit:
        raise BadRequestError(f"ids must name 1 to {limit} streams, separated by commas")
    wanted = _prefix(parameters)
    keys, limits = [], []
    counts: dict[str, str] = {}
    for name in named:
        key, colon, count = name.partition(":")
        if not is_id(key):
            raise BadRequestError(f"ids: {key[:64]!r} is no id; an id has 22 base64url characters")
        if colon and _COUNT.fullmatch(count) is None:
            raise BadRequestError(
                f"ids: after {key}: stands {count[:16]!r}, not a whole number from 1 to {MAX_BYTES}"
            )
        if counts.setdefault(key, count) != count:
            raise BadRequestError(f"ids: {key} is asked for with two different byte counts")
        keys.append(key)
        limits.append(min(int(count), wanted.limit) if count else wanted.limit)
    return WantedBatch(keys, limits, wanted.goal)


def _prefix(parameters: Parameters) -> Wanted:
    goals = [measure for measure in MEASURES if measure in parameters]
    if len(goals) > 1:
        raise BadRequestError(f"ask for one of {' and '.join(goals)}, not for both")
    return Wanted(
        _count(parameters) if "bytes" in parameters else MAX_BYTES,
        _goal(parameters, goals[0]) if goals else None,
    )


def _count(parameters: Parameters) -> int:
    values = parameters["bytes"]
    if len(values) > 1 or _COUNT.fullmatch(values[0]) is None:
        raise BadRequestError(f"bytes must be one whole number from 1 to {MAX_BYTES}")
    return int(values[0])


def _goal(parameters: Parameters, measure: str) -> Target:
    values = parameters[measure]
    if len(values) > 1 or _GOAL.fullmatch(values[0]) is None:
        raise BadRequestError(f"{measure} must be one decimal number such as 0.8 or 28")
    try:
        return Target(measure, float(values[0]))
    except ValueError as error:
        raise BadRequestError(f"{measure}: {error}") from None


def _parameters(query: bytes) -> Parameters:
    return parse_qs(query.decode("latin-1"), keep_blank_values=True)
