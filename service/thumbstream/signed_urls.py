"""The format of signed URLs, which permit a client to read certain streams until an expiry time.

A signature covers the stream ids and the expiry, not the path. So one signature is valid for every
prefix and preview of a stream, selected by ``bytes`` or Range: the client chooses the length, and a
CDN can serve all ranges from one object. docs/http.md specifies the format byte by byte.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, unquote, urlsplit

VERSION = "thumbstream-read-1"
"""Version of the signature format: the first line of the signed text."""

ALL_STREAMS = "*"
"""Signed in place of ids, this grants reads of every stream whose id the client knows."""

SIGNATURE_BYTES = 16
"""Length of a signature in bytes, cut from 32: 128 bits are secure, and URLs stay short."""

_ONE_STREAM = re.compile(r"/(?:thumb|decode)/([^/]+)|/t/([^/]+)/[^/]+")
_BATCHES = frozenset({"/thumbs", "/thumbs.json"})


def signature(key: bytes, streams: str, expires: int) -> str:
    """The parameter ``sig`` for ``streams`` and ``expires`` (Unix time).

    ``streams``: an id, ids joined by commas, or ``*``.
    """
    text = f"{VERSION}\n{streams}\n{expires}\n".encode()
    digest = hmac.digest(key, text, "sha256")[:SIGNATURE_BYTES]
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_url(key: bytes, url: str, expires: int) -> str:
    """Returns ``url`` with the parameters ``exp`` and ``sig``; for ``*``, only the parameters.

    Raises `ValueError` for a path that reads no streams.
    """
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
    """The ids that a request reads, joined by commas; None if ``path`` reads no streams."""
    if path in _BATCHES:
        return ",".join(ids_of(query))
    match = _ONE_STREAM.fullmatch(path)
    return (match[1] or match[2]) if match else None


def ids_of(query: str) -> list[str]:
    """The ids in a query such as ``ids=a,b:48``, in order, without byte counts."""
    values = parse_qs(query).get("ids", [])
    return [name.partition(":")[0] for value in values for name in value.split(",") if name]
