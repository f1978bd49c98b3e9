"""Rate-distortion curves as they were stored, read again.

A curve that cannot be read is told to the log and then is as good as none: streams are served all
the same.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.errors import CurveError

log = logging.getLogger(__name__)

KEPT = 1024
"""Curves kept as objects, about 2 KB each: reading one costs more than the rest of an answer."""


def read_curve(stored: bytes | None) -> RateCurve | None:
    """The curve, or None when there is none."""
    return None if stored is None else _read(stored)


@lru_cache(maxsize=KEPT)
def _read(stored: bytes) -> RateCurve | None:
    try:
        return RateCurve.from_bytes(stored)
    except CurveError as error:
        log.warning("a stored curve of %d bytes cannot be read: %s", len(stored), error)
        return None
