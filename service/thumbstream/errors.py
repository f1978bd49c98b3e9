"""The exceptions that callers in several packages handle, and their common base class.

``thumbstream.http.errors`` maps the exceptions to HTTP status codes.
"""

from __future__ import annotations

from collections.abc import Mapping


class ThumbstreamError(Exception):
    """Base class of all exceptions of thumbstream."""


class BitstreamError(ThumbstreamError):
    """The bytes are not a thumbstream stream, or are a stream of an unsupported format."""


class CurveError(ThumbstreamError):
    """The bytes are not a rate-distortion curve."""


class ArtifactError(ThumbstreamError):
    """A published model folder is incomplete, altered or of an unknown format."""


class UnknownModelError(ThumbstreamError):
    """The requested model is not installed, or not enabled for encoding."""


class DeviceError(ThumbstreamError):
    """The requested execution device is not available."""


class IngestError(ThumbstreamError):
    """Base class of errors caused by the input picture."""


class UnsupportedFormatError(IngestError):
    """The first bytes of the picture file do not match any supported image format."""


class InvalidImageError(IngestError):
    """The picture is corrupt, too much of it is missing, or the decoder does not support it."""


class TooManyPixelsError(IngestError):
    """The picture has more pixels, or a longer side, than the limits allow."""


class TooManyBytesError(IngestError):
    """The picture file has more bytes than the limits allow."""


class StoreError(ThumbstreamError):
    """Base class of errors of a store."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, opened, read or written now; a retry may succeed."""


class StoreFullError(StoreError):
    """The store has no space left to write to."""


class PartialReadError(StoreUnavailableError):
    """A ``get_many`` could read only a part of its keys; ``found`` has the values of that part.

    This happens in a Redis Cluster when one primary is down: the keys of the other primaries can
    still be read.
    """

    def __init__(self, reason: str, found: Mapping[str, bytes | None]) -> None:
        super().__init__(reason)
        self.found = found


class JobError(ThumbstreamError):
    """Base class: a job exceeded one of its limits, or its worker process failed."""


class JobTimeoutError(JobError):
    """The job did not end within its time limit (elapsed time)."""


class JobProcessorTimeError(JobError):
    """The job used more processor time than its limit allows."""


class JobMemoryError(JobError):
    """The job needed more memory than its limit allows, or than the machine had available."""


class JobCrashedError(JobError):
    """The worker process did not start, or ended during the job."""
