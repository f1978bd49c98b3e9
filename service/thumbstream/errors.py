"""Every error that thumbstream raises on purpose: one class per way to fail, one tree.

Which HTTP status an error becomes is the business of ``thumbstream.http.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping


class ThumbstreamError(Exception):
    """Base of every error that thumbstream raises on purpose."""


class BitstreamError(ThumbstreamError):
    """Bytes that are not a thumbstream stream, or one that this version cannot read."""


class CurveError(ThumbstreamError):
    """Bytes that are not a rate-distortion curve."""


class ArtifactError(ThumbstreamError):
    """A published model folder that is incomplete, altered or of an unknown format."""


class UnknownModelError(ThumbstreamError):
    """A model id that is not published here."""


class DeviceError(ThumbstreamError):
    """An execution device that was asked for and is not there."""


class IngestError(ThumbstreamError):
    """A picture that is refused; nothing but the picture is at fault."""


class UnsupportedFormatError(IngestError):
    """Bytes that begin like no format on the allow-list."""


class InvalidImageError(IngestError):
    """A picture of a known format that is broken, cut off or beyond what the decoder reads."""


class TooManyPixelsError(IngestError):
    """A picture with more pixels, or a longer side, than the limits allow."""


class TooManyBytesError(IngestError):
    """A picture file that is longer than the limits allow."""


class StoreError(ThumbstreamError):
    """A store that did not do what it was asked."""


class StoreUnavailableError(StoreError):
    """A store that cannot be reached, opened, read or written now; trying later may help."""


class StoreFullError(StoreError):
    """A store that has no room for another stream."""


class PartialReadError(StoreUnavailableError):
    """Some of the keys of one ``get_many`` could not be read; ``found`` has the answers of others.

    A Cluster that lost a primary still has the rest, and so has a cache without its store.
    """

    def __init__(self, reason: str, found: Mapping[str, bytes | None]) -> None:
        super().__init__(reason)
        self.found = found


class JobError(ThumbstreamError):
    """Work in a worker process that passed a limit; the worker was replaced."""


class JobTimeoutError(JobError):
    """Work that took longer than a request may take."""


class JobProcessorTimeError(JobError):
    """Work on one picture or stream that takes more processor time than allowed."""


class JobMemoryError(JobError):
    """Work that needs more memory than a worker may use, or than there is."""


class JobCrashedError(JobError):
    """A worker process that ended in the middle of its work."""
