"""Errors as ``application/problem+json`` (RFC 9457): the one table from error class to answer.

Used by the hot path and by FastAPI alike. ``code`` is stable: programs branch on it, people read
``detail``. For answers that are the service's own fault ``detail`` is a fixed sentence, because the
text of an internal error is nobody's business outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from thumbstream import errors
from thumbstream import images as ingest
from thumbstream import storage as store
from thumbstream.http import refusals
from thumbstream.pipeline import PreviewTooLargeError, TooSlowError
from thumbstream.workers import OverloadedError

MEDIA_TYPE = "application/problem+json"

NEGATIVE_CACHE = "public, max-age=10"
"""Shields the store from a broken link that many follow, and is soon forgotten."""


class Answer(NamedTuple):
    """How an error class is told: ``detail`` None tells the error's own text."""

    status: int
    code: str
    detail: str | None = None


INTERNAL = Answer(500, "internal", "The service failed. The log has the reason.")

ANSWERS: dict[type[Exception], Answer] = {
    refusals.BadRequestError: Answer(400, "bad_request"),
    errors.BitstreamError: Answer(400, "bad_stream"),
    PreviewTooLargeError: Answer(400, "preview_too_large"),
    refusals.UnauthorizedError: Answer(401, "unauthorized"),
    refusals.BadSignatureError: Answer(403, "bad_signature"),
    refusals.ExpiredError: Answer(403, "expired"),
    refusals.NotFoundError: Answer(404, "not_found"),
    refusals.MethodNotAllowedError: Answer(405, "method_not_allowed"),
    refusals.HeadTimeoutError: Answer(408, "head_timeout"),
    refusals.UploadTimeoutError: Answer(408, "upload_timeout"),
    refusals.BodyTooLargeError: Answer(413, "body_too_large"),
    ingest.TooManyBytesError: Answer(413, "body_too_large"),
    refusals.UrlTooLongError: Answer(414, "url_too_long"),
    refusals.UnsupportedMediaTypeError: Answer(415, "unsupported_media_type"),
    ingest.UnsupportedFormatError: Answer(415, "unsupported_format"),
    refusals.RangeNotSatisfiableError: Answer(416, "range_not_satisfiable"),
    errors.UnknownModelError: Answer(422, "unknown_model"),
    ingest.TooManyPixelsError: Answer(422, "too_many_pixels"),
    ingest.IngestError: Answer(422, "invalid_image"),
    OverloadedError: Answer(429, "overloaded", "Too much work at once. Try again later."),
    refusals.RateLimitedError: Answer(429, "rate_limited"),
    refusals.HeadersTooLargeError: Answer(431, "headers_too_large"),
    refusals.ClientGoneError: Answer(499, "client_gone"),
    refusals.BusyError: Answer(503, "busy"),
    refusals.NotReadyError: Answer(503, "not_ready"),
    TooSlowError: Answer(503, "too_slow", "The work took too long. Try again later."),
    errors.ArtifactError: Answer(503, "model_unavailable", "A model of this service is unusable."),
    errors.DeviceError: Answer(503, "model_unavailable", "A model of this service is unusable."),
    store.StoreFullError: Answer(507, "store_full", "The store has no room left."),
    store.StoreError: Answer(503, "store_unavailable", "The store does not answer."),
}
"""Error class -> answer. A subclass that is not listed is told like its nearest listed base."""

RETRY_LATER = (429, 503)


class Problem(NamedTuple):
    """A complete answer: status, header fields, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer_for(error: Exception) -> Answer:
    """The row of the table for an error; `INTERNAL` for one that nobody raised on purpose."""
    return next((ANSWERS[c] for c in type(error).__mro__ if c in ANSWERS), INTERNAL)


def problem_for(error: Exception, *, retry_after: int) -> Problem:
    """The answer to an error; ``retry_after`` (seconds) goes with 429 and 503."""
    answer = answer_for(error)
    detail = str(error) if answer.detail is None else answer.detail
    headers = dict(error.headers) if isinstance(error, refusals.RefusedError) else {}
    if answer.status in RETRY_LATER:
        headers.setdefault("Retry-After", str(retry_after))
    return problem(answer.status, answer.code, detail, headers=headers)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Problem:
    """A problem document; ``more`` are extension members."""
    document = {
        "type": f"urn:thumbstream:problem:{code}",
        "title": _title(status),
        "status": status,
        "code": code,
        "detail": detail,
        **(more or {}),
    }
    body = json.dumps(document, ensure_ascii=False).encode()
    fixed = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Cache-Control": NEGATIVE_CACHE if status == HTTPStatus.NOT_FOUND else "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Problem(status, {**fixed, **(headers or {})}, body)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"
