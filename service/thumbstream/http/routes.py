"""The FastAPI routes with their guards; `create_router` lists all of them.

An endpoint reads the request, calls one of the `Services`, and returns the response. Endpoints and
guards raise errors, and `RequestMiddleware` sends the error responses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from thumbstream.codec.prefix_search import Target as CodecTarget
from thumbstream.encoding import EncodeOptions
from thumbstream.http.budget_route import BudgetEndpoint
from thumbstream.http.errors import BadRequestError, NotFoundError
from thumbstream.http.openapi import problem_response
from thumbstream.http.query import MAX_BYTES, check_parameters
from thumbstream.http.request_headers import matches_any, preferred_format
from thumbstream.http.responses import cache_tags
from thumbstream.http.schemas import (
    BUDGET_BODY,
    METRICS,
    PICTURE_BODY,
    PREVIEW,
    STREAM_BODY,
    Bytes,
    CompressResponse,
    EncodeEffort,
    Format,
    Health,
    Id,
    LabelDeletion,
    MaxBytes,
    Model,
    ModelList,
    PageBudget,
    ProblemDocument,
    ReadyResponse,
    Scale,
    Size,
    StreamDescription,
    StreamList,
    Target,
    Transparency,
    UploadLabel,
    compress_response,
)
from thumbstream.http.services import Services
from thumbstream.http.static import ClientAssets, StaticPages
from thumbstream.http.streams_route import StreamsEndpoint
from thumbstream.http.uploads import cancel_on_disconnect
from thumbstream.ids import is_id
from thumbstream.images import Alpha
from thumbstream.images.write import MEDIA_TYPES, PictureFormat
from thumbstream.storage.base import NO_LABEL

MAX_DECODE_BYTES = 64 * 1024
"""Limit of the body of ``POST /decode``: far above the length of every stream."""

Guard = Callable[[Request], Awaitable[None]]


def create_router(services: Services) -> APIRouter:
    """Creates the router of all FastAPI routes. Guards run before the endpoint, in given order."""
    router = APIRouter()
    endpoints, budget = Endpoints(services), BudgetEndpoint(services)
    client = ClientAssets()
    pages = StaticPages(services.settings.root_path, client.version)
    streams, token = StreamsEndpoint(services), services.guard.require_token
    uploads, work = services.guard.limit_uploads, services.guard.limit_work

    def add(method: str, path: str, endpoint: Any, *guards: Guard, **options: Any) -> None:
        guarded = [Depends(guard) for guard in guards]
        router.add_api_route(path, endpoint, methods=[method], dependencies=guarded, **options)
        if method == "GET":
            options["include_in_schema"] = False
            router.add_api_route(path, endpoint, methods=["HEAD"], dependencies=guarded, **options)

    add(
        "POST",
        "/compress",
        endpoints.compress,
        known_parameters("size", "max_bytes", "target", "model", "alpha", "effort", "label"),
        uploads,
        tags=["pictures"],
        status_code=201,
        response_model=CompressResponse,
        openapi_extra=PICTURE_BODY,
        responses={
            200: {"model": CompressResponse, "description": "The stream was stored already."},
            **_errors(400, 401, 403, 408, 413, 415, 422, 429, 503, 507),
        },
    )
    add(
        "POST",
        "/decode",
        endpoints.decode,
        known_parameters("bytes", "format", "scale"),
        work,
        tags=["pictures"],
        response_class=Response,
        openapi_extra=STREAM_BODY,
        responses={200: PREVIEW, **_errors(400, 408, 413, 422, 429, 503)},
    )
    add(
        "GET",
        "/decode/{id}",
        endpoints.decode_stored,
        known_parameters("bytes", "format", "scale"),
        work,
        tags=["pictures"],
        response_class=Response,
        responses={
            200: PREVIEW,
            304: {"description": "If-None-Match names the current ETag."},
            **_errors(400, 403, 404, 429, 503),
        },
    )
    add(
        "POST",
        "/budget",
        budget.respond,
        known_parameters(),
        work,
        tags=["streams"],
        response_model=PageBudget,
        openapi_extra=BUDGET_BODY,
        responses=_errors(400, 403, 408, 413, 429, 503),
    )
    add(
        "DELETE",
        "/thumb/{id}",
        streams.delete,
        known_parameters(),
        token,
        tags=["life cycle"],
        status_code=204,
        response_class=Response,
        responses=_errors(400, 401, 404, 429, 503),
    )
    add(
        "GET",
        "/streams/{id}",
        streams.show,
        known_parameters(),
        token,
        tags=["life cycle"],
        response_model=StreamDescription,
        responses=_errors(400, 401, 404, 429, 503),
    )
    add(
        "GET",
        "/streams",
        streams.list_label,
        known_parameters("label", "after", "limit"),
        token,
        tags=["life cycle"],
        response_model=StreamList,
        responses=_errors(400, 401, 429, 503),
    )
    add(
        "DELETE",
        "/streams",
        streams.remove_label,
        known_parameters("label"),
        token,
        tags=["life cycle"],
        response_model=LabelDeletion,
        responses=_errors(400, 401, 429, 503),
    )
    add("GET", "/models", endpoints.models, tags=["service"], response_model=ModelList)
    add("GET", "/healthz", endpoints.healthz, tags=["service"], response_model=Health)
    add(
        "GET",
        "/readyz",
        endpoints.readyz,
        tags=["service"],
        response_model=ReadyResponse,
        responses=_errors(503),
    )
    add(
        "GET",
        "/metrics",
        endpoints.metrics,
        tags=["service"],
        response_class=Response,
        responses={200: METRICS},
    )
    for path, endpoint in (
        ("/", pages.index),
        ("/gallery", pages.gallery),
        ("/docs", pages.docs),
        ("/web/{path:path}", pages.asset),
        ("/client/{name}", client.latest),
        ("/client/{version}/{name}", client.file),
    ):
        add("GET", path, endpoint, include_in_schema=False)
    return router


def known_parameters(*names: str) -> Guard:
    """Creates a guard that rejects repeated query parameters, and any that are not in ``names``."""
    known = frozenset(names)

    async def check(request: Request) -> None:
        names = [name for name, _ in request.query_params.multi_items()]
        check_parameters(set(names), known)
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise BadRequestError(f"{repeated[:64]}: expected one value")

    return check


class Endpoints:
    """The endpoints of all FastAPI routes except /budget and the static files."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def compress(
        self,
        request: Request,
        size: Size = None,
        max_bytes: MaxBytes = None,
        target: Target = None,
        model: Model = None,
        alpha: Transparency = Alpha.KEEP,
        effort: EncodeEffort = None,
        label: UploadLabel = None,
    ) -> Response:
        """A picture in, a stream out: stored durably under its content id.

        201 when the stream is new, 200 when the same one was stored already.
        """
        services = self._services
        options = EncodeOptions(
            size=size or services.settings.default_size,
            max_bytes=max_bytes,
            target=_parse_target(target, max_bytes),
            model=services.models.resolve(model),
            alpha=alpha,
            effort=effort or services.settings.effort,
        )  # wrong options are rejected before the body is read
        picture = await services.uploads.read_picture(request)
        work = services.pipeline.compress(picture, options, label=label or NO_LABEL)
        result = await cancel_on_disconnect(request.receive, work)
        response = compress_response(result, services.settings.root_path)
        return JSONResponse(
            response.model_dump(),
            status_code=201 if result.new else 200,
            headers={"Location": response.url, "Cache-Control": "no-store"},
        )

    async def decode(
        self,
        request: Request,
        length: Bytes = MAX_BYTES,
        form: Format = None,
        scale: Scale = 1,
    ) -> Response:
        """A stream, or any prefix of one, in; a picture out. Nothing is stored."""
        services = self._services
        stream = await services.uploads.read_raw(request, MAX_DECODE_BYTES)
        form = form or preferred_format(request.headers.get("accept", ""))
        work = services.pipeline.preview(stream[:length], form, scale)
        body = await cancel_on_disconnect(request.receive, work)
        return _picture_response(body, form, {"Cache-Control": "no-store"})

    async def decode_stored(
        self,
        request: Request,
        key: Id,
        length: Bytes = MAX_BYTES,
        form: Format = None,
        scale: Scale = 1,
    ) -> Response:
        """A stored stream, or its first bytes, as a picture: for clients without JavaScript."""
        stream = await self._services.reader.get(key) if is_id(key) else None
        if stream is None:
            raise NotFoundError("no stream has this id")
        prefix = stream[:length]
        negotiated = form or preferred_format(request.headers.get("accept", ""))
        # Weak: another release may write the same pixels as other bytes.
        etag = f'W/"{key}.{len(prefix)}.{negotiated}.{scale}"'
        headers = {"ETag": etag, "Cache-Control": self._services.immutable}
        headers |= {name.decode(): value.decode() for name, value in cache_tags([key])}
        if form is None:
            headers["Vary"] = "Accept"
        if matches_any(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        work = self._services.pipeline.preview(prefix, negotiated, scale)
        body = await cancel_on_disconnect(request.receive, work)
        return _picture_response(body, negotiated, headers)

    async def models(self) -> Response:
        """The models that uploads may name, the default first, with their manifests."""
        models = self._services.models
        response = ModelList(default=models.enabled[0], models=models.describe())
        return JSONResponse(response.model_dump(), headers={"Cache-Control": "public, max-age=60"})

    async def healthz(self) -> Response:
        """The process runs. Depends on nothing: a failing store is no reason to restart it."""
        return JSONResponse(Health().model_dump(), headers={"Cache-Control": "no-store"})

    async def readyz(self) -> Response:
        """The service is ready: models are open, the store answers, it is not stopping."""
        services = self._services
        await services.check_ready()
        response = ReadyResponse(store=services.store.name, models=list(services.models.enabled))
        return JSONResponse(response.model_dump(), headers={"Cache-Control": "no-store"})

    async def metrics(self) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(
            self._services.metrics.render(),
            media_type="text/plain; version=0.0.4; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )


def _parse_target(text: str | None, max_bytes: int | None) -> CodecTarget | None:
    if text is None:
        return None
    if max_bytes is not None:
        raise BadRequestError("target and max_bytes are mutually exclusive: bytes:64 is a target")
    try:
        return CodecTarget.parse(text)
    except ValueError as error:
        raise BadRequestError(f"target: {error}") from None


def _picture_response(body: bytes, form: PictureFormat, headers: dict[str, str]) -> Response:
    fixed = {"Content-Type": MEDIA_TYPES[form], "X-Content-Type-Options": "nosniff"}
    return Response(body, headers={**fixed, **headers})


_DESCRIPTIONS = {
    400: "A parameter, the body or the stream is malformed.",
    401: "A bearer token is required.",
    403: "Reads are signed here, and this one is not, or its signature has expired; or a page of "
    "another site uploads without a token.",
    404: "No such stream.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "Not a picture of a supported format.",
    422: "The picture is damaged or has too many pixels, or the model is unknown.",
    429: "The queue is full, or this client has reached its rate limit; see Retry-After.",
    503: "The service or its store cannot answer now; see Retry-After.",
    507: "The store is full.",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {**problem_response(_DESCRIPTIONS[status]), "model": ProblemDocument}
        for status in statuses
    }
