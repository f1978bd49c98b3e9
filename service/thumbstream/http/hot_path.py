"""The hot path: prefixes of stored streams, as raw ASGI, dispatched ahead of FastAPI.

    GET /thumb/{id}?bytes=N       the first N bytes of one stream
    GET /thumb/{id}?ssim=0.8      its first bytes that reach a quality (or psnr=28)
    GET /t/{id}/{tier}            the first bytes under a path without a query, for CDNs
    GET /thumbs?ids=a,b:48,..     up to 64 of them, [u16 big-endian length][bytes] each
    GET /thumbs.json?ids=..       the same as JSON and base64

No network runs here and nothing is re-encoded: an answer is a slice of a stored value. Streams and
their curves never change, so every answer that depends on nothing else may be cached for ever.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from time import perf_counter

from starlette.types import Receive, Scope, Send

from thumbstream.http.conditional import matches_any, parse_range
from thumbstream.http.errors import NEGATIVE_CACHE, answer_for, problem_for
from thumbstream.http.prefixes import Prefix, Prefixes
from thumbstream.http.query import Wanted, wanted_batch, wanted_prefix
from thumbstream.http.refusals import MethodNotAllowedError, NotFoundError, RangeNotSatisfiableError
from thumbstream.http.replies import (
    FOR_EVER,
    Asked,
    Header,
    Reply,
    cors_headers,
    encode_headers,
    preflight_headers,
    read_request,
)
from thumbstream.http.response_cache import Ready, ReadyReplies
from thumbstream.ids import is_id
from thumbstream.storage.reader import StreamReader
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.request_ids import FIELD, current, request_id

log = logging.getLogger(__name__)

STREAM_TYPE = "application/vnd.thumbstream"
BATCH_TYPE = "application/vnd.thumbstream.batch"
TIERS = (16, 32, 64, 128, 256, 512)
"""Byte counts with a path of their own: few, so that a CDN keeps few copies."""
MAX_BATCH_ENTRY = 0xFFFF
"""The longest prefix that a batch's 16-bit length can announce."""

_WANTED_BY_TIER = {str(tier): Wanted(tier) for tier in TIERS}

METHODS = "GET, HEAD, OPTIONS"

_THUMB, _TIER, _BATCH, _BATCH_JSON = "/thumb/{id}", "/t/{id}/{tier}", "/thumbs", "/thumbs.json"


Handler = Callable[[Asked], Awaitable[Reply]]


class HotPath:
    """The four routes. ``cors_origin`` may be ``*``, one origin, or empty (no CORS fields).

    ``ready``: how many whole answers are kept in memory, ready to be sent again.
    """

    def __init__(
        self,
        reader: StreamReader,
        metrics: Metrics,
        *,
        max_ids: int,
        cors_origin: str,
        retry_after: int,
        ready: int,
    ) -> None:
        self._prefixes = Prefixes(reader, metrics)
        self._ready = ReadyReplies(ready)
        self._metrics = metrics
        self._max_ids = max_ids
        self._retry_after = retry_after
        self._shared = encode_headers(
            {
                "Cross-Origin-Resource-Policy": "cross-origin",
                "X-Content-Type-Options": "nosniff",
                **cors_headers(cors_origin),
            }
        )
        self._preflight = Reply(204, self._shared + encode_headers(preflight_headers(METHODS)))
        self._handlers: dict[str, Handler] = {
            _THUMB: self._thumb,
            _TIER: self._tier,
            _BATCH: self._batch,
            _BATCH_JSON: self._batch_json,
        }

    @staticmethod
    def route(path: str) -> str | None:
        """The template of the route that a path belongs to, or None: not the hot path's."""
        if path.startswith("/thumb/"):
            return _THUMB
        if path.startswith("/t/"):
            return _TIER
        return path if path in (_BATCH, _BATCH_JSON) else None

    async def __call__(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI) of a ``route`` that `route` has named."""
        started = perf_counter()
        current.set(scope)
        self._metrics.in_flight += 1
        try:
            ready = self._ready.find(scope)
            if ready is None:
                reply = await self._answer(route, scope)
            else:
                reply = ready.reply
                self._metrics.cache_hits.inc()
                self._served(reply, ready.left_out)
            await reply.send(send, scope["method"])
        finally:
            self._metrics.in_flight -= 1
        self._metrics.observe_request(route, reply.status, perf_counter() - started)

    async def _answer(self, route: str, scope: Scope) -> Reply:
        asked = read_request(scope)
        try:
            if asked.method in ("GET", "HEAD"):
                return await self._handlers[route](asked)
            if asked.method == "OPTIONS":
                return self._preflight
            raise MethodNotAllowedError(f"use one of {METHODS}", headers={"Allow": METHODS})
        except Exception as error:
            return self._refusal(error, scope)

    def _refusal(self, error: Exception, scope: Scope) -> Reply:
        self._metrics.count_error(answer_for(error).code)
        status, headers, body = problem_for(error, retry_after=self._retry_after)
        if status == 500:  # the reader has logged the error, once for all requests
            log.error("GET %r", scope["path"], exc_info=error)
        headers.pop("X-Content-Type-Options")  # among the shared ones
        fields = self._shared + encode_headers(headers)
        if headers["Cache-Control"] != NEGATIVE_CACHE:
            # What a cache may keep goes without: it would tell the id of whoever asked first.
            fields.append((FIELD, request_id(scope).encode()))
        return Reply(status, fields, body)

    async def _thumb(self, asked: Asked) -> Reply:
        return await self._prefix(
            asked, asked.path.removeprefix("/thumb/"), wanted_prefix(asked.query)
        )

    async def _tier(self, asked: Asked) -> Reply:
        key, _, tier = asked.path.removeprefix("/t/").partition("/")
        wanted = _WANTED_BY_TIER.get(tier)
        if wanted is None:
            raise NotFoundError(f"tiers are {', '.join(_WANTED_BY_TIER)} bytes")
        return await self._prefix(asked, key, wanted)

    async def _prefix(self, asked: Asked, key: str, wanted: Wanted) -> Reply:
        if asked.if_none_match not in ("", "*") and wanted.goal is None and is_id(key):
            # Who has so many bytes of a stream has what it asks for: no store need be asked.
            exactly = f'"{key}.{wanted.limit}"'
            if matches_any(asked.if_none_match, exactly):
                return Reply(304, self._kept(exactly, lasting=True))
        _, body, left_out, lasting = await self._prefixes.one(key, wanted)
        length = len(body)
        etag = f'"{key}.{length}"'
        kept = self._kept(etag, lasting)
        if asked.if_none_match and matches_any(asked.if_none_match, etag):
            return Reply(304, kept)
        status = 200
        headers = [*kept, (b"content-type", STREAM_TYPE.encode()), (b"accept-ranges", b"bytes")]
        if asked.range and asked.method == "GET" and _same_stream(asked.if_range, key):
            span = parse_range(asked.range, length)
            if span is not None:
                if span.start == span.stop:
                    raise RangeNotSatisfiableError(
                        f"the range begins behind the last of {length} bytes",
                        headers={"Content-Range": f"bytes */{length}"},
                    )
                status, body = 206, body[span.start : span.stop]
                part = f"bytes {span.start}-{span.stop - 1}/{length}"
                headers.append((b"content-range", part.encode()))
        headers.append((b"content-length", b"%d" % len(body)))
        reply = Reply(status, headers, body)
        if asked.method == "GET":
            # What a range leaves out, the client usually has.
            self._served(reply, left_out if status == 200 else 0)
            plain = not asked.if_none_match and not asked.range
            if plain and lasting and wanted.goal is None:
                self._ready.keep(asked.path, asked.query, Ready(reply, left_out))
        return reply

    def _served(self, reply: Reply, left_out: int) -> None:
        self._metrics.stream_bytes_served.inc(len(reply.body))
        self._metrics.stream_bytes_saved.inc(left_out)

    async def _batch(self, asked: Asked) -> Reply:
        prefixes = await self._many(asked)
        bodies = (prefix.body[:MAX_BATCH_ENTRY] for prefix in prefixes)
        body = b"".join(len(b).to_bytes(2, "big") + b for b in bodies)
        return self._whole(asked, prefixes, body, BATCH_TYPE)

    async def _batch_json(self, asked: Asked) -> Reply:
        prefixes = await self._many(asked)
        thumbs = {p.key: base64.b64encode(p.body).decode() if p.body else None for p in prefixes}
        body = json.dumps({"thumbs": thumbs}, separators=(",", ":")).encode()
        return self._whole(asked, prefixes, body, "application/json")

    async def _many(self, asked: Asked) -> list[Prefix]:
        prefixes = await self._prefixes.many(wanted_batch(asked.query, self._max_ids))
        if asked.method == "GET":
            self._metrics.stream_bytes_served.inc(sum(len(prefix.body) for prefix in prefixes))
            self._metrics.stream_bytes_saved.inc(sum(prefix.left_out for prefix in prefixes))
        return prefixes

    def _whole(self, asked: Asked, prefixes: list[Prefix], body: bytes, media_type: str) -> Reply:
        etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
        kept = self._kept(etag, all(prefix.lasting for prefix in prefixes))
        if asked.if_none_match and matches_any(asked.if_none_match, etag):
            return Reply(304, kept)
        headers = encode_headers({"Content-Type": media_type, "Content-Length": str(len(body))})
        return Reply(200, kept + headers, body)

    def _kept(self, etag: str, lasting: bool) -> list[Header]:
        """What goes with 200 and 304 alike."""
        caching = FOR_EVER if lasting else NEGATIVE_CACHE
        return self._shared + encode_headers({"ETag": etag, "Cache-Control": caching})


def _same_stream(if_range: str, key: str) -> bool:
    # Every ETag of this id is of a prefix of the same bytes, so a part of one fits the others: a
    # client that holds "id.32" may ask for the rest. A date never matches: none was ever sent.
    return not if_range or (if_range.startswith(f'"{key}.') and if_range.endswith('"'))
