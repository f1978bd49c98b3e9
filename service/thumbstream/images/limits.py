"""Limits on the size of an untrusted picture file and of its picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thumbstream.errors import InvalidImageError, TooManyBytesError, TooManyPixelsError

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on an untrusted picture. All but ``max_missing`` are checked before decoding.

    ``max_pixels`` limits memory. Measured peak memory, in bytes for each pixel of the picture:
    baseline JPEG 0.2, GIF 1.5, progressive JPEG 3 to 6, PNG and TIFF 5, AVIF 9, WebP 16.
    """

    max_bytes: int = 20 * MEBIBYTE
    """Greatest length of the file in bytes."""
    max_pixels: int = 50_000_000
    """Greatest product of width and height, in pixels."""
    max_side: int = 30_000
    """Greatest length of the longer side, in pixels."""
    max_missing: float = 0.25
    """Greatest fraction that may be missing from the picture in a JPEG, PNG, BMP or WebP file that
    is cut off: of the rows in JPEG and BMP, of the bytes of pixel data in PNG and WebP."""

    def check_bytes(self, length: int) -> None:
        """Raise ``TooManyBytesError`` if a file of ``length`` bytes is too long."""
        if length > self.max_bytes:
            raise TooManyBytesError(f"the picture file is longer than {self.max_bytes} bytes")

    def check_size(self, width: int, height: int) -> None:
        """Raise ``TooManyPixelsError`` if a picture of ``width`` x ``height`` pixels is too big."""
        if max(width, height) > self.max_side:
            raise TooManyPixelsError(
                f"a side of the picture is longer than {self.max_side} pixels: {width} x {height}"
            )
        if width * height > self.max_pixels:
            raise TooManyPixelsError(
                f"the picture has more than {self.max_pixels} pixels: {width} x {height}"
            )

    def check_missing(self, form: str, missing: float) -> None:
        """Raise ``InvalidImageError`` if too great a fraction of a file of format ``form`` is."""
        if missing > self.max_missing:
            raise InvalidImageError(
                f"the {form} file is cut off or damaged: {math.floor(100 * missing)} % of it "
                "cannot be read"
            )
