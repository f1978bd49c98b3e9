"""The least that any ASGI service could do: the same answer, always.

Run as ``bare_app.py REPLY.json``; the file holds ``headers`` (pairs) and ``body`` (base64) of an
answer of the real service. Host, port and everything else about the server are thumbstream's own
settings, read from the environment, so that the two differ in the application only.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from thumbstream.server import run as server
from thumbstream.settings import load_settings


def constant(headers: list[tuple[bytes, bytes]], body: bytes) -> ASGIApp:
    """Answer every request with the same bytes."""
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    rest = {"type": "http.response.body", "body": body}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(start)
        await send(rest)

    return app


def main(path: Path) -> int:
    """Serve the answer in ``path`` until a signal; returns the exit status."""
    reply = json.loads(path.read_text(encoding="utf-8"))
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply["headers"]
    ]
    app = constant(headers, base64.b64decode(reply["body"]))
    return 0 if server.run(app, load_settings(), on_drain=lambda: None) else 1


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
