"""Lossy WebP without its RIFF container.

Pillow offers the quality and the method only. Of libwebp's other settings the number of segments
matters most at this size: the header of several segments takes a large part of 64 bytes.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping

import numpy as np
import webp
from numpy.typing import NDArray
from PIL import features

from thumbstream_models.evaluate.baselines.base import FileCodec, Setting, package_versions

_FIXED = 10
"""Bytes at the start of a VP8 key frame that can be agreed on: frame tag, start code, size."""
_NOISE_SHAPING = (0, 50)
_DEBLOCKING = (0, 60)


def chunk(data: bytes, kind: bytes) -> bytes:
    """The first RIFF chunk of that kind, without its header and padding."""
    at = 12  # after "RIFF", size, "WEBP"
    while data[at : at + 4] != kind:
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    (length,) = struct.unpack_from("<I", data, at + 4)
    return data[at + 8 : at + 8 + length]


class WebP(FileCodec):
    """Lossy WebP (VP8 key frame) by libwebp."""

    name = "webp"
    title = "WebP"
    counted = (
        "Qualities 0 to 100, method 6, one segment, best of spatial noise shaping 0 and 50 and "
        "deblocking 0 and 60. Payload: the VP8 frame without its 10 bytes of frame tag, start code "
        "and dimensions. Free: those, and the RIFF container."
    )

    def versions(self) -> Mapping[str, str]:
        """The writing package, and the library that Pillow reads with."""
        return {**package_versions("webp"), "libwebp": features.version("webp") or "unknown"}

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series for each strength of noise shaping and deblocking, by quality."""
        for shaping, deblocking in itertools.product(_NOISE_SHAPING, _DEBLOCKING):
            yield (
                {"quality": quality, "sns_strength": shaping, "filter_strength": deblocking}
                for quality in range(101)
            )

    def encode(self, pixels: NDArray[np.uint8], setting: Setting) -> bytes:
        """Write a file of one segment."""
        config = webp.WebPConfig.new(method=6)
        for name, value in {"segments": 1, **setting}.items():
            setattr(config.ptr, name, value)
        picture = webp.WebPPicture.from_numpy(np.ascontiguousarray(pixels))
        return bytes(picture.encode(config).buffer())

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the frame without its fixed start."""
        return len(chunk(data, b"VP8 ")) - _FIXED
