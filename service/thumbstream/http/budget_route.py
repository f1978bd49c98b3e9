"""``POST /budget``: splits a limit of bytes over the pictures of a page, by their stored curves.

    read body -> streams and curves from the reader -> plan -> respond

The route stores nothing and runs no network. It reads the streams as well as the curves: a curve
is of no use without its stream, and the client will request prefixes of these streams next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.http.errors import BadRequestError
from thumbstream.http.query import MAX_IDS
from thumbstream.http.schemas import BudgetRequest, BudgetShare, PageBudget, UniformAllocation
from thumbstream.http.services import Services
from thumbstream.http.signing import Grant, split_query
from thumbstream.page_budget import PageImage, plan_budget

MAX_BUDGET_IDS = 512
"""Limit of the ids in one request: more pictures than any page shows at once."""

MAX_BODY_BYTES = 1024 + 64 * MAX_BUDGET_IDS
"""Limit of a request body: 64 bytes for each id with its JSON syntax and indentation, and 1024 for
the other members."""

DECIMALS = 4
"""Decimals of a quality in the response. Stored steps: 1/65535 for SSIM, 1/512 dB for PSNR."""


class BudgetEndpoint:
    """The endpoint of ``POST /budget``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def respond(self, request: Request) -> Response:
        """A page's bytes, split over its thumbnails so that their summed quality is highest.

        From the curves that were measured at the upload; nothing is stored.
        """
        query = await self._read(request)
        grant = self._authorize(request, query)
        page = Counter(query.ids)  # in the order of first appearance
        keys = list(page)
        streams, curves = await self._services.reader.get_with_curves(keys)
        known = {key for key, stream in zip(keys, streams, strict=True) if stream is not None}
        stored = dict(zip(keys, curves, strict=True))
        budget = await self._services.pipeline.run(lambda: _plan_page(query, page, known, stored))
        if grant is not None:  # the same client may fetch the streams of the plan
            budget.urls = [grant.sign(url) for url in budget.urls]
        budget.urls = [self._services.settings.root_path + url for url in budget.urls]
        return JSONResponse(budget.model_dump(), headers={"Cache-Control": "no-store"})

    def _authorize(self, request: Request, query: BudgetRequest) -> Grant | None:
        """Checks the signature of the ids if reads require one and the request has no token."""
        keys = self._services.signing_keys
        if keys is None or self._services.auth.has_token(request.scope):
            return None
        _, exp, sig = split_query(request.scope["query_string"])
        return keys.check(",".join(query.ids), exp, sig)

    async def _read(self, request: Request) -> BudgetRequest:
        body = await self._services.uploads.read_raw(request, MAX_BODY_BYTES)
        try:
            query = BudgetRequest.model_validate_json(body)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError(
                [{**item, "loc": ("body", *item["loc"])} for item in wrong]
            ) from None
        if len(query.ids) > MAX_BUDGET_IDS:
            raise BadRequestError(f"ids: expected 1 to {MAX_BUDGET_IDS} ids")
        return query


def _plan_page(
    query: BudgetRequest,
    page: Mapping[str, int],
    known: set[str],
    stored: Mapping[str, bytes | None],
) -> PageBudget:
    images = {}
    for key, uses in page.items():
        curve = RateCurve.from_stored(stored[key]) if key in known else None
        if curve is not None:
            qualities = curve.ssim if query.measure == "ssim" else curve.psnr
            images[key] = PageImage(curve.lengths, qualities, uses)
    plan = plan_budget(list(images.values()), query.total_bytes)
    points = dict(zip(images, plan.best.points, strict=True))
    return PageBudget(
        measure=query.measure,
        total_bytes=query.total_bytes,
        used_bytes=plan.best.bytes,
        mean=round(plan.best.mean, DECIMALS),
        uniform=UniformAllocation(
            bytes_each=plan.uniform_limit, mean=round(plan.uniform.mean, DECIMALS)
        ),
        gain=round(plan.best.mean - plan.uniform.mean, DECIMALS),
        thumbs={
            key: BudgetShare(bytes=point.bytes, quality=round(point.quality, DECIMALS))
            for key, point in points.items()
        },
        urls=_urls([f"{key}:{p.bytes}" for key, p in points.items() if p.bytes]),
        unknown=[key for key in page if key not in known],
        without_curve=[key for key in page if key in known and key not in images],
    )


def _urls(entries: list[str]) -> list[str]:
    return [
        f"/thumbs?ids={','.join(entries[first : first + MAX_IDS])}"
        for first in range(0, len(entries), MAX_IDS)
    ]
