"""What `GET /thumb` would be as a route of FastAPI: the yardstick of the hot path.

The same answer, made the usual way: parameters declared and checked, the stream from the same
memory or the same store, a `Response` with the same header fields. Run as ``fastapi_app.py``; host,
port, store and everything else are thumbstream's own settings, read from the environment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response

from thumbstream.http.hot_path import STREAM_TYPE
from thumbstream.http.responses import CORS, IMMUTABLE_CACHE_CONTROL
from thumbstream.ids import is_id
from thumbstream.server import run as server
from thumbstream.settings import Settings, load_settings
from thumbstream.storage import open_store
from thumbstream.storage.reader import StreamCache, StreamReader
from thumbstream.telemetry.metrics import Metrics


def create_app(settings: Settings) -> FastAPI:
    """One route over the store of ``settings``."""
    store, metrics = open_store(settings.store), Metrics()
    cache = StreamCache(settings.cache_bytes)
    reader = StreamReader(store, cache, metrics, timeout=settings.store_timeout_seconds)

    cors = {k.decode(): v.decode() for k, v in CORS(settings.cors_origin).headers}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await store.open()
        yield
        await store.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/thumb/{key}")
    async def thumb(
        request: Request, key: str, count: Annotated[int, Query(alias="bytes", ge=1)]
    ) -> Response:
        stream = await reader.get(key) if is_id(key) else None
        if stream is None:
            raise HTTPException(404, "no stream has this id")
        body = stream[:count]
        headers = {
            "X-Content-Type-Options": "nosniff",
            **cors,
            "ETag": f'"{key}.{len(body)}"',
            "Cache-Control": IMMUTABLE_CACHE_CONTROL,
            "Accept-Ranges": "bytes",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        metrics.stream_bytes_served.inc(len(body))
        return Response(body, headers=headers, media_type=STREAM_TYPE)

    return app


if __name__ == "__main__":
    _settings = load_settings()
    raise SystemExit(not server.run(create_app(_settings), _settings, on_drain=lambda: None))
