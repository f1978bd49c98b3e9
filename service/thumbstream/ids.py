"""Content ids of streams.

An id is the base64url form (no padding) of a 128-bit BLAKE2b hash of the full stream: equal streams
have equal ids, and an id always stands for the same bytes. An id has 22 characters, which hold 132
bits, so its last character has only four possible values. `ID_PATTERN` checks this: a text that
`identify` cannot return is rejected without reading the store.

The store holds the rate-distortion curve of a stream under the key ``curve_key(id)``. This key is
not a valid id, so an HTTP route that accepts ids cannot return a curve.
"""

from __future__ import annotations

import base64
import re
from hashlib import blake2b

DIGEST_BYTES = 16
"""Hash length, 128 bits: among 2^50 streams, the probability of any collision is below 2^-28."""

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""The pattern of a valid id; use ``fullmatch``."""

CURVE_MARK = "~"
"""First character of a curve's key: not a base64url character, so ids never begin with ``~``."""


def identify(stream: bytes) -> str:
    """Return the 22-character id of a full stream."""
    digest = blake2b(stream, digest_size=DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def is_id(text: str) -> bool:
    """Return whether ``text`` is a valid id, that is, one that `identify` can return."""
    return ID_PATTERN.fullmatch(text) is not None


def curve_key(key: str) -> str:
    """Return the key under which the store holds the curve of the stream with the id ``key``."""
    return CURVE_MARK + key
