"""Signed reads: a URL that lets whoever holds it read certain streams until a certain time.

What is signed is which streams and until when, not the path: one signature of a stream is good for
every prefix, tier and preview of it, by Range or by ``bytes``, so that a client may choose and a
CDN may keep one object for all of them. docs/http.md has the form, byte by byte.
"""

from __future__ import annotations

import hmac
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from thumbstream.http.refusals import BadSignatureError, ExpiredError

VERSION = "thumbstream-read-1"
"""The first line of what is signed: another form will have another one."""

EVERY_STREAM = "*"
"""In the place of ids: whatever the client knows the id of."""

SIGNATURE_BYTES = 16
"""Of the HMAC's 32: 2^128 guesses are enough, and each byte is sent with every thumbnail."""

_EXPIRY = re.compile(r"[1-9][0-9]{0,10}", re.ASCII)
_ONE_STREAM = re.compile(r"/(?:thumb|decode)/([^/]+)|/t/([^/]+)/[^/]+")
_BATCHES = frozenset({"/thumbs", "/thumbs.json"})


class Grant(NamedTuple):
    """A signature that was found to be valid."""

    expires: int
    """Unix time, seconds."""
    key: bytes

    def sign(self, url: str) -> str:
        """``url`` (a path of streams) with a signature of the same key and expiry."""
        return sign_url(self.key, url, self.expires)


class ReadKeys:
    """Secrets that signatures may be made with; the first one signs."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def sign(self, url: str, expires: int) -> str:
        """``url`` with ``exp`` and ``sig``. Raises `ValueError` for a path that has no streams."""
        return sign_url(self._keys[0], url, expires)

    def check(self, streams: str, exp: str, sig: str) -> Grant:
        """What a signature grants. Raises `BadSignatureError` and `ExpiredError`."""
        if not exp or not sig:
            raise BadSignatureError("reading here takes a signed URL (exp, sig) or a bearer token")
        if _EXPIRY.fullmatch(exp) and sig.isascii():
            expires = int(exp)
            # That one was right may be seen in the time it takes; how near a guess was may not.
            for named in (streams, EVERY_STREAM):
                for key in self._keys:
                    if hmac.compare_digest(signature(key, named, expires), sig):
                        if expires <= time.time():
                            raise ExpiredError("the signature has expired")
                        return Grant(expires, key)
        raise BadSignatureError("the signature does not fit these streams and this expiry")


def signature(key: bytes, streams: str, expires: int) -> str:
    """``sig`` for ``streams`` (an id, ids joined by commas, or ``*``) until ``expires``."""
    text = f"{VERSION}\n{streams}\n{expires}\n".encode()
    digest = hmac.digest(key, text, "sha256")[:SIGNATURE_BYTES]
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_url(key: bytes, url: str, expires: int) -> str:
    """``url`` with ``exp`` and ``sig``; of ``*`` the two parameters alone."""
    if url == EVERY_STREAM:
        return f"exp={expires}&sig={signature(key, EVERY_STREAM, expires)}"
    parts = urlsplit(url)
    streams = streams_of(unquote(parts.path), parts.query)
    if not streams:
        raise ValueError(f"{url!r} is no path of streams: /thumb/ID, /t/ID/64, /thumbs?ids=..")
    joint = "&" if parts.query else "?"
    return f"{url}{joint}exp={expires}&sig={signature(key, streams, expires)}"


def streams_of(path: str, query: str) -> str | None:
    """The streams that a request reads, as they are signed; None: the path has none."""
    if path in _BATCHES:
        return ",".join(ids_of(query))
    match = _ONE_STREAM.fullmatch(path)
    return (match[1] or match[2]) if match else None


def ids_of(query: str) -> list[str]:
    """The ids that ``ids=a,b:48`` names, in order, without their counts."""
    values = parse_qs(query).get("ids", [])
    return [name.partition(":")[0] for value in values for name in value.split(",") if name]
