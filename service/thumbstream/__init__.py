"""thumbstream: one stored byte stream per picture, any prefix of which is a preview.

>>> stream = thumbstream.encode("photo.jpg")        # about 200 bytes, most important first
>>> thumbstream.decode(stream[:64]).shape           # any prefix is a picture
(21, 32, 3)
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from thumbstream.errors import (
    ArtifactError,
    BitstreamError,
    DeviceError,
    ThumbstreamError,
    UnknownModelError,
)
from thumbstream.library import decode, encode, inspect

try:
    __version__ = version("thumbstream")
except PackageNotFoundError:  # imported from a source tree that nobody installed
    __version__ = "0+unknown"

__all__ = [
    "ArtifactError",
    "BitstreamError",
    "DeviceError",
    "ThumbstreamError",
    "UnknownModelError",
    "__version__",
    "decode",
    "encode",
    "inspect",
]
