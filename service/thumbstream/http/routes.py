"""The FastAPI side: uploads, previews, budgets, models, health. Each endpoint: read, do, answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from thumbstream.codec.prefix_search import Target as CodecTarget
from thumbstream.encoding import EncodeOptions
from thumbstream.http.budget_route import Budgeting
from thumbstream.http.conditional import matches_any
from thumbstream.http.disconnect import unless_gone
from thumbstream.http.negotiation import preferred_format
from thumbstream.http.openapi import problem_response
from thumbstream.http.parameters import (
    BUDGET_BODY,
    METRICS,
    PICTURE_BODY,
    PREVIEW,
    STREAM_BODY,
    Bytes,
    Format,
    Id,
    MaxBytes,
    Model,
    Scale,
    Size,
    Target,
    Transparency,
)
from thumbstream.http.query import MAX_BYTES
from thumbstream.http.refusals import BadRequestError, NotFoundError
from thumbstream.http.replies import FOR_EVER
from thumbstream.http.schemas import (
    Compressed,
    Health,
    ModelList,
    PageBudget,
    ProblemDocument,
    Ready,
    compressed,
)
from thumbstream.http.services import Service
from thumbstream.ids import is_id
from thumbstream.images import Alpha
from thumbstream.images.write import MEDIA_TYPES, PictureFormat


class Api:
    """The endpoints of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._budgeting = Budgeting(service)

    async def compress(
        self,
        request: Request,
        size: Size = None,
        max_bytes: MaxBytes = None,
        target: Target = None,
        model: Model = None,
        alpha: Transparency = Alpha.KEEP,
    ) -> Response:
        """A picture in, a stream out: kept durably under its content id.

        201 when the stream is new, 200 when the same one was there already.
        """
        service = self._service
        service.models.resolve(model)  # an unknown model is refused before the body is read
        goal = _target(target, max_bytes)
        picture = await service.uploads.picture(request)
        side = size or service.settings.default_size
        options = EncodeOptions(side, max_bytes, goal, model, alpha)
        receipt = await unless_gone(request.receive, service.pipeline.compress(picture, options))
        answer = compressed(receipt)
        return JSONResponse(
            answer.model_dump(),
            status_code=201 if receipt.new else 200,
            headers={"Location": answer.url, "Cache-Control": "no-store"},
        )

    async def decode(
        self,
        request: Request,
        wanted: Bytes = MAX_BYTES,
        form: Format = None,
        scale: Scale = 1,
    ) -> Response:
        """A stream, or any prefix of one, in; a picture out. Nothing is kept."""
        service = self._service
        stream = await service.uploads.raw(request, service.settings.decode_max_bytes)
        chosen = form or preferred_format(request.headers.get("accept", ""))
        preview = service.pipeline.preview(stream[:wanted], chosen, scale)
        body = await unless_gone(request.receive, preview)
        return _picture(body, chosen, {"Cache-Control": "no-store"})

    async def decode_stored(
        self,
        request: Request,
        key: Id,
        wanted: Bytes = MAX_BYTES,
        form: Format = None,
        scale: Scale = 1,
    ) -> Response:
        """A stored stream, or its first bytes, as a picture: for clients that run no script."""
        stream = await self._service.reader.get(key) if is_id(key) else None
        if stream is None:
            raise NotFoundError("no stream has this id")
        prefix = stream[:wanted]
        chosen = form or preferred_format(request.headers.get("accept", ""))
        # Weak: another release may write the same pixels as other bytes.
        etag = f'W/"{key}.{len(prefix)}.{chosen}.{scale}"'
        headers = {"ETag": etag, "Cache-Control": FOR_EVER}
        if form is None:
            headers["Vary"] = "Accept"
        if matches_any(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        preview = self._service.pipeline.preview(prefix, chosen, scale)
        body = await unless_gone(request.receive, preview)
        return _picture(body, chosen, headers)

    async def budget(self, request: Request) -> Response:
        """A page's bytes, split over its thumbnails so that their summed quality is highest.

        From the curves that were measured at the upload; nothing is stored.
        """
        answer = await self._budgeting.answer(request)
        return JSONResponse(answer.model_dump(), headers={"Cache-Control": "no-store"})

    async def models(self) -> Response:
        """The models that uploads may name, the default first, with their manifests."""
        models = self._service.models
        answer = ModelList(default=models.enabled[0], models=models.describe())
        return JSONResponse(answer.model_dump(), headers={"Cache-Control": "public, max-age=60"})

    async def healthz(self) -> Response:
        """The process runs. Depends on nothing: a failing store is no reason to restart it."""
        return JSONResponse(Health().model_dump(), headers={"Cache-Control": "no-store"})

    async def readyz(self) -> Response:
        """The process can work: models are loaded, the store answers, nobody asked it to stop."""
        service = self._service
        await service.check_ready()
        answer = Ready(store=service.store.name, models=list(service.models.enabled))
        return JSONResponse(answer.model_dump(), headers={"Cache-Control": "no-store"})

    async def metrics(self) -> Response:
        """Counters in Prometheus' text format."""
        return Response(
            self._service.metrics.render(),
            media_type="text/plain; version=0.0.4; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )

    def router(self) -> APIRouter:
        """The routes, with what OpenAPI says of them."""
        gate = self._service.gate
        router = APIRouter()
        router.add_api_route(
            "/compress",
            self.compress,
            methods=["POST"],
            tags=["pictures"],
            status_code=201,
            response_model=Compressed,
            dependencies=[Depends(gate.upload)],
            openapi_extra=PICTURE_BODY,
            responses={
                200: {"model": Compressed, "description": "The same stream was there already."},
                **_errors(400, 401, 408, 413, 415, 422, 429, 503, 507),
            },
        )
        router.add_api_route(
            "/decode",
            self.decode,
            methods=["POST"],
            tags=["pictures"],
            response_class=Response,
            dependencies=[Depends(gate.work)],
            openapi_extra=STREAM_BODY,
            responses={200: PREVIEW, **_errors(400, 408, 413, 422, 429, 503)},
        )
        _get(
            router,
            "/decode/{id}",
            self.decode_stored,
            tags=["pictures"],
            response_class=Response,
            responses={
                200: PREVIEW,
                304: {"description": "If-None-Match names the current ETag."},
                **_errors(400, 403, 404, 429, 503),
            },
        )
        router.add_api_route(
            "/budget",
            self.budget,
            methods=["POST"],
            tags=["streams"],
            response_model=PageBudget,
            dependencies=[Depends(gate.work)],
            openapi_extra=BUDGET_BODY,
            responses=_errors(400, 403, 408, 413, 429, 503),
        )
        _get(router, "/models", self.models, tags=["service"], response_model=ModelList)
        _get(router, "/healthz", self.healthz, tags=["service"], response_model=Health)
        _get(
            router,
            "/readyz",
            self.readyz,
            tags=["service"],
            response_model=Ready,
            responses=_errors(503),
        )
        _get(
            router,
            "/metrics",
            self.metrics,
            tags=["service"],
            response_class=Response,
            responses={200: METRICS},
        )
        return router


def _get(router: APIRouter, path: str, endpoint: Any, **options: Any) -> None:
    router.add_api_route(path, endpoint, methods=["GET"], **options)
    router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)


def _target(text: str | None, max_bytes: int | None) -> CodecTarget | None:
    if text is None:
        return None
    if max_bytes is not None:
        raise BadRequestError("target and max_bytes exclude each other: bytes:64 is a target")
    try:
        return CodecTarget.parse(text)
    except ValueError as error:
        raise BadRequestError(f"target: {error}") from None


def _picture(body: bytes, form: PictureFormat, headers: dict[str, str]) -> Response:
    fixed = {"Content-Type": MEDIA_TYPES[form], "X-Content-Type-Options": "nosniff"}
    return Response(body, headers={**fixed, **headers})


_DESCRIPTIONS = {
    400: "A parameter, the body or the stream is malformed.",
    401: "A bearer token is needed.",
    403: "Reads are signed here, and this one is not, or no longer.",
    404: "No such stream.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "Not a picture of a supported format.",
    422: "The picture cannot be decoded or has too many pixels; or the model is unknown.",
    429: "The queue is full, or this client has asked too often; see Retry-After.",
    503: "The service or its store cannot answer now; see Retry-After.",
    507: "The store is full.",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {**problem_response(_DESCRIPTIONS[status]), "model": ProblemDocument}
        for status in statuses
    }
