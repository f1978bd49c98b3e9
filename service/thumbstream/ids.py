"""Content ids of streams.

An id is the base64url form (no padding) of a 128-bit BLAKE2b hash of the full stream: equal streams
have equal ids, and an id never comes to mean other bytes. 22 characters hold 132 bits, so the last
one has only four possible values; `ID_PATTERN` says so, and ids that `identify` cannot return are
rejected without reading a store.

The rate-distortion curve of a stream is in the same store under `curve_key` of its id, which is not
an id: no route that reads ids can return a curve.
"""

from __future__ import annotations

import base64
import re
from hashlib import blake2b

DIGEST_BYTES = 16
"""128 bits: two of 2^50 streams share an id with a probability below 2^-28."""

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""Use with ``fullmatch``."""

CURVE_MARK = "~"
"""Prefix of an id in the key of its curve. Not base64url, so no id begins with it."""


def identify(stream: bytes) -> str:
    """The 22-character id of a full stream."""
    digest = blake2b(stream, digest_size=DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def is_id(text: str) -> bool:
    """Whether `identify` could have returned ``text``."""
    return ID_PATTERN.fullmatch(text) is not None


def curve_key(key: str) -> str:
    """The store's key of the curve of the stream with the id ``key``."""
    return CURVE_MARK + key
