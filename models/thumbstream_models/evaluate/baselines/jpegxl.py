"""JPEG XL as a bare codestream, without the optional container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from thumbstream_models.evaluate.baselines.base import FileCodec, Setting, package_versions

_SIGNATURE = 2
_EFFORTS = (3, 7, 9)
_DISTANCES = np.geomspace(25, 0.5, 48)
"""Butteraugli distances; 25 is the coarsest that libjxl offers."""
_SIZE_BITS = (9, 13, 18, 30)


def header_bytes(data: bytes) -> int:
    """Bytes before the frame: signature, dimensions, and metadata that are all at their defaults.

    ISO/IEC 18181-1, SizeHeader and ImageMetadata: fields of bits, the least significant bit of a
    byte first, padded to a full byte before the frame. Raises `ValueError` for other than default
    metadata.
    """
    bits = int.from_bytes(data[_SIGNATURE : _SIGNATURE + 12], "little")
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    def side() -> None:
        read(5 if small else _SIZE_BITS[read(2)])

    small = read(1)
    side()  # height
    if not read(3):  # no fixed aspect ratio
        side()
    if not (read(1) and read(1)):  # default metadata, default transform
        raise ValueError("a JPEG XL codestream whose metadata are not the default")
    return _SIGNATURE + (at + 7) // 8


class JpegXl(FileCodec):
    """Lossy JPEG XL (VarDCT in XYB) by libjxl."""

    name = "jpegxl"
    title = "JPEG XL"
    counted = (
        "Best of efforts 3, 7 and 9, 48 distances from 25 to 0.5 in even ratios, no container. "
        "Payload: the frame, its header and table of contents included. Free: signature, "
        "dimensions and image metadata, 4 to 6 bytes."
    )

    def versions(self) -> Mapping[str, str]:
        """The package and the library in it."""
        libjxl = imagecodecs.jpegxl_version().removeprefix("libjxl ")
        return {**package_versions("imagecodecs"), "libjxl": libjxl}

    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """One series for each effort, by falling distance."""
        for effort in _EFFORTS:
            yield ({"effort": effort, "distance": float(distance)} for distance in _DISTANCES)

    def encode(self, pixels: NDArray[np.uint8], setting: Setting) -> bytes:
        """Write a bare codestream."""
        return bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=False, numthreads=1, **setting))

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """``(H, W, 3)`` RGB of a codestream."""
        return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1), np.uint8)

    def payload(self, data: bytes, setting: Setting) -> int:
        """Count the frame."""
        return len(data) - header_bytes(data)
