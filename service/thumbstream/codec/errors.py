"""What can go wrong, one class per way to fail. Which HTTP status that is, only the rim knows."""

from __future__ import annotations


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
