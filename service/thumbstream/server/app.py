"""create_app() and serve(): all the wiring.

scope -> admission -> signed reads, where there are keys
      -> hot path (raw ASGI)            /thumb /t /thumbs /thumbs.json
      -> Observed -> CORS -> FastAPI    everything else, and the life of the process
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from thumbstream.http.admission import Admission
from thumbstream.http.app import rest
from thumbstream.http.connections import Bounds, guarded
from thumbstream.http.cors import PublicReads
from thumbstream.http.hot_path import HotPath
from thumbstream.http.observe import Observed, route_template
from thumbstream.http.response_cache import READY_REPLIES
from thumbstream.http.services import Service
from thumbstream.http.signed_reads import SignedReads
from thumbstream.models import ModelRegistry
from thumbstream.server import run as server
from thumbstream.settings import Settings
from thumbstream.storage import Store, open_store
from thumbstream.telemetry import tracing
from thumbstream.telemetry.logging import configure_logging

log = logging.getLogger(__name__)


class Application:
    """The ASGI application."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.service = service
        self._hotpath = HotPath(
            service.reader,
            service.metrics,
            max_ids=settings.max_ids,
            cors_origin=settings.cors_origin,
            retry_after=settings.retry_after_seconds,
            ready=READY_REPLIES if settings.cache_bytes else 0,
        )
        self._rest: ASGIApp = Observed(
            PublicReads(rest(service), settings.cors_origin),
            service.metrics,
            access_log=settings.access_log,
            retry_after=settings.retry_after_seconds,
        )
        if settings.forwarded_allow_ips:  # the hot path does not care who asks
            trusted = list(settings.forwarded_allow_ips)
            self._rest = ProxyHeadersMiddleware(self._rest, trusted)  # type: ignore[arg-type, assignment]
        within: ASGIApp = self._dispatch
        if service.read_keys is not None:
            within = SignedReads(
                within,
                service.read_keys,
                service.doorkeeper,
                service.metrics,
                cors_origin=settings.cors_origin,
            )
        self._admission = Admission(
            within,
            service.metrics,
            limit=settings.max_requests,
            retry_after=settings.retry_after_seconds,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI), or the life of the process."""
        await self._admission(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            route = self._hotpath.route(scope["path"])
            if route is not None:
                await self._hotpath(route, scope, receive, send)
                return
        await self._rest(scope, receive, send)

    def route(self, scope: Scope) -> str:
        """The template of the route that a request was served by."""
        return self._hotpath.route(scope["path"]) or route_template(scope)


def create_app(
    settings: Settings, *, models: ModelRegistry | None = None, store: Store | None = None
) -> Application:
    """A service as an ASGI application; it opens its store and models with the lifespan.

    ``models`` and ``store`` replace the installed models and ``settings.store``.
    """
    if store is None:
        store = open_store(settings.store, timeout=settings.store_timeout_seconds)
    if models is None:
        models = ModelRegistry(device=settings.device)
    return Application(Service(settings, models=models, store=store))


def serve(
    settings: Settings, *, models: ModelRegistry | None = None, store: Store | None = None
) -> bool:
    """Serves on ``settings.host`` and ``settings.port`` until a signal ends it, then returns True.

    False: it could not start; the log says why. Raises `ValueError` for a store that is no URL.
    """
    configure_logging(settings.log_level, settings.log_format)
    tracing.start()
    app = create_app(settings, models=models, store=store)
    bounds = Bounds(
        connections=settings.max_connections,
        url_bytes=settings.max_url_bytes,
        header_bytes=settings.max_header_bytes,
        header_fields=settings.max_header_fields,
        head_seconds=settings.header_timeout_seconds,
        send_seconds=settings.send_timeout_seconds,
        retry_after=settings.retry_after_seconds,
    )
    asgi = tracing.Traced(app, app.route) if tracing.enabled() else app
    try:
        return server.run(
            asgi,
            settings,
            protocol=guarded(bounds, app.service.metrics),
            on_drain=app.service.drain,
        )
    finally:
        tracing.stop()
