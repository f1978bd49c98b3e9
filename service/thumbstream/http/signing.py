"""Signed URLs, which permit a client to read certain streams until an expiry time.

`thumbstream.signed_urls` has the format of signatures; here they are verified.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from thumbstream.http.errors import BadSignatureError, SignatureExpiredError
from thumbstream.signed_urls import ALL_STREAMS, sign_url, signature

_EXPIRY = re.compile(r"[1-9][0-9]{0,10}", re.ASCII)


class Grant(NamedTuple):
    """A signature that was verified: its key and its expiry."""

    expires: int
    """Expiry as Unix time in seconds."""
    key: bytes

    def sign(self, url: str) -> str:
        """Returns ``url`` (a path that reads streams) signed with the same key and expiry."""
        return sign_url(self.key, url, self.expires)


class SigningKeys:
    """The secret keys of signed URLs. The first key signs; all keys verify."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def sign(self, url: str, expires: int) -> str:
        """Returns ``url`` with the parameters ``exp`` and ``sig``. Errors: see `sign_url`."""
        return sign_url(self._keys[0], url, expires)

    def check(self, streams: str, exp: str, sig: str) -> Grant:
        """Verifies the signature ``sig`` of ``streams`` (see `signature`) and the expiry ``exp``.

        Raises `BadSignatureError` or `SignatureExpiredError`.
        """
        if not exp or not sig:
            raise BadSignatureError("reads require a signed URL (exp, sig) or a bearer token")
        if _EXPIRY.fullmatch(exp) and sig.isascii():
            expires = int(exp)
            # The duration may reveal a correct signature, but not how much of one is correct.
            for signed in (streams, ALL_STREAMS):
                for key in self._keys:
                    if hmac.compare_digest(signature(key, signed, expires), sig):
                        if expires <= time.time():
                            raise SignatureExpiredError("the signature has expired")
                        return Grant(expires, key)
        raise BadSignatureError("the signature does not match these streams and this expiry")


def split_query(query: bytes) -> tuple[bytes, str, str]:
    """Splits ``query`` into (other parameters, ``exp``, ``sig``).

    ``exp`` or ``sig`` is empty if it is missing or repeated.
    """
    rest: list[bytes] = []
    found: dict[bytes, list[bytes]] = {b"exp": [], b"sig": []}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        found.get(name, rest).append(value if name in found else part)
    exp, sig = (v[0].decode("latin-1") if len(v) == 1 else "" for v in found.values())
    return b"&".join(rest), exp, sig
