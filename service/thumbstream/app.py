"""create_app() and serve(): all the wiring.

scope -> hot path (raw ASGI)            /thumb /t /thumbs /thumbs.json
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
from starlette.types import Receive, Scope, Send

from thumbstream import __version__, server
from thumbstream import zoo as published_models
from thumbstream.catalogue import Zoo
from thumbstream.codec.errors import ThumbstreamError
from thumbstream.http.api import Api
from thumbstream.http.clientfiles import ClientFiles
from thumbstream.http.cors import PublicReads
from thumbstream.http.hotpath import HotPath
from thumbstream.http.observe import Observed
from thumbstream.http.openapi import complete
from thumbstream.http.pages import Pages
from thumbstream.http.problems import Problem, problem, problem_for
from thumbstream.http.refusals import RefusedError
from thumbstream.http.service import Service
from thumbstream.logs import configure_logging
from thumbstream.settings import Settings
from thumbstream.store import Store, open_store

log = logging.getLogger(__name__)

DESCRIPTION = (
    "One stored byte stream per picture, any prefix of which is the best preview those bytes can "
    "buy. POST a picture to /compress, GET prefixes of its stream from /thumb or /t, and decode "
    "them in the browser or with /decode."
)


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
        self._rest = Observed(
            PublicReads(_fastapi(service), settings.cors_origin),
            service.metrics,
            access_log=settings.access_log,
            retry_after=settings.retry_after_seconds,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "http":
            route = self._hotpath.route(scope["path"])
            if route is not None:
                await self._hotpath(route, scope, receive, send)
                return
        await self._rest(scope, receive, send)


def create_app(
    settings: Settings, *, zoo: Zoo = published_models, store: Store | None = None
) -> Application:
    """A service as an ASGI application; it opens its store and models with the lifespan.

    ``zoo`` and ``store`` stand in for the published models and for ``settings.store``.
    """
    if store is None:
        store = open_store(settings.store)
    return Application(Service(settings, zoo=zoo, store=store))


def serve(settings: Settings, *, zoo: Zoo = published_models, store: Store | None = None) -> bool:
    """Serves on ``settings.host`` and ``settings.port`` until a signal ends it, then returns True.

    False: it could not start; the log says why. Raises `ValueError` for a store that is no URL.
    """
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings, zoo=zoo, store=store)
    return server.run(app, settings, on_drain=app.service.drain)


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
    _tell_errors(app, service.settings.retry_after_seconds)
    _document(app, tokens=bool(service.settings.tokens))
    return app


def _tell_errors(app: FastAPI, retry_after: int) -> None:
    async def thumbstream_error(request: Request, error: Exception) -> Response:
        answer = problem_for(error, retry_after=retry_after)
        if answer.status in (503, 507) and not isinstance(error, RefusedError):
            log.warning("%s %r: %s", request.method, request.url.path, error)
        return _response(answer)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = [
            {"parameter": _place(item["loc"]), "message": item["msg"]} for item in error.errors()
        ]
        detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in wrong)
        return _response(problem(400, "bad_request", detail, more={"errors": wrong}))

    async def unrouted(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
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
