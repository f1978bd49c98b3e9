"""``POST /budget``: the stored curves of a page's pictures in, bytes for each of them out.

    read body -> streams and curves from the reader -> plan -> tell

Nothing is stored and no network runs. The streams are read along with the curves, because a curve
without its stream is worth nothing, and because their prefixes are what will be asked for next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.http.refusals import BadRequestError
from thumbstream.http.schemas import BudgetRequest, BudgetShare, EqualShares, PageBudget
from thumbstream.http.services import Service
from thumbstream.http.signed_reads import may_read, split_query
from thumbstream.http.signing import Grant
from thumbstream.page_budget import Plan, Shown, plan

BODY_BYTES_PER_ID = 64
"""Room for an id of 22 characters, its quotation marks, comma and indentation."""
BODY_BYTES = 1024
"""Room for the rest of the body."""

DECIMALS = 4
"""Of a quality: an SSIM is stored in steps of 1/65535, a PSNR in steps of 1/512 dB."""


class Budgeting:
    """Splits budgets over the streams of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._max_ids = service.settings.max_budget_ids

    async def answer(self, request: Request) -> PageBudget:
        """The plan for the body of ``request``.

        Raises `BadRequestError`, `BadSignatureError`, `ExpiredError`, `UnauthorizedError`,
        `RequestValidationError`, what `Uploads.raw` raises,
        `OverloadedError`, `TooSlowError` and `StoreError`.
        """
        asked = await self._read(request)
        grant = self._granted(request, asked)
        page = Counter(asked.ids)  # in the order of first appearance
        keys = list(page)
        streams, curves = await self._service.reader.get_with_curves(keys)
        known = {key for key, stream in zip(keys, streams, strict=True) if stream is not None}
        stored = dict(zip(keys, curves, strict=True))
        urls_of = self._service.settings.max_ids
        answer = await self._service.pipeline.work(
            lambda: _answer(asked, page, known, stored, urls_of)
        )
        if grant is not None:  # who may ask for the plan may fetch what it names
            answer.urls = [grant.sign(url) for url in answer.urls]
        return answer

    def _granted(self, request: Request, asked: BudgetRequest) -> Grant | None:
        """Checks the signature of the ids, where reads are signed and no token came along."""
        keys = self._service.read_keys
        if keys is None or may_read(self._service.doorkeeper, request.scope):
            return None
        _, exp, sig = split_query(request.scope["query_string"])
        return keys.check(",".join(asked.ids), exp, sig)

    async def _read(self, request: Request) -> BudgetRequest:
        limit = BODY_BYTES + BODY_BYTES_PER_ID * self._max_ids
        body = await self._service.uploads.raw(request, limit)
        try:
            asked = BudgetRequest.model_validate_json(body)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError(
                [{**item, "loc": ("body", *item["loc"])} for item in wrong]
            ) from None
        if len(asked.ids) > self._max_ids:
            raise BadRequestError(f"ids must name 1 to {self._max_ids} streams")
        return asked


def _answer(
    asked: BudgetRequest,
    page: Mapping[str, int],
    known: set[str],
    stored: Mapping[str, bytes | None],
    ids_a_url: int,
) -> PageBudget:
    shown = {}
    for key, times in page.items():
        curve = RateCurve.from_stored(stored[key]) if key in known else None
        if curve is not None:
            qualities = curve.ssim if asked.measure == "ssim" else curve.psnr
            shown[key] = Shown(curve.lengths, qualities, times)
    chosen = plan(list(shown.values()), asked.total_bytes)
    points = dict(zip(shown, chosen.best.points, strict=True))
    return PageBudget(
        measure=asked.measure,
        total_bytes=asked.total_bytes,
        used_bytes=chosen.best.bytes,
        mean=round(chosen.best.mean, DECIMALS),
        equal_shares=_equal_shares(chosen),
        gain=round(chosen.best.mean - chosen.equal.mean, DECIMALS),
        thumbs={
            key: BudgetShare(bytes=point.bytes, quality=round(point.quality, DECIMALS))
            for key, point in points.items()
        },
        urls=_urls([f"{key}:{p.bytes}" for key, p in points.items() if p.bytes], ids_a_url),
        unknown=[key for key in page if key not in known],
        without_curve=[key for key in page if key in known and key not in shown],
    )


def _equal_shares(chosen: Plan) -> EqualShares:
    return EqualShares(bytes_each=chosen.bytes_each, mean=round(chosen.equal.mean, DECIMALS))


def _urls(names: list[str], each: int) -> list[str]:
    return [
        f"/thumbs?ids={','.join(names[first : first + each])}"
        for first in range(0, len(names), each)
    ]
