"""The exceptions of the clients: one for error responses, one for missing responses."""

from __future__ import annotations

from thumbstream.errors import ThumbstreamError

UNEXPECTED_RESPONSE = "unexpected_response"
"""`ServiceError.code` of a response that is not one of the service, such as a proxy's."""


class ClientError(ThumbstreamError):
    """Base class of the errors of a request."""


class UnreachableError(ClientError):
    """The service was not reached, or the connection was lost, or no response came in time."""


class ServiceError(ClientError):
    """The service answered with an error: a problem document of RFC 9457."""

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        *,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code} ({status}): {detail}")
        self.code = code
        """Stable name of the error, such as ``not_found``: docs/http.md lists all codes."""
        self.status = status
        """HTTP status."""
        self.detail = detail
        """Explanation for people."""
        self.request_id = request_id
        """Id of the request in the service's log; None if the response has no id."""
        self.retry_after = retry_after
        """Seconds until the request may be repeated, as the service says; None if it does not."""
