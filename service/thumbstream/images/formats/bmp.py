"""Opens BMP files; decodes bit fields of any layout, and run-length coding, without Pillow."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image

from thumbstream.errors import InvalidImageError
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

MAX_RLE_BYTES = 1 << 20
"""Length of the longest run-length coded file: decoding it in Python takes half a second."""

BAND_PIXELS = 1 << 18
"""Pixels converted at a time, to limit memory."""

_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHABITFIELDS = 0, 1, 2, 3, 6
_END_OF_LINE, _END_OF_BITMAP, _DELTA = 0, 1, 2
_INFO_HEADER = 40
_V3_HEADER = 56
"""Length of the oldest header that contains a mask for alpha."""
_V4_HEADER = 108
"""Length of the oldest header whose mask for alpha is used even without bit field compression."""
_FILE_HEADER = 14
_ARGB = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)

ONE_COLOR = [bytes([value]) * 255 for value in range(256)]
TWO_COLORS = [bytes([value >> 4, value & 15]) * 128 for value in range(256)]
"""Palette indices of the longest run of each value byte. A value byte is one index at 8 bits a
pixel (`ONE_COLOR`), and two alternating indices at 4 bits a pixel (`TWO_COLORS`)."""


def open_bmp(data: bytes, limits: ImageLimits) -> Source:
    """Open a BMP file. Raises ``IngestError`` if a check fails.

    Files with bit fields or run-length coding are decoded at once.
    """
    truncated = False
    if len(data) >= _FILE_HEADER + _INFO_HEADER:
        (header,) = struct.unpack_from("<I", data, _FILE_HEADER)
        bits, compression = struct.unpack_from("<HI", data, _FILE_HEADER + 14)
        if header >= _INFO_HEADER:
            _check_offset(data)
            masks = _masks(data, header, bits, compression)
            if masks is not None:
                data, truncated = _filled_up(data, bits, limits)
                return Source(_read_bit_fields(data, bits, masks, limits), truncated=truncated)
            if (bits, compression) in ((8, _RLE8), (4, _RLE4)):
                return _read_runs(data, bits, header, limits)
            if compression == _RGB:
                data, truncated = _filled_up(data, bits, limits)
    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    return Source(image, truncated=truncated)


def _check_offset(data: bytes) -> None:
    (offset,) = struct.unpack_from("<I", data, 10)
    if offset > len(data):
        raise InvalidImageError(
            f"the pixels of the BMP file begin at byte {offset}, but it has {len(data)} bytes"
        )


def _filled_up(data: bytes, bits: int, limits: ImageLimits) -> tuple[bytes, bool]:
    """Return an uncompressed file with zeros for missing pixels, and whether some were missing."""
    (offset,) = struct.unpack_from("<I", data, 10)
    width, height, _ = _size(data, limits)
    length = (width * bits + 31) // 32 * 4 * height
    missing = offset + length - len(data)
    if missing <= 0:
        return data, False
    limits.check_missing("BMP", missing / length)
    return data + bytes(missing), True


def _masks(data: bytes, header: int, bits: int, compression: int) -> tuple[int, ...] | None:
    """Return the bit masks of red, green, blue and alpha (0: no alpha).

    Returns None if the file does not use bit masks, so that Pillow decodes it.
    """
    stored = data[_FILE_HEADER + _INFO_HEADER :]
    if compression == _RGB and bits == 32 and header >= _V4_HEADER and len(stored) >= 16:
        return _ARGB if any(stored[12:16]) else None
    if bits not in (16, 32) or compression not in (_BITFIELDS, _ALPHABITFIELDS):
        return None
    # The masks are a part of the later headers; in a file with the first header they follow it.
    count = 4 if header >= _V3_HEADER or compression == _ALPHABITFIELDS else 3
    if len(stored) < 4 * count:
        return None
    return (*struct.unpack_from(f"<{count}I", stored), 0)[:4]


def _size(data: bytes, limits: ImageLimits) -> tuple[int, int, bool]:
    """Return width, height, and whether the rows are stored from the bottom up.

    Raises ``InvalidImageError`` if there are no pixels, ``TooManyPixelsError`` if too many.
    """
    width, height = struct.unpack_from("<ii", data, _FILE_HEADER + 4)
    if width <= 0 or height == 0:
        raise InvalidImageError("the picture has no pixels")
    limits.check_size(width, abs(height))
    return width, abs(height), height > 0


def _read_bit_fields(
    data: bytes, bits: int, masks: tuple[int, ...], limits: ImageLimits
) -> Image.Image:
    (offset,) = struct.unpack_from("<I", data, 10)
    width, height, upside_down = _size(data, limits)
    stride = (width * bits + 31) // 32 * 4
    stored = np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)
    stored = stored[::-1] if upside_down else stored
    image = Image.new("RGBA" if masks[3] else "RGB", (width, height))
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = np.ascontiguousarray(stored[top : top + rows])
        samples = band.view("<u2" if bits == 16 else "<u4")[:, :width]
        channels = [_channel(samples, mask) for mask in masks[: len(image.getbands())]]
        image.paste(Image.fromarray(np.dstack(channels)), (0, top))
    return image


def _channel(samples: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """Return the bits of ``samples`` that ``mask`` selects, scaled to 8 bits.

    Returns zeros if ``mask`` is 0. Raises ``InvalidImageError`` if the mask has gaps.
    """
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    top = mask >> shift
    if not mask or top & (top + 1):
        if mask:
            raise InvalidImageError("a mask of the BMP file has gaps")
        return np.zeros(samples.shape, np.uint8)
    values = (samples.astype(np.uint32) >> shift) & top
    scaled: NDArray[np.uint8] = np.rint(values * (255 / top)).astype(np.uint8)
    return scaled


def _read_runs(data: bytes, bits: int, header: int, limits: ImageLimits) -> Source:
    """Decode a run-length coded file; pixels that the file skips are black."""
    if len(data) > MAX_RLE_BYTES:
        raise InvalidImageError(
            f"a run-length coded BMP file may have {MAX_RLE_BYTES} bytes, and this has {len(data)}"
        )
    width, height, upside_down = _size(data, limits)
    (start,) = struct.unpack_from("<I", data, 10)
    (used,) = struct.unpack_from("<I", data, _FILE_HEADER + 32)
    count = min(used or 1 << bits, 1 << bits)
    palette = np.zeros((1 << bits, 3), np.uint8)
    colors = np.frombuffer(data[_FILE_HEADER + header :][: 4 * count], np.uint8)
    colors = colors[: len(colors) // 4 * 4].reshape(-1, 4)[:, 2::-1]
    palette[: len(colors)] = colors
    *planes, end = _decode_runs(data, start, bits, width, height)
    limits.check_missing("BMP", 1 - end / height)
    indices, covered = (
        np.frombuffer(plane, np.uint8).reshape(height, width)[:: -1 if upside_down else 1]
        for plane in planes
    )
    image = Image.new("RGB", (width, height))
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = palette[indices[top : top + rows]] * covered[top : top + rows, :, None]
        image.paste(Image.fromarray(band), (0, top))
    return Source(image, truncated=end < height)


def _decode_runs(
    data: bytes, position: int, bits: int, width: int, height: int
) -> tuple[bytearray, bytearray, int]:
    """Return one palette index for each pixel, and 1 for each pixel that the file does not skip.

    Both have ``width * height`` bytes, row by row, in the order in which the file stores the rows.
    The third result is the number of rows before the end of a file that is cut off, or ``height``.
    """
    indices, covered = bytearray(width * height), bytearray(width * height)
    ones = b"\1" * 255
    x = y = 0
    while y < height:
        if position + 2 > len(data):
            return indices, covered, y
        length, value = data[position], data[position + 1]
        position += 2
        if length:
            run = ONE_COLOR[value] if bits == 8 else TWO_COLORS[value]
        elif value > _DELTA:
            length, stored = value, value if bits == 8 else (value + 1) // 2
            run = data[position : position + stored]
            run = run if bits == 8 else b"".join(TWO_COLORS[byte][:2] for byte in run)
            position += stored + stored % 2
        else:
            if value == _END_OF_BITMAP:
                break
            if value == _END_OF_LINE:
                x, y = 0, y + 1
            else:
                right, down = data[position : position + 2].ljust(2, b"\0")
                x, y, position = x + right, y + down, position + 2
            continue
        room = min(length, len(run), width - x)
        if room > 0:
            at = y * width + x
            indices[at : at + room] = run[:room]
            covered[at : at + room] = ones[:room]
        x += length
    return indices, covered, height
