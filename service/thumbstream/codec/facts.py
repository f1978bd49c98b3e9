"""What any family says of a stream: the facts of its header, and a picture of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import Header

UNKNOWN_SAMPLE = 128
"""Value of every sample while the stream is too short to say which model reads it."""


def header_facts(model_id: str, header: Header, length: int) -> dict[str, Any]:
    """How `Codec.inspect` begins for a stream of ``length`` bytes."""
    return {
        "model": model_id if header.bitstream_id is not None else None,
        "bitstream_id": header.bitstream_id,
        "width": header.width,
        "height": header.height,
        "alpha": header.alpha,
        "aspect_ratio": header.aspect,
        "length": length,
        "header_length": header.length,
        "bits_per_pixel": round(8 * length / (header.width * header.height), 4),
    }


def unknown_picture(header: Header) -> NDArray[np.uint8]:
    """``(H, W, 3)`` or ``(H, W, 4)`` uint8 of one grey, alpha included."""
    channels = 4 if header.alpha else 3
    return np.full((header.height, header.width, channels), UNKNOWN_SAMPLE, np.uint8)
