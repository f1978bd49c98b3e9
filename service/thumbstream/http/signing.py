"""Signed URLs: their holders may read certain streams until a certain time.

The signature covers the streams and the expiry, not the path: one signature of a stream is valid
for every prefix and preview of it, by Range or by ``bytes``, so a client may choose its bytes and a
CDN needs one object for all of them. docs/http.md has the format, byte by byte.
"""

from __future__ import annotations

import hmac
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from thumbstream.http.errors import BadSignatureError, SignatureExpiredError

VERSION = "thumbstream-read-1"
"""The first line of what is signed; another format would have another one."""

ALL_STREAMS = "*"
"""In the place of ids: every stream whose id the client knows."""

SIGNATURE_BYTES = 16
"""Of the HMAC's 32: 2^128 guesses are enough, and each byte is sent with every thumbnail."""

_EXPIRY = re.compile(r"[1-9][0-9]{0,10}", re.ASCII)
_ONE_STREAM = re.compile(r"/(?:thumb|decode)/([^/]+)|/t/([^/]+)/[^/]+")
_BATCHES = frozenset({"/thumbs", "/thumbs.json"})


class Grant(NamedTuple):
    """A valid signature."""

    expires: int
    """Unix time, seconds."""
    key: bytes

    def sign(self, url: str) -> str:
        """``url`` (a path of streams) with a signature of the same key and expiry."""
        return sign_url(self.key, url, self.expires)


class SigningKeys:
    """The secrets that signatures are made with; the first one signs."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def sign(self, url: str, expires: int) -> str:
        """``url`` with ``exp`` and ``sig``. Raises `ValueError` for a path without streams."""
        return sign_url(self._keys[0], url, expires)

    def check(self, streams: str, exp: str, sig: str) -> Grant:
        """Verifies a signature. Raises `BadSignatureError` and `SignatureExpiredError`."""
        if not exp or not sig:
            raise BadSignatureError("reads require a signed URL (exp, sig) or a bearer token")
        if _EXPIRY.fullmatch(exp) and sig.isascii():
            expires = int(exp)
            # The time may reveal that a signature was right, but not that one was nearly right.
            for signed in (streams, ALL_STREAMS):
                for key in self._keys:
                    if hmac.compare_digest(signature(key, signed, expires), sig):
                        if expires <= time.time():
                            raise SignatureExpiredError("the signature has expired")
                        return Grant(expires, key)
        raise BadSignatureError("the signature does not match these streams and this expiry")


def signature(key: bytes, streams: str, expires: int) -> str:
    """``sig`` for ``streams`` (an id, ids joined by commas, or ``*``) until ``expires``."""
    text = f"{VERSION}\n{streams}\n{expires}\n".encode()
    digest = hmac.digest(key, text, "sha256")[:SIGNATURE_BYTES]
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_url(key: bytes, url: str, expires: int) -> str:
    """``url`` with ``exp`` and ``sig``; for ``*`` the two parameters alone."""
    if url == ALL_STREAMS:
        return f"exp={expires}&sig={signature(key, ALL_STREAMS, expires)}"
    parts = urlsplit(url)
    streams = streams_of(unquote(parts.path), parts.query)
    if not streams:
        raise ValueError(
            f"expected a path of streams (/thumb/ID, /t/ID/64, /thumbs?ids=..): {url!r}"
        )
    joint = "&" if parts.query else "?"
    return f"{url}{joint}exp={expires}&sig={signature(key, streams, expires)}"


def streams_of(path: str, query: str) -> str | None:
    """The streams that a request reads, as they are signed; None: the path has none."""
    if path in _BATCHES:
        return ",".join(ids_of(query))
    match = _ONE_STREAM.fullmatch(path)
    return (match[1] or match[2]) if match else None


def ids_of(query: str) -> list[str]:
    """The ids in ``ids=a,b:48``, in order, without byte counts."""
    values = parse_qs(query).get("ids", [])
    return [name.partition(":")[0] for value in values for name in value.split(",") if name]


def split_query(query: bytes) -> tuple[bytes, str, str]:
    """(the rest, ``exp``, ``sig``); one that is missing or repeated is empty."""
    rest: list[bytes] = []
    found: dict[bytes, list[bytes]] = {b"exp": [], b"sig": []}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        found.get(name, rest).append(value if name in found else part)
    exp, sig = (v[0].decode("latin-1") if len(v) == 1 else "" for v in found.values())
    return b"&".join(rest), exp, sig
