"""Responses as plain ASGI values, and header fields that many responses share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Send

IMMUTABLE_CACHE_CONTROL = "public, max-age=31536000, immutable"
"""Cache-Control of a response that never changes, such as a prefix of a stream."""

EXPIRING_CACHE_CONTROL = "public, max-age=86400, immutable"
"""The same where streams expire: caches drop them at most a day later."""

NEGATIVE_CACHE_CONTROL = "public, max-age=10"
"""Cache-Control of a 404, and of other responses that may change soon. The short age saves the
store from repeated reads for a popular broken link."""

PREFLIGHT_HEADERS = {
    # Browsers differ on whether Range needs permission.
    "Access-Control-Allow-Headers": "Content-Type, If-None-Match, If-Range, Range",
    "Access-Control-Max-Age": "86400",
}

Header = tuple[bytes, bytes]

WRITE_RESPONSE = "thumbstream.write_response"
"""Key in an ASGI scope, if the server has it: `LimitedHttpProtocol.write_response`, which writes a
complete response at once. Formatting header fields takes longer than finding a cached response."""


class RawResponse(NamedTuple):
    """A complete response; ``body`` is sent in response to every method but HEAD."""

    status: int
    headers: list[Header]
    body: bytes = b""

    async def send(self, send: Send, method: str) -> None:
        """Send the response; ``method`` is the method of the request."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        body = b"" if method == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})


def wire_format(response: RawResponse) -> bytes:
    """Header fields and body of a response with a Content-Length, as they are sent."""
    fields = (b"%s: %s\r\n" % field for field in response.headers)
    return b"".join([*fields, b"\r\n", response.body])


def encode_headers(headers: dict[str, str]) -> list[Header]:
    """Encode header fields for ASGI: pairs of bytes, with names in lower case."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def cache_tags(ids: Sequence[str]) -> list[Header]:
    """Header fields by which CDNs purge the responses of a stream: one tag for each id."""
    tags = [tag.encode() for tag in dict.fromkeys(ids)]
    # Of one tag, join returns the same object for both fields.
    return [(b"cache-tag", b",".join(tags)), (b"surrogate-key", b" ".join(tags))]


class CORS:
    """CORS header fields of public paths, for pages of ``origin`` (``*``: all, empty: none).

    Upload paths are not public: pages of other sites must not store pictures in the service.
    """

    def __init__(self, origin: str) -> None:
        self.headers = _cors_headers(origin, "Content-Length, Content-Range, ETag")
        self._error_headers = _cors_headers(origin, "Content-Range, Retry-After, X-Request-ID")

    @staticmethod
    def methods(path: str) -> str | None:
        """The methods that pages of other origins may use on ``path``; None if it is not public."""
        if path in ("/decode", "/budget"):
            return "POST, OPTIONS"
        if path in ("/thumbs", "/thumbs.json", "/models") or path.startswith(
            ("/thumb/", "/t/", "/decode/", "/client/")
        ):
            return "GET, HEAD, OPTIONS"
        return None

    def error_headers(self, path: str) -> list[Header]:
        """The CORS fields of an error response on ``path``; empty if ``path`` is not public."""
        return self._error_headers if self.methods(path) else []

    def preflight(self, methods: str, own: str = "") -> RawResponse:
        """The response to a CORS preflight (OPTIONS) on a path that allows ``methods``.

        ``own``: methods before these that are not for pages of other origins.
        """
        fields = {
            "Allow": own + methods,
            "Access-Control-Allow-Methods": methods,
            **PREFLIGHT_HEADERS,
        }
        return RawResponse(204, self.headers + encode_headers(fields))


def _cors_headers(origin: str, exposed: str) -> list[Header]:
    fields = {"Cross-Origin-Resource-Policy": "cross-origin"}
    if origin:
        fields["Access-Control-Allow-Origin"] = origin
        fields["Access-Control-Expose-Headers"] = exposed
    return encode_headers(fields)
