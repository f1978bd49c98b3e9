"""create_app() and serve(): all the wiring.

scope -> signed reads, where there are keys
      -> hot path (raw ASGI)            /thumb /t /thumbs /thumbs.json
      -> Observed -> CORS -> FastAPI    everything else, and the life of the process
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from thumbstream import __version__, metrics, server, tracing
from thumbstream import zoo as published_models
from thumbstream.catalogue import Zoo
from thumbstream.codec.errors import ThumbstreamError
from thumbstream.http.api import Api
from thumbstream.http.clientfiles import ClientFiles
from thumbstream.http.connections import Bounds, guarded
from thumbstream.http.cors import PublicReads
from thumbstream.http.hotpath import HotPath
from thumbstream.http.observe import Observed, route_template
from thumbstream.http.openapi import complete
from thumbstream.http.pages import Pages
from thumbstream.http.problems import Problem, answer_for, problem, problem_for
from thumbstream.http.refusals import BadRequestError, BusyError, RefusedError
from thumbstream.http.replies import Reply, encode_headers
from thumbstream.http.service import Service
from thumbstream.http.signedreads import SignedReads
from thumbstream.logs import configure_logging
from thumbstream.processes import Child, Supervisor
from thumbstream.settings import Settings
from thumbstream.store import Store, open_store

log = logging.getLogger(__name__)

DESCRIPTION = (
    "One stored byte stream per picture, any prefix of which is the best preview those bytes can "
    "buy. POST a picture to /compress, GET prefixes of its stream from /thumb or /t, and decode "
    "them in the browser or with /decode."
)


ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""However many requests are in work: an overloaded service must not look like a dead one."""

MAX_PARAMETERS = 100
"""In a query: many more than any route has, few enough to be read in no time."""

TURNED_AWAY = "turned_away"
"""What /metrics calls the route of requests that were looked at no further."""


class Application:
    """The ASGI application."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.service = service
        self._hotpath = HotPath(
            service.shelf,
            service.metrics,
            max_ids=settings.max_ids,
            cors_origin=settings.cors_origin,
            retry_after=settings.retry_after_seconds,
        )
        self._rest: ASGIApp = Observed(
            PublicReads(_fastapi(service), settings.cors_origin),
            service.metrics,
            access_log=settings.access_log,
            retry_after=settings.retry_after_seconds,
        )
        if settings.forwarded_allow_ips:  # the hot path does not care who asks
            trusted = list(settings.forwarded_allow_ips)
            self._rest = ProxyHeadersMiddleware(self._rest, trusted)  # type: ignore[arg-type, assignment]
        self._within: ASGIApp = self._dispatch
        if service.read_keys is not None:
            self._within = SignedReads(
                self._dispatch,
                service.read_keys,
                service.doorkeeper,
                service.metrics,
                cors_origin=settings.cors_origin,
            )
        self._requests = 0  # in work
        self._max_requests = settings.max_requests
        self._retry_after = settings.retry_after_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI), or the life of the process."""
        if scope["type"] != "http":
            await self._within(scope, receive, send)
            return
        if self._requests >= self._max_requests and scope["path"] not in ALWAYS_ANSWERED:
            await self._turn_away(BusyError("too many requests at once"), scope, send)
            return
        if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
            error = BadRequestError(f"a query has at most {MAX_PARAMETERS} parameters")
            await self._turn_away(error, scope, send)
            return
        self._requests += 1
        try:
            await self._within(scope, receive, send)
        finally:
            self._requests -= 1

    async def _turn_away(self, error: RefusedError, scope: Scope, send: Send) -> None:
        status, headers, body = problem_for(error, retry_after=self._retry_after)
        self.service.metrics.answered(TURNED_AWAY, status, 0.0)
        headers["Connection"] = "close"  # its body, if it has one, is not read
        await Reply(status, encode_headers(headers), body).send(send, scope["method"])

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
    settings: Settings, *, zoo: Zoo = published_models, store: Store | None = None
) -> Application:
    """A service as an ASGI application; it opens its store and models with the lifespan.

    ``zoo`` and ``store`` stand in for the published models and for ``settings.store``.
    """
    if store is None:
        store = open_store(
            settings.store, cache=settings.cache, allow_eviction=settings.allow_eviction
        )
    return Application(Service(settings, zoo=zoo, store=store))


def serve(settings: Settings, *, zoo: Zoo = published_models, store: Store | None = None) -> bool:
    """Serves on ``settings.host`` and ``settings.port`` until a signal ends it, then returns True.

    False: it could not start; the log says why. Raises `ValueError` for a store that is no URL.
    """
    configure_logging(settings.log_level, settings.log_format)
    child = Child.of_this_process()
    if child is None and settings.process_count > 1:
        open_store(settings.store)  # a URL that is none is told once, not by every process
        return Supervisor(
            settings.process_count,
            settings.host,
            settings.port,
            patience=settings.drain_seconds + settings.shutdown_seconds,
        ).run()
    if child is not None:
        metrics.share(child.index)
    tracing.start()
    app = create_app(settings, zoo=zoo, store=store)
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
            on_second=app.service.metrics.refresh,
            child=child,
        )
    finally:
        tracing.stop()


def _fastapi(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        try:
            await service.open()
        except ThumbstreamError as error:
            log.critical("cannot start: %s", error)
            raise
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="thumbstream",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    pages, client = Pages(), ClientFiles()
    app.include_router(Api(service).router())
    for path, page in (
        ("/", pages.index),
        ("/gallery", pages.gallery),
        ("/examples", pages.examples),
        ("/web/{path:path}", pages.asset),
        ("/client/{name}", client.newest),
        ("/client/{version}/{name}", client.file),
    ):
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    _tell_errors(app, service)
    _document(app, tokens=bool(service.settings.tokens))
    return app


def _tell_errors(app: FastAPI, service: Service) -> None:
    retry_after, refused = service.settings.retry_after_seconds, service.metrics.refused

    async def thumbstream_error(request: Request, error: Exception) -> Response:
        answer = problem_for(error, retry_after=retry_after)
        refused(answer_for(error).code)
        if answer.status in (503, 507) and not isinstance(error, RefusedError):
            log.warning("%s %r: %s", request.method, request.url.path, error)
        return _response(answer)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = [
            {"parameter": _place(item["loc"]), "message": item["msg"]} for item in error.errors()
        ]
        detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in wrong)
        refused("bad_request")
        return _response(problem(400, "bad_request", detail, more={"errors": wrong}))

    async def unrouted(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        refused(code)
        detail = "no such page" if error.status_code == 404 else error.detail
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers = {"Allow": "GET, HEAD"}  # a route of its own, which the router did not see
        return _response(problem(error.status_code, code, detail, headers=headers))

    app.add_exception_handler(ThumbstreamError, thumbstream_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)
    # Starlette raises the error again after this answer; Observed logs it.
    app.add_exception_handler(Exception, thumbstream_error)


def _place(location: tuple[str | int, ...]) -> str:
    """``("query", "size")`` is told as size, ``("body", "ids", 3)`` as ids.3."""
    return ".".join(map(str, location[1:])) or str(location[0])


def _response(answer: Problem) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _document(app: FastAPI, *, tokens: bool) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            app.openapi_schema = complete(schema, tokens=tokens)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
