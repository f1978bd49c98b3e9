"""CORS for what every page may read on the FastAPI side: previews, budgets, models, the client.

Uploads are left out on purpose: pages of other hosts have no business to store pictures here.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.http.replies import Reply, cors_headers, encode_headers, preflight_headers


class PublicReads:
    """Adds the fields for ``origin`` (``*``: all; empty: none) and answers preflights."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._headers = encode_headers(
            {"Cross-Origin-Resource-Policy": "cross-origin", **cors_headers(origin)}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        methods = _methods(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            headers = self._headers + encode_headers(preflight_headers(methods))
            await Reply(204, headers).send(send, "OPTIONS")
        else:
            await self._app(scope, receive, self._adding(send))

    def _adding(self, send: Send) -> Send:
        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        return send_with_fields


def _methods(path: str) -> str | None:
    if path in ("/decode", "/budget"):
        return "POST, OPTIONS"
    if path == "/models" or path.startswith(("/decode/", "/client/")):
        return "GET, HEAD, OPTIONS"
    return None
