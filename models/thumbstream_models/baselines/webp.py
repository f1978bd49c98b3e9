"""Lossy WebP without its RIFF container."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.baselines.base import PillowCodec, Setting

_FIXED = 10
"""Bytes at the start of a VP8 key frame that say nothing new: frame tag, start code, dimensions."""


def chunk(data: bytes, kind: bytes) -> bytes:
    """The first RIFF chunk of that kind, without its header and padding."""
    at = 12  # behind "RIFF", size, "WEBP"
    while data[at : at + 4] != kind:
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    (length,) = struct.unpack_from("<I", data, at + 4)
    return data[at + 8 : at + 8 + length]


class WebP(PillowCodec):
    """Lossy WebP (VP8 key frame) by libwebp."""

    name = "webp"
    title = "WebP"
    format = "WEBP"
    counted = (
        "Qualities 0 to 100, method 6. Charged: the VP8 frame without its 10 bytes of frame tag, "
        "start code and dimensions. Free: those, and the RIFF container."
    )

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series, by quality."""
        yield ({"quality": quality, "method": 6} for quality in range(101))

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the frame without its fixed start."""
        return len(chunk(data, b"VP8 ")) - _FIXED
