"""JPEG 2000 as a bare codestream, rate-controlled by OpenJPEG."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import PillowCodec, Setting

_SOT, _SOD, _EOC = 0xFF90, 0xFF93, b"\xff\xd9"
_FIXED = 140
"""Approximate bytes that OpenJPEG's rate control reserves for headers."""
_STEP = 4
"""Bytes between two target rates."""


def packet_bytes(data: bytes) -> int:
    """Bytes between SOD and EOC of a codestream with a single tile-part: the packets."""
    at = 2  # after SOC
    while True:
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == _SOD:
            return len(data) - (at + 2) - len(_EOC)
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length


class Jpeg2000(PillowCodec):
    """JPEG 2000 by OpenJPEG: irreversible 9/7 wavelet and colour transform, one layer."""

    name = "jpeg2000"
    title = "JPEG 2000"
    format = "JPEG2000"
    library = ("openjpeg", "jpg_2000")
    counted = (
        f"Irreversible, one layer, best of 2 to 5 resolutions, target rates {_STEP} bytes apart. "
        "Payload: the packets, that is packet headers and code blocks. Free: the main header, the "
        "tile-part header, SOD and EOC."
    )

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series for each number of resolutions that OpenJPEG allows on this shape."""
        most = min(pixels.shape[:2]).bit_length()  # the coarsest has a sample, at least
        for resolutions in range(min(2, most), min(5, most) + 1):
            yield (
                {
                    "no_jp2": True,
                    "irreversible": True,
                    "mct": 1,
                    "num_resolutions": resolutions,
                    "quality_mode": "rates",
                    "quality_layers": [pixels.size / target],
                }
                for target in range(_STEP, _FIXED + limit, _STEP)
            )

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the packets."""
        return packet_bytes(data)
