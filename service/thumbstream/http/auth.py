"""Bearer tokens: who may upload, and by what name the log, the metrics and the limits know them.

A token is ``name:secret`` or a bare secret, which is called by its place: ``token-1``. The secret
is what a client sends; a name is never secret and a secret is never told.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from thumbstream.http.refusals import UnauthorizedError

CHALLENGE = 'Bearer realm="thumbstream"'

_NAMED = re.compile(r"([A-Za-z0-9_.-]{1,32}):(.+)", re.DOTALL)
"""A colon is no part of a bearer token (RFC 6750, 2.1): one that is there ends the name."""


class Doorkeeper:
    """Knows the holders of ``tokens``; without tokens, everybody may come in."""

    def __init__(self, tokens: Iterable[str]) -> None:
        named = [_named(place, token) for place, token in enumerate(tokens, 1)]
        # Hashes are of equal length, so that comparing them tells nothing about a token's length.
        self._known = [(name, _digest(secret)) for name, secret in named]

    @property
    def names(self) -> list[str]:
        """What the tokens are called."""
        return [name for name, _ in self._known]

    def admit(self, authorization: str | None) -> str | None:
        """The name of the token in an Authorization field; None where no token is configured.

        Raises `UnauthorizedError` where one is needed and a valid one was not given.
        """
        if not self._known:
            return None
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthorizedError(
                "a bearer token is needed", headers={"WWW-Authenticate": CHALLENGE}
            )
        given = _digest(token.strip())
        # Compares with every token, in constant time: neither tells how near a guess was.
        matches = [name for name, known in self._known if hmac.compare_digest(given, known)]
        if not matches:
            raise UnauthorizedError(
                "the bearer token is not valid here",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
            )
        return matches[0]


def _named(place: int, token: str) -> tuple[str, str]:
    match = _NAMED.fullmatch(token)
    return (match[1], match[2]) if match else (f"token-{place}", token)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
