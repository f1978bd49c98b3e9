"""Reads of stored streams as raw ASGI, dispatched before FastAPI.

    GET /thumb/{id}?bytes=N       the first N bytes of one stream
    GET /thumb/{id}?ssim=0.8      the shortest prefix that reaches this quality (or psnr=28)
    GET /t/{id}/{bytes}           a prefix under a path without a query, for CDNs
    GET /thumbs?ids=a,b:48,..     prefixes of up to 64 streams, [u16 big-endian length][bytes] each
    GET /thumbs.json?ids=..       the same prefixes as JSON and base64

    request -> response cache -> parse the query -> stream (and curve) from the reader -> slice

No network runs here and nothing is encoded: a response is a slice of a stored stream. A stream
never changes, so a response is cacheable for a year, unless an id or a required curve is missing.
It carries the ids of its streams as cache tags, by which a CDN drops it when a stream is deleted.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from time import monotonic, perf_counter
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from thumbstream.codec.prefix_search import Target
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.http.errors import (
    ErrorResponder,
    MethodNotAllowedError,
    NotFoundError,
    RangeNotSatisfiableError,
)
from thumbstream.http.query import (
    PREFIX_SIZES,
    PrefixQuery,
    check_no_query,
    parse_batch_query,
    parse_prefix_query,
)
from thumbstream.http.request_headers import matches_any, parse_range
from thumbstream.http.response_cache import CachedResponse, ResponseCache
from thumbstream.http.responses import (
    CORS,
    NEGATIVE_CACHE_CONTROL,
    WRITE_RESPONSE,
    Header,
    RawResponse,
    cache_tags,
    encode_headers,
    wire_format,
)
from thumbstream.ids import is_id
from thumbstream.storage.reader import StreamReader
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.request_ids import current

STREAM_TYPE = "application/vnd.thumbstream"
BATCH_TYPE = "application/vnd.thumbstream.batch"
MAX_BATCH_ENTRY = 0xFFFF
"""Longest prefix in a binary batch, in bytes: the length field of a prefix has 16 bits."""

METHODS = "GET, HEAD, OPTIONS"

ACCESS = "thumbstream.access"
"""Key in an ASGI scope, if there is an access log; the value is the dict of the line's fields."""

# Made once: a cached response refers to these objects and has no copies of them.
[_NEGATIVE] = encode_headers({"Cache-Control": NEGATIVE_CACHE_CONTROL})
_STREAM_FIELDS = encode_headers({"Content-Type": STREAM_TYPE, "Accept-Ranges": "bytes"})

THUMB = "/thumb/{id}"
_SIZED, _BATCH, _BATCH_JSON = "/t/{id}/{bytes}", "/thumbs", "/thumbs.json"
_QUERY_BY_SIZE = {str(size): PrefixQuery(size) for size in PREFIX_SIZES}


class Request(NamedTuple):
    """The parts of a request that a response depends on; a missing header field is empty."""

    method: str
    path: str
    query: bytes
    if_none_match: str
    range: str
    if_range: str


class Prefix(NamedTuple):
    """The first bytes of a stream."""

    key: str
    body: bytes
    """The bytes of the prefix; empty if no stream has the id ``key``."""
    omitted_bytes: int
    """Number of bytes of the stream after ``body``."""
    immutable: bool
    """Whether the same request will always have this response."""


Handler = Callable[[Request], Awaitable[RawResponse]]


def stream_route(path: str) -> str | None:
    """The path template of the `HotPath` route that serves ``path``; None if there is none."""
    if path.startswith("/thumb/"):
        return THUMB
    if path.startswith("/t/"):
        return _SIZED
    return path if path in (_BATCH, _BATCH_JSON) else None


class HotPath:
    """Serves the routes /thumb/{id}, /t/{id}/{bytes}, /thumbs and /thumbs.json.

    ``immutable``: Cache-Control of responses that never change.
    """

    def __init__(
        self,
        reader: StreamReader,
        metrics: Metrics,
        errors: ErrorResponder,
        cors: CORS,
        cache: ResponseCache,
        *,
        immutable: str,
    ) -> None:
        [self._immutable] = encode_headers({"Cache-Control": immutable})
        self._reader = reader
        self._metrics = metrics
        self._errors = errors
        self._cache = cache
        self._shared = cors.headers + encode_headers({"X-Content-Type-Options": "nosniff"})
        self._preflight = cors.preflight(METHODS)
        self._deletable_preflight = cors.preflight(METHODS, "DELETE, ")
        self._handlers: dict[str, Handler] = {
            THUMB: self._thumb,
            _SIZED: self._sized_prefix,
            _BATCH: self._batch_binary,
            _BATCH_JSON: self._batch_json,
        }

    async def __call__(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request; ``route`` is the path template from `stream_route`."""
        started = perf_counter()
        current.set(scope)
        self._metrics.in_flight += 1
        try:
            cached = self._cache.find(scope)
            if ACCESS in scope:
                scope[ACCESS]["cache"] = self._cache_state(scope, cached)
            if cached is None:
                response = await self._respond(route, scope)
                await response.send(send, scope["method"])
            else:
                response = cached.response
                self._metrics.cache_hits.inc()
                self._count_bytes(response, cached.omitted_bytes)
                write = scope.get(WRITE_RESPONSE)
                if write is None or not write(send, cached.wire):
                    await response.send(send, scope["method"])
        finally:
            self._metrics.in_flight -= 1
        self._metrics.observe_request(route, response.status, perf_counter() - started)

    def _cache_state(self, scope: Scope, cached: CachedResponse | None) -> str:
        """Where a response comes from: memory (``response``, or ``stream``), or the ``store``."""
        if cached is not None:
            return "response"
        address = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        keys = [part for part in re.split("[/?=,:&]", address) if is_id(part)]
        return "stream" if keys and self._reader.is_cached(keys) else "store"

    async def _respond(self, route: str, scope: Scope) -> RawResponse:
        request = read_request(scope)
        try:
            if request.method in ("GET", "HEAD"):
                return await self._handlers[route](request)
            if request.method == "OPTIONS":
                return self._deletable_preflight if route == THUMB else self._preflight
            allowed = f"DELETE, {METHODS}" if route == THUMB else METHODS
            raise MethodNotAllowedError(f"expected one of {allowed}", headers={"Allow": allowed})
        except Exception as error:
            return self._errors.response(error, scope)

    async def _thumb(self, request: Request) -> RawResponse:
        key = request.path.removeprefix("/thumb/")
        return await self._prefix(request, key, parse_prefix_query(request.query))

    async def _sized_prefix(self, request: Request) -> RawResponse:
        key, _, size = request.path.removeprefix("/t/").partition("/")
        query = _QUERY_BY_SIZE.get(size)
        if query is None:
            raise NotFoundError(f"expected one of {', '.join(_QUERY_BY_SIZE)} bytes")
        if request.query:
            check_no_query(request.query)
        return await self._prefix(request, key, query)

    async def _prefix(self, request: Request, key: str, query: PrefixQuery) -> RawResponse:
        if not is_id(key):
            raise NotFoundError("no stream has this id")
        [prefix] = await self._prefixes([key], [query.limit], query.target)
        if not prefix.body:
            raise NotFoundError("no stream has this id")
        etag = f'"{key}.{len(prefix.body)}"'
        headers = self._cache_headers(etag, [key], immutable=prefix.immutable)
        if request.if_none_match and matches_any(request.if_none_match, etag):
            return RawResponse(304, headers)
        headers += _STREAM_FIELDS
        response = _select_range(request, key, prefix.body, headers)
        if request.method == "GET":
            # A client that requests a range usually has the other bytes.
            self._count_bytes(response, prefix.omitted_bytes if response.status == 200 else 0)
            plain = not request.if_none_match and not request.range
            if plain and prefix.immutable and query.target is None:
                wire = wire_format(response)
                cached = CachedResponse(response, prefix.omitted_bytes, monotonic(), wire)
                self._cache.put(request.path, request.query, cached)
        return response

    async def _batch_binary(self, request: Request) -> RawResponse:
        prefixes = await self._batch(request)
        bodies = (prefix.body[:MAX_BATCH_ENTRY] for prefix in prefixes)
        body = b"".join(len(b).to_bytes(2, "big") + b for b in bodies)
        return self._batch_response(request, prefixes, body, BATCH_TYPE)

    async def _batch_json(self, request: Request) -> RawResponse:
        prefixes = await self._batch(request)
        thumbs = {p.key: base64.b64encode(p.body).decode() if p.body else None for p in prefixes}
        body = json.dumps({"thumbs": thumbs}, separators=(",", ":")).encode()
        return self._batch_response(request, prefixes, body, "application/json")

    async def _batch(self, request: Request) -> list[Prefix]:
        query = parse_batch_query(request.query)
        prefixes = await self._prefixes(query.ids, query.limits, query.target)
        if request.method == "GET":
            self._metrics.stream_bytes_served.inc(sum(len(prefix.body) for prefix in prefixes))
            self._metrics.stream_bytes_saved.inc(sum(prefix.omitted_bytes for prefix in prefixes))
        return prefixes

    def _batch_response(
        self, request: Request, prefixes: list[Prefix], body: bytes, media_type: str
    ) -> RawResponse:
        etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
        keys = [prefix.key for prefix in prefixes]
        immutable = all(prefix.immutable for prefix in prefixes)
        headers = self._cache_headers(etag, keys, immutable=immutable)
        if request.if_none_match and matches_any(request.if_none_match, etag):
            return RawResponse(304, headers)
        headers += encode_headers({"Content-Type": media_type, "Content-Length": str(len(body))})
        return RawResponse(200, headers, body)

    async def _prefixes(
        self, keys: list[str], limits: list[int], target: Target | None
    ) -> list[Prefix]:
        """Prefixes in the order of ``keys``, empty for unknown ids. Raises `StoreError`.

        Each prefix has at most as many bytes as its entry in ``limits``. With a target, it ends at
        the first point of the stored curve that reaches the target, if one does within the limit.
        """
        if target is None:
            streams = await self._reader.get_many(keys)
            return list(map(_cut, keys, streams, limits))
        streams, curves = await self._reader.get_with_curves(keys)
        return [
            self._cut_to_target(key, stream, RateCurve.from_stored(stored), limit, target)
            for key, stream, stored, limit in zip(keys, streams, curves, limits, strict=True)
        ]

    def _cut_to_target(
        self, key: str, stream: bytes | None, curve: RateCurve | None, limit: int, target: Target
    ) -> Prefix:
        if stream is not None:
            self._metrics.count_quality_request(curve=curve is not None)
        if curve is None:
            # Not immutable: a later upload of the picture may add the curve.
            return _cut(key, stream, limit)._replace(immutable=False)
        reached = curve.shortest(target.measure, target.value)
        return _cut(key, stream, min(reached or limit, limit))

    def _count_bytes(self, response: RawResponse, omitted_bytes: int) -> None:
        self._metrics.stream_bytes_served.inc(len(response.body))
        self._metrics.stream_bytes_saved.inc(omitted_bytes)

    def _cache_headers(self, etag: str, keys: list[str], *, immutable: bool) -> list[Header]:
        """The header fields that a 200 and a 304 response share."""
        caching = self._immutable if immutable else _NEGATIVE
        return [*self._shared, (b"etag", etag.encode("latin-1")), caching, *cache_tags(keys)]


def read_request(scope: Scope) -> Request:
    """Reads a `Request` from an ASGI scope. Joins repeated header fields (RFC 9110, 5.3)."""
    found = {b"if-none-match": "", b"range": "", b"if-range": ""}
    for name, value in scope["headers"]:
        if name in found:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if found[name] else text
    return Request(scope["method"], scope["path"], scope["query_string"], *found.values())


def _cut(key: str, stream: bytes | None, limit: int) -> Prefix:
    if stream is None:
        return Prefix(key, b"", 0, immutable=False)
    body = stream[:limit]
    return Prefix(key, body, len(stream) - len(body), immutable=True)


def _select_range(request: Request, key: str, body: bytes, headers: list[Header]) -> RawResponse:
    """The response 200 with ``body``, or 206 with the part of ``body`` that Range selects.

    Raises `RangeNotSatisfiableError`.
    """
    status, length = 200, len(body)
    if request.range and request.method == "GET" and _is_same_stream(request.if_range, key):
        span = parse_range(request.range, length)
        if span is not None:
            if span.start == span.stop:
                raise RangeNotSatisfiableError(
                    f"the range begins after the last of {length} bytes",
                    headers={"Content-Range": f"bytes */{length}"},
                )
            status, body = 206, body[span.start : span.stop]
            part = f"bytes {span.start}-{span.stop - 1}/{length}"
            headers.append((b"content-range", part.encode()))
    headers.append((b"content-length", b"%d" % len(body)))
    return RawResponse(status, headers, body)


def _is_same_stream(if_range: str, key: str) -> bool:
    # Every ETag of an id names a prefix of the same stream, so parts of them fit together: a client
    # that has "id.32" may request the rest. A date never matches: no response has one.
    return not if_range or (if_range.startswith(f'"{key}.') and if_range.endswith('"'))
