"""All exceptions of thumbstream, in one tree.

``thumbstream.http.errors`` maps them to HTTP status codes.
"""

from __future__ import annotations

from collections.abc import Mapping


class ThumbstreamError(Exception):
    """Base class of all exceptions of thumbstream."""


class BitstreamError(ThumbstreamError):
    """The bytes are not a thumbstream stream, or one of a format that is not supported."""


class CurveError(ThumbstreamError):
    """The bytes are not a rate-distortion curve."""


class ArtifactError(ThumbstreamError):
    """A published model folder is incomplete, altered or of an unknown format."""


class UnknownModelError(ThumbstreamError):
    """The model is not installed."""


class DeviceError(ThumbstreamError):
    """The requested execution device is not available."""


class IngestError(ThumbstreamError):
    """Base class of errors caused by the input picture."""


class UnsupportedFormatError(IngestError):
    """The bytes do not begin like any supported image format."""


class InvalidImageError(IngestError):
    """The picture is corrupt, too much of it is missing, or the decoder does not support it."""


class TooManyPixelsError(IngestError):
    """The picture has more pixels, or a longer side, than the limits allow."""


class TooManyBytesError(IngestError):
    """The picture file is longer than the limits allow."""


class StoreError(ThumbstreamError):
    """Base class of errors of a store."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, opened, read or written now; a retry may succeed."""


class StoreFullError(StoreError):
    """The store has no space for another stream."""


class PartialReadError(StoreUnavailableError):
    """Some keys of one ``get_many`` could not be read; ``found`` has the values of the others.

    For example, a Redis Cluster without one of its primaries still serves the other keys.
    """

    def __init__(self, reason: str, found: Mapping[str, bytes | None]) -> None:
        super().__init__(reason)
        self.found = found


class JobError(ThumbstreamError):
    """A job in a worker process exceeded a limit; the worker was replaced."""


class JobTimeoutError(JobError):
    """The job took longer than a request may take."""


class JobProcessorTimeError(JobError):
    """The job used more processor time than one picture or stream may use."""


class JobMemoryError(JobError):
    """The job needed more memory than a worker may use, or than is available."""


class JobCrashedError(JobError):
    """The worker process ended during the job."""
