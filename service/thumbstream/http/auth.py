"""Bearer tokens and rate limits, which guard the routes that upload or compute.

A token is configured as ``name:secret``, or as a secret alone, which is named by its position:
``token-1``. Clients send the secret; logs, metrics and rate limits use the name, never the secret.

The ``limits`` package counts requests in a sliding window, in this process's memory or in a Redis
that replicas share. A rate limit is for fairness among clients, not for security: while Redis does
not answer, requests pass uncounted.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import math
import os
import re
import time
from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import Scope

from thumbstream.http.errors import CrossSiteError, RateLimitedError, UnauthorizedError
from thumbstream.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from limits.aio.storage import Storage
    from redis.asyncio import ConnectionPool

log = logging.getLogger(__name__)

TOKEN = "thumbstream.token"  # noqa: S105 (the name of a field)
"""Key in an ASGI scope; the value is the name (str) of the request's token."""

RATE_LIMIT_HEADERS = "thumbstream.rate_limit"
"""Key in an ASGI scope; the value is a dict of header fields (str to str) for the response."""

CHALLENGE = 'Bearer realm="thumbstream"'

_NAMED = re.compile(r"([A-Za-z0-9_.-]{1,32}):(.+)", re.DOTALL)
"""A token with a name. A secret has no colon (RFC 6750, 2.1), so the first colon ends the name."""

MAX_ADDRESS_BUCKETS = 4096
"""Number of counters for addresses in memory: a flood of addresses cannot fill the memory. The
counter is chosen by a salted hash: two addresses rarely share one, and no client can cause it."""

STORE_TIMEOUT_SECONDS = 0.25
"""Timeout of one count in Redis: a slow Redis must not delay uploads."""

STORE_RETRY_SECONDS = 5.0
"""How long requests pass uncounted after Redis failed; then one request tries Redis again."""

KEY_PREFIX = "thumbstream-rate"
"""Prefix of the counters' keys in Redis, where streams may be stored too: no stream id has it."""


class BearerAuth:
    """Authenticates requests by the configured ``tokens``; without tokens, allows every request."""

    def __init__(self, tokens: Iterable[str]) -> None:
        named = [_named(position, token) for position, token in enumerate(tokens, 1)]
        # Digests have one length, so comparing them does not reveal the length of a token.
        self._tokens = [(name, _digest(secret)) for name, secret in named]

    @property
    def names(self) -> list[str]:
        """The names of the configured tokens."""
        return [name for name, _ in self._tokens]

    def authenticate(self, authorization: str | None) -> str | None:
        """The name of the token in an Authorization field; None if no token is configured.

        Raises `UnauthorizedError` for a missing or invalid token.
        """
        if not self._tokens:
            return None
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthorizedError(
                "a bearer token is required", headers={"WWW-Authenticate": CHALLENGE}
            )
        given = _digest(token.strip())
        # Compares with every token, in constant time: the time does not reveal a near match.
        matches = [name for name, known in self._tokens if hmac.compare_digest(given, known)]
        if not matches:
            raise UnauthorizedError(
                "the bearer token is not valid here",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
            )
        return matches[0]

    def has_token(self, scope: Scope) -> bool:
        """Whether an ASGI request has a token. Raises `UnauthorizedError` for an invalid token."""
        fields = (v.decode("latin-1") for n, v in scope["headers"] if n == b"authorization")
        given = next(fields, None)
        return given is not None and self.authenticate(given) is not None


class RateLimit:
    """Limits the rate of requests of each token, or of each address without a token.

    ``limit``: such as ``60/minute``. ``store``: a Redis URL, or empty to count in this process.
    """

    def __init__(self, limit: str, *, store: str) -> None:
        # Imported here because it is slow to import and seldom configured.
        from limits import parse
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        self._limit = parse(limit)
        self._policy = f'"default";q={self._limit.amount};w={self._limit.get_expiry()}'
        self._pool = _pool(store) if store else None
        self._strategy = SlidingWindowCounterRateLimiter(_storage(store, self._pool))
        self._salt = b"" if store else os.urandom(16)
        self._retry_at = 0.0  # time.monotonic() before which a failed store is not used

    async def check(self, name: str | None, address: str | None) -> dict[str, str]:
        """Counts a request of the token called ``name``, or without a name of the IP ``address``.

        Returns RateLimit header fields for the response; none while Redis does not answer. Raises
        `RateLimitedError` above the limit.
        """
        now = time.monotonic()
        if now < self._retry_at:
            return {}
        if self._retry_at:
            self._retry_at = now + STORE_RETRY_SECONDS  # this request tries Redis, the others pass
        client = f"token:{name}" if name else f"address:{self._address_key(address or '')}"
        try:
            async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
                allowed = await self._strategy.hit(self._limit, client)
                window = await self._strategy.get_window_stats(self._limit, client)
        except Exception as error:  # whatever the library and its Redis client raise
            self._retry_at = time.monotonic() + STORE_RETRY_SECONDS
            log.warning("rate limit: requests pass uncounted: %s", type(error).__name__)
            return {}
        self._retry_at = 0.0
        reset = max(1, math.ceil(window.reset_time - time.time()))
        fields = {
            "RateLimit-Policy": self._policy,
            "RateLimit": f'"default";r={window.remaining};t={reset}',
        }
        if not allowed:
            raise RateLimitedError(
                f"more than {self._limit}: try again later",
                headers={**fields, "Retry-After": str(reset)},
            )
        return fields

    async def close(self) -> None:
        """Closes the connections to Redis, if Redis is used."""
        if self._pool is not None:
            await self._pool.aclose()

    def _address_key(self, address: str) -> str:
        digest = blake2b(_network(address).encode(), key=self._salt, digest_size=16).digest()
        if not self._salt:
            return digest.hex()  # Redis drops expired counters itself
        return str(int.from_bytes(digest, "big") % MAX_ADDRESS_BUCKETS)


class RequestGuard:
    """FastAPI dependencies that authenticate and rate-limit a request; both raise `HTTPError`."""

    def __init__(self, auth: BearerAuth, rate_limit: RateLimit | None, metrics: Metrics) -> None:
        self._auth = auth
        self._rate_limit = rate_limit
        self._metrics = metrics

    async def limit_uploads(self, request: Request) -> None:
        """Applies the rate limit, and requires a token if tokens are configured.

        If no tokens are configured, rejects requests from pages of other sites.
        """
        await self._check(request, token_required=True)

    async def require_token(self, request: Request) -> None:
        """Applies the rate limit, and requires a token, even if no tokens are configured."""
        await self._check(request, token_required=True)
        if TOKEN not in request.scope:
            raise UnauthorizedError(
                "this requires a bearer token, and none is configured: set THUMBSTREAM_TOKENS",
                headers={"WWW-Authenticate": CHALLENGE},
            )

    async def limit_work(self, request: Request) -> None:
        """Applies the rate limit; a token is optional, and an invalid one is ignored."""
        await self._check(request, token_required=False)

    async def _check(self, request: Request, *, token_required: bool) -> None:
        unauthorized: UnauthorizedError | None = None
        name: str | None = None
        try:
            name = self._auth.authenticate(request.headers.get("authorization"))
        except UnauthorizedError as error:
            unauthorized = error
        if name is not None:
            request.scope[TOKEN] = name
            self._metrics.count_token(name)
        if self._rate_limit is not None:  # before the 401, so that guessed tokens count too
            address = request.client.host if request.client else None
            request.scope[RATE_LIMIT_HEADERS] = await self._rate_limit.check(name, address)
        if token_required and unauthorized is not None:
            raise unauthorized
        if token_required and name is None and is_cross_site(request):
            raise CrossSiteError("pages of other sites cannot upload without a token")


def is_cross_site(request: Request) -> bool:
    """Whether a page of another site sent the request, according to its header fields.

    Sec-Fetch-Site decides if present, else whether Origin differs from Host. False without
    Sec-Fetch-Site and Origin, as clients other than browsers send neither.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get("origin")
    # Not parsed as a URL: an invalid one, such as "http://[", is an error there.
    return origin is not None and origin.rpartition("//")[2] != request.headers.get("host")


def client_name(scope: Scope) -> str:
    """Identifies the client of an ASGI request: ``token:NAME``, or else ``address:NETWORK``."""
    token = scope.get(TOKEN)
    if token:
        return f"token:{token}"
    return f"address:{_network((scope.get('client') or ('',))[0])}"


def _named(position: int, token: str) -> tuple[str, str]:
    match = _NAMED.fullmatch(token)
    return (match[1], match[2]) if match else (f"token-{position}", token)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def _pool(store: str) -> ConnectionPool:
    from redis.asyncio import ConnectionPool

    return ConnectionPool.from_url(
        store, socket_timeout=STORE_TIMEOUT_SECONDS, socket_connect_timeout=STORE_TIMEOUT_SECONDS
    )


def _storage(store: str, pool: ConnectionPool | None) -> Storage:
    from limits.aio.storage import MemoryStorage, RedisStorage

    if pool is None:
        return MemoryStorage()
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage(
        f"async+{store}", implementation="redispy", key_prefix=KEY_PREFIX, **options
    )


def _network(address: str) -> str:
    """The network of one subscriber: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(ip, "ipv4_mapped", None)
    if ip.version == 4 or mapped is not None:
        return str(mapped or ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))
