"""The ASGI application: FastAPI with its middleware, and the hot path.

every request   access log -> concurrency limit -> signed URLs (the first and last if configured)
stream reads    -> hot path                      /thumb /t /thumbs /thumbs.json, but not DELETE
other requests  -> proxy headers -> request (metrics, errors, id, log) -> CORS -> FastAPI
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from thumbstream import __version__
from thumbstream.errors import ThumbstreamError
from thumbstream.http.errors import BadRequestError, MethodNotAllowedError, NotFoundError
from thumbstream.http.hot_path import THUMB, HotPath, stream_route
from thumbstream.http.middleware import (
    AccessLogMiddleware,
    ConcurrencyLimitMiddleware,
    PublicReadCORSMiddleware,
    RequestMiddleware,
    SignedUrlMiddleware,
    route_template,
)
from thumbstream.http.openapi import complete_document
from thumbstream.http.routes import create_router
from thumbstream.http.services import Services
from thumbstream.settings import Settings

log = logging.getLogger(__name__)

DESCRIPTION = (
    "One stored byte stream per picture; any prefix of it is a preview. POST a picture to "
    "/compress, GET prefixes of its stream from /thumb or /t, and decode them in the browser or "
    "with /decode."
)


class Application:
    """The ASGI application of a service. Its lifespan opens and closes ``services``."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._root_path = services.settings.root_path
        settings, metrics, errors = services.settings, services.metrics, services.errors
        self._hot_path = HotPath(
            services.reader,
            metrics,
            errors,
            services.cors,
            services.responses,
            immutable=services.immutable,
        )
        self._fastapi = create_fastapi_app(services)
        app: ASGIApp = self._dispatch
        if services.signing_keys is not None:
            app = SignedUrlMiddleware(app, services.signing_keys, services.auth, metrics, errors)
        app = ConcurrencyLimitMiddleware(
            app, metrics, errors, limit=settings.max_concurrent_requests
        )
        if settings.access_log:
            app = AccessLogMiddleware(app)
            if settings.forwarded_allow_ips:
                trusted = list(settings.forwarded_allow_ips)
                app = cast(Any, ProxyHeadersMiddleware)(app, trusted)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles an ASGI connection of type ``http`` or ``lifespan``."""
        if self._root_path and scope["type"] == "http":
            # In place: tracing reads this scope afterwards. A proxy may have stripped the root.
            scope["path"] = strip_root_path(scope["path"], self._root_path)
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            route = stream_route(scope["path"])
            if route is not None and not (route == THUMB and scope["method"] == "DELETE"):
                await self._hot_path(route, scope, receive, send)
                return
        else:
            send = self._without_traceback(send)
        await self._fastapi(scope, receive, send)

    def _without_traceback(self, send: Send) -> Send:
        """``send`` of the lifespan: an error that was logged in one line has no traceback."""

        async def send_one(message: Message) -> None:
            failed = message["type"] == "lifespan.startup.failed"
            if failed and self.services.start_error is not None:
                message = {**message, "message": ""}
            await send(message)

        return send_one

    def route(self, scope: Scope) -> str:
        """The path template of the route that served a request, such as ``/thumb/{id}``."""
        return stream_route(scope["path"]) or route_template(scope)


def strip_root_path(path: str, root: str) -> str:
    """``path`` without the prefix ``root``; unchanged if ``path`` does not begin with ``root``."""
    if path == root or path.startswith(f"{root}/"):
        return path[len(root) :] or "/"
    return path


def create_fastapi_app(services: Services) -> FastAPI:
    """Creates the FastAPI application with all routes except those of `HotPath`."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        try:
            await services.open()
        except ThumbstreamError as error:
            log.critical("cannot start: %s", error)
            services.start_error = error
            raise
        try:
            yield
        finally:
            await services.close()

    router = create_router(services)
    app = FastAPI(
        title="thumbstream",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        middleware=_middleware(services),
        # Translated and raised again: `RequestMiddleware` turns every error into its response.
        exception_handlers={
            RequestValidationError: _raise_validation_error,
            HTTPException: partial(_raise_routing_error, router),
        },
        docs_url=None,  # a page of this package: `StaticPages`
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(router)
    _document(app, services.settings)
    return app


def _middleware(services: Services) -> list[Middleware]:
    """The middleware of the FastAPI application, from the outermost to the innermost."""
    settings = services.settings
    middleware = [
        Middleware(RequestMiddleware, services.metrics, services.errors),
        Middleware(PublicReadCORSMiddleware, services.cors),
    ]
    if settings.forwarded_allow_ips:  # the hot path does not depend on the client's address
        trusted = list(settings.forwarded_allow_ips)
        middleware.insert(0, Middleware(ProxyHeadersMiddleware, trusted))
    return middleware


async def _raise_validation_error(_request: Request, error: Exception) -> NoReturn:
    assert isinstance(error, RequestValidationError)
    wrong = [
        {"parameter": _error_location(item["loc"]), "message": _error_message(item)}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in wrong)
    raise BadRequestError(detail, members={"errors": wrong}) from None


async def _raise_routing_error(router: APIRouter, request: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        raise NotFoundError("no such page", headers=headers) from None
    if error.status_code == 405:
        allowed = _allowed_methods(router, request)
        raise MethodNotAllowedError(
            f"expected one of {allowed}", headers={"Allow": allowed}
        ) from None
    raise BadRequestError(error.detail, headers=headers) from None


def _allowed_methods(router: APIRouter, request: Request) -> str:
    """The methods of all routes of the path; Starlette names those of the first route alone."""
    methods: set[str] = set()
    for route in router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods))


def _error_message(item: dict[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def _error_location(location: tuple[str | int, ...]) -> str:
    """Joins a location: ``("query", "size")`` gives size, ``("body", "ids", 3)`` gives ids.3."""
    return ".".join(map(str, location[1:])) or str(location[0])


def _document(app: FastAPI, settings: Settings) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schema["servers"] = [{"url": settings.root_path or "/"}]
            app.openapi_schema = complete_document(schema, tokens=bool(settings.tokens))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
