"""What an untrusted picture may cost."""

from __future__ import annotations

from dataclasses import dataclass

from thumbstream.errors import TooManyBytesError, TooManyPixelsError

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an untrusted picture may cost. Checked before pixels are decoded.

    ``max_pixels`` limits memory. Measured at the peak, in bytes a pixel: JPEG 0.2 (but progressive
    3 to 6), PNG and TIFF 5, AVIF 9, WebP 16; GIF 1.5.
    """

    max_bytes: int = 20 * MEBIBYTE
    """Length of the file, bytes."""
    max_pixels: int = 50_000_000
    """Width times height."""
    max_side: int = 30_000
    """The longer side, pixels."""
    max_missing: float = 0.25
    """Part of the rows of a JPEG that may be missing because the end of the file is."""

    def check_bytes(self, length: int) -> None:
        """Raises ``TooManyBytesError`` for a file of ``length`` bytes that is too long."""
        if length > self.max_bytes:
            raise TooManyBytesError(f"the picture file is longer than {self.max_bytes} bytes")

    def check_size(self, width: int, height: int) -> None:
        """Raises ``TooManyPixelsError`` for a picture of ``width`` x ``height`` that is too big."""
        if max(width, height) > self.max_side:
            raise TooManyPixelsError(
                f"a side of the picture is longer than {self.max_side} pixels: {width} x {height}"
            )
        if width * height > self.max_pixels:
            raise TooManyPixelsError(
                f"the picture has more than {self.max_pixels} pixels: {width} x {height}"
            )
