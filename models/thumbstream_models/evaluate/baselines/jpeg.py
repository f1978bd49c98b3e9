"""Headerless JPEG: what must be sent if both sides have agreed on the tables before.

Progressive JPEG is not measured: each of its scans has a header and Huffman tables that depend on
the picture, so they cannot be agreed on, and they cost more here than the scans save.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import PillowCodec, Setting

_DHT, _SOS, _EOI = 0xC4, 0xDA, b"\xff\xd9"


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """``(marker, body)`` of every segment up to the scan; the body of SOS is the scan itself.

    Baseline JPEG of one scan: the scan is all between the SOS header and EOI, stuffing included.
    """
    at = 2  # after SOI
    while True:
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _SOS:
            yield marker, data[at + 2 + length : data.rindex(_EOI)]
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


class Jpeg(PillowCodec):
    """JPEG by libjpeg-turbo."""

    name = "jpeg"
    title = "JPEG"
    format = "JPEG"
    library = ("libjpeg-turbo", "libjpeg_turbo")
    counted = (
        "Best of 4:4:4 and 4:2:0, qualities 1 to 100, standard and optimized Huffman tables. "
        "Payload: the bytes of the entropy-coded scan, and with optimized tables the contents of "
        "the Huffman tables, too. Free: all other headers, and the quantization tables."
    )

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series for each chroma format and kind of Huffman tables."""
        for subsampling in ("4:4:4", "4:2:0"):
            for optimize in (False, True):
                yield (
                    {"quality": quality, "subsampling": subsampling, "optimize": optimize}
                    for quality in range(1, 101)
                )

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the scan, and optimized Huffman tables."""
        charged = {_SOS, _DHT} if setting["optimize"] else {_SOS}
        return sum(len(body) for marker, body in segments(data) if marker in charged)
