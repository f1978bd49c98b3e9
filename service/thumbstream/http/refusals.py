"""What can be wrong with a request before the pipeline sees it: one class per way to fail.

Like every error below the rim, these say what went wrong; problems.py says which status that is.
``headers`` are those that HTTP asks for with the answer.
"""

from __future__ import annotations

from thumbstream.errors import ThumbstreamError


class RefusedError(ThumbstreamError):
    """Base: the request itself cannot be served."""

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers or {}


class BadRequestError(RefusedError):
    """A parameter or the body does not have the form that the documentation asks for."""


class UnauthorizedError(RefusedError):
    """No bearer token, or one that is not configured."""


class NotFoundError(RefusedError):
    """No such stream, tier or page."""


class MethodNotAllowedError(RefusedError):
    """The path exists, but not for this method."""


class BadSignatureError(RefusedError):
    """A read that neither a signature nor a bearer token allows."""


class ExpiredError(RefusedError):
    """A signature whose time is over."""


class HeadTimeoutError(RefusedError):
    """The header fields did not arrive in time."""


class UploadTimeoutError(RefusedError):
    """The body did not arrive in time."""


class BodyTooLargeError(RefusedError):
    """More bytes than the service accepts."""


class UrlTooLongError(RefusedError):
    """A URL that is longer than the service reads."""


class HeadersTooLargeError(RefusedError):
    """More header fields, or longer ones, than the service reads."""


class RateLimitedError(RefusedError):
    """More requests in a period than one client may send."""


class BusyError(RefusedError):
    """More connections, or requests at a time, than the service takes."""


class UnsupportedMediaTypeError(RefusedError):
    """A Content-Type that carries no picture."""


class RangeNotSatisfiableError(RefusedError):
    """A range that begins behind the last byte."""


class NotReadyError(RefusedError):
    """The service is starting, stopping, or lacks something it stands on."""


class ClientGoneError(RefusedError):
    """The client closed the connection before the answer; nobody reads this."""
