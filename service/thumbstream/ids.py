"""Names of streams: the content id.

An id is the base64url form (no padding) of a 128-bit BLAKE2b hash of the whole stream: equal
streams have equal ids, and an id never comes to mean other bytes. 22 characters carry 132 bits, so
the last one has only four possible values; the pattern says so, and every id that could not have
been issued is refused before a store is asked.

The rate-distortion curve of a stream lies in the same store under `curve_key` of its id, which is
no id: what reads ids cannot be made to serve a curve.
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
"""Before an id: the key of its curve. Not base64url, so no id begins with it."""


def identify(stream: bytes) -> str:
    """The 22-character id of a whole stream."""
    digest = blake2b(stream, digest_size=DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def is_id(text: str) -> bool:
    """Whether `identify` could have returned ``text``."""
    return ID_PATTERN.fullmatch(text) is not None


def curve_key(key: str) -> str:
    """Where the store keeps the curve of the stream with the id ``key``."""
    return CURVE_MARK + key
