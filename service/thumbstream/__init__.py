"""thumbstream encodes a picture as one byte stream, any prefix of which decodes to a preview.

>>> stream = thumbstream.encode("photo.jpg")        # about 550 bytes, coarse to fine
>>> thumbstream.decode(stream[:64]).shape           # any prefix can be decoded
(21, 32, 3)
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from thumbstream.errors import (
    ArtifactError,
    BitstreamError,
    DeviceError,
    IngestError,
    InvalidImageError,
    ThumbstreamError,
    TooManyBytesError,
    TooManyPixelsError,
    UnknownModelError,
    UnsupportedFormatError,
)
from thumbstream.images import ImageLimits
from thumbstream.library import decode, encode, inspect

try:
    __version__ = version("thumbstream")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "ArtifactError",
    "BitstreamError",
    "DeviceError",
    "ImageLimits",
    "IngestError",
    "InvalidImageError",
    "ThumbstreamError",
    "TooManyBytesError",
    "TooManyPixelsError",
    "UnknownModelError",
    "UnsupportedFormatError",
    "__version__",
    "decode",
    "encode",
    "inspect",
]
