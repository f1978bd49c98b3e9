"""Bearer tokens: who may upload."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from thumbstream.http.refusals import UnauthorizedError

CHALLENGE = 'Bearer realm="thumbstream"'


class Doorkeeper:
    """Lets requests in that carry one of ``tokens``; without tokens, every request."""

    def __init__(self, tokens: Iterable[str]) -> None:
        # Hashes are of equal length, so that comparing them tells nothing about a token's length.
        self._digests = [_digest(token) for token in tokens]

    def admit(self, authorization: str | None) -> None:
        """Checks the value of an Authorization field. Raises `UnauthorizedError`."""
        if not self._digests:
            return
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthorizedError(
                "a bearer token is needed", headers={"WWW-Authenticate": CHALLENGE}
            )
        given = _digest(token.strip())
        # Compares with every token, in constant time: neither tells how near a guess was.
        matches = [hmac.compare_digest(given, known) for known in self._digests]
        if not any(matches):
            raise UnauthorizedError(
                "the bearer token is not valid here",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
            )


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
