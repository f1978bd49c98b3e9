"""Everything but the hot path, in FastAPI: routes, pages, errors, the OpenAPI document."""

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

from thumbstream import __version__
from thumbstream.errors import ThumbstreamError
from thumbstream.http.client_assets import ClientFiles
from thumbstream.http.errors import Problem, answer_for, problem, problem_for
from thumbstream.http.openapi import complete
from thumbstream.http.refusals import RefusedError
from thumbstream.http.routes import Api
from thumbstream.http.services import Service
from thumbstream.http.static import Pages

log = logging.getLogger(__name__)

DESCRIPTION = (
    "One stored byte stream per picture, any prefix of which is the best preview those bytes can "
    "buy. POST a picture to /compress, GET prefixes of its stream from /thumb or /t, and decode "
    "them in the browser or with /decode."
)


def rest(service: Service) -> FastAPI:
    """The routes of ``service``; its lifespan opens and closes it."""

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
    retry_after, refused = service.settings.retry_after_seconds, service.metrics.count_error

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
