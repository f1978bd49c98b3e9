"""Error responses as ``application/problem+json`` (RFC 9457), from one table, `PROBLEMS`.

Other modules raise errors. `ErrorResponder` counts an error, adds the request id and CORS fields,
and sends the JSON document. Clients branch on its member ``code``, which is stable; ``detail`` is
for people. Where the service itself is at fault, ``detail`` is a fixed sentence: the text of an
internal error may contain a path, a host name or a secret.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.types import Scope, Send

from thumbstream import errors
from thumbstream.http.responses import CORS, NEGATIVE_CACHE_CONTROL, RawResponse, encode_headers
from thumbstream.pipeline import PreviewTooLargeError
from thumbstream.telemetry.metrics import Metrics
from thumbstream.telemetry.request_ids import HEADER, request_id
from thumbstream.thread_pool import OverloadedError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class HTTPError(errors.ThumbstreamError):
    """Base class of errors that the HTTP layer itself raises.

    ``headers`` are added to the response, ``members`` to the JSON document in its body.
    """

    def __init__(
        self,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.members = members or {}


class BadRequestError(HTTPError):
    """A parameter or the body does not have the documented form."""


class UnauthorizedError(HTTPError):
    """The request requires a bearer token, but has none, or one that is not configured."""


class BadSignatureError(HTTPError):
    """The read requires a valid signature or bearer token, but has neither."""


class SignatureExpiredError(HTTPError):
    """The signature is valid, but its expiry time has passed."""


class CrossSiteError(HTTPError):
    """A page of another site sent an upload without a token."""


class NotFoundError(HTTPError):
    """The stream, prefix size or page does not exist."""


class MethodNotAllowedError(HTTPError):
    """The path exists, but does not support this method."""


class HeaderTimeoutError(HTTPError):
    """The header fields did not arrive in time."""


class UploadTimeoutError(HTTPError):
    """The body did not arrive in time."""


class BodyTooLargeError(HTTPError):
    """The body has more bytes than the service accepts."""


class UrlTooLongError(HTTPError):
    """The URL has more bytes than the service reads."""


class HeadersTooLargeError(HTTPError):
    """The request has more header fields, or longer ones, than the service reads."""


class UnsupportedMediaTypeError(HTTPError):
    """The Content-Type or Content-Encoding of the body is not supported."""


class RangeNotSatisfiableError(HTTPError):
    """The requested range begins after the last byte."""


class RateLimitedError(HTTPError):
    """The client sent more requests in a period than its rate limit permits."""


class BusyError(HTTPError):
    """There are more connections or concurrent requests than the service accepts."""


class NotReadyError(HTTPError):
    """The service is starting or stopping, or its store or workers do not answer."""


class ClientDisconnectedError(HTTPError):
    """The client closed the connection before the response."""


class ProblemSpec(NamedTuple):
    """Status, code and ``detail`` of an error class. ``detail`` None: the text of the error."""

    status: int
    code: str
    detail: str | None = None


INTERNAL = ProblemSpec(500, "internal", "The service failed. The log has the reason.")
_MODEL = ProblemSpec(503, "model_unavailable", "A model of this service cannot be used.")

PROBLEMS: dict[type[Exception], ProblemSpec] = {
    BadRequestError: ProblemSpec(400, "bad_request"),
    errors.BitstreamError: ProblemSpec(400, "bad_stream"),
    PreviewTooLargeError: ProblemSpec(400, "preview_too_large"),
    UnauthorizedError: ProblemSpec(401, "unauthorized"),
    BadSignatureError: ProblemSpec(403, "bad_signature"),
    SignatureExpiredError: ProblemSpec(403, "signature_expired"),
    CrossSiteError: ProblemSpec(403, "cross_site"),
    NotFoundError: ProblemSpec(404, "not_found"),
    MethodNotAllowedError: ProblemSpec(405, "method_not_allowed"),
    HeaderTimeoutError: ProblemSpec(408, "header_timeout"),
    UploadTimeoutError: ProblemSpec(408, "upload_timeout"),
    BodyTooLargeError: ProblemSpec(413, "body_too_large"),
    errors.TooManyBytesError: ProblemSpec(413, "body_too_large"),
    UrlTooLongError: ProblemSpec(414, "url_too_long"),
    UnsupportedMediaTypeError: ProblemSpec(415, "unsupported_media_type"),
    errors.UnsupportedFormatError: ProblemSpec(415, "unsupported_format"),
    RangeNotSatisfiableError: ProblemSpec(416, "range_not_satisfiable"),
    errors.UnknownModelError: ProblemSpec(422, "unknown_model"),
    errors.TooManyPixelsError: ProblemSpec(422, "too_many_pixels"),
    errors.IngestError: ProblemSpec(422, "invalid_image"),
    OverloadedError: ProblemSpec(429, "overloaded", "Too much work at once. Try again later."),
    RateLimitedError: ProblemSpec(429, "rate_limited"),
    HeadersTooLargeError: ProblemSpec(431, "headers_too_large"),
    ClientDisconnectedError: ProblemSpec(499, "client_disconnected"),
    BusyError: ProblemSpec(503, "busy"),
    NotReadyError: ProblemSpec(503, "not_ready"),
    errors.JobProcessorTimeError: ProblemSpec(422, "too_expensive"),
    errors.JobCrashedError: ProblemSpec(422, "worker_crashed", "The work on it ended abruptly."),
    errors.JobMemoryError: ProblemSpec(503, "out_of_memory", "The work needs too much memory."),
    errors.JobTimeoutError: ProblemSpec(
        503, "job_timeout", "The work took too long. Try again later."
    ),
    errors.ArtifactError: _MODEL,
    errors.DeviceError: _MODEL,
    errors.StoreFullError: ProblemSpec(507, "store_full", "The store has no room left."),
    errors.StoreError: ProblemSpec(503, "store_unavailable", "The store does not answer."),
}
"""Response of each error class. A class that is not listed has the response of its nearest base."""

RETRY_AFTER_SECONDS = 1
"""Retry-After of 429 and 503 by default: jobs take milliseconds, so the queue has room soon."""


def problem_spec(error: Exception) -> ProblemSpec:
    """The entry of `PROBLEMS` for ``error``; `INTERNAL` for an unexpected error."""
    return next((PROBLEMS[c] for c in type(error).__mro__ if c in PROBLEMS), INTERNAL)


class ErrorResponder:
    """Converts errors to responses, and counts the errors in the metrics."""

    def __init__(self, metrics: Metrics, cors: CORS) -> None:
        self._metrics = metrics
        self._cors = cors
        metrics.declare_error_codes(spec.code for spec in [*PROBLEMS.values(), INTERNAL])

    async def send_problem(self, error: Exception, scope: Scope, send: Send) -> RawResponse:
        """Counts ``error``, sends its response, and returns that response."""
        response = self.response(error, scope)
        await response.send(send, scope["method"])
        return response

    def response(self, error: Exception, scope: Scope) -> RawResponse:
        """Counts ``error`` and returns its response. Logs ``error`` if it is unexpected."""
        spec = problem_spec(error)
        self._metrics.count_error(spec.code)
        if spec is INTERNAL:
            log.error("unhandled error on %s %r", scope["method"], scope["path"], exc_info=error)
        detail = str(error) if spec.detail is None else spec.detail
        headers, body = _document(spec, detail, error)
        fields = encode_headers(headers) + self._cors.error_headers(scope["path"])
        if spec.status != HTTPStatus.NOT_FOUND:
            # A cache may send a 404 to other clients, whose requests have other ids.
            fields.append((HEADER, request_id(scope).encode()))
        return RawResponse(spec.status, fields, body)


def _document(spec: ProblemSpec, detail: str, error: Exception) -> tuple[dict[str, str], bytes]:
    status, code, _ = spec
    own = error if isinstance(error, HTTPError) else HTTPError(detail)
    document = {
        "type": f"urn:thumbstream:problem:{code}",
        "title": _title(status),
        "status": status,
        "code": code,
        "detail": detail,
        **own.members,
    }
    body = json.dumps(document, ensure_ascii=False).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Cache-Control": NEGATIVE_CACHE_CONTROL if status == HTTPStatus.NOT_FOUND else "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return {**headers, **own.headers}, body


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"
