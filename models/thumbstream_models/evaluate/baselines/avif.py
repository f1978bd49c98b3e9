"""AVIF without its boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import PillowCodec, Setting

_FREE_OBUS = {1, 2}
"""Sequence header, temporal delimiter."""
_QUALITIES = sorted({100 - round(100 * quantizer / 63) for quantizer in range(64)})
"""One for each quantizer of AV1: with steps of 1 many of them would occur twice."""
_ENCODER = {"speed": 4, "advanced": {"tune": "ssim"}, "max_threads": 1}
"""Tuning for SSIM gains more at this size than any other setting of the encoder."""


def box(data: bytes, kind: bytes) -> bytes:
    """Contents of the first top-level box of that kind (32-bit sizes)."""
    at = 0
    while data[at + 4 : at + 8] != kind:
        at += int(struct.unpack_from(">I", data, at)[0])
    (length,) = struct.unpack_from(">I", data, at)
    return data[at + 8 : at + length]


def frame_bytes(av1: bytes) -> int:
    """Bytes of the frame in AV1 data, without the headers of its OBUs (open bitstream units)."""
    at = total = 0
    while at < len(av1):
        kind, extended = av1[at] >> 3 & 15, av1[at] >> 2 & 1
        at += 1 + extended
        length = shift = 0
        while True:  # little-endian base 128
            length |= (av1[at] & 127) << shift
            shift += 7
            at += 1
            if av1[at - 1] < 128:
                break
        if kind not in _FREE_OBUS:
            total += length
        at += length
    return total


class Avif(PillowCodec):
    """AVIF still picture by libavif and libaom."""

    name = "avif"
    title = "AVIF"
    format = "AVIF"
    library = ("libavif", "avif")
    counted = (
        "Best of 4:4:4 and 4:2:0, all 64 quantizers, speed 4, tuned for SSIM. Payload: the AV1 "
        "frame. Free: all boxes, and in mdat the temporal delimiter, the sequence header and the "
        "OBU headers."
    )

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series for each chroma format."""
        for subsampling in ("4:4:4", "4:2:0"):
            yield (
                {"quality": quality, "subsampling": subsampling, **_ENCODER}
                for quality in _QUALITIES
            )

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the AV1 frame."""
        return frame_bytes(box(data, b"mdat"))
