"""BMP: bit fields of any layout; run-length coding is bounded."""

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
"""Longest run-length coded file: Pillow decodes it in Python, half a second for as much."""

BAND_PIXELS = 1 << 18
"""Pixels converted at a time."""

_BITFIELDS, _ALPHABITFIELDS = 3, 6
_INFO_HEADER = 40
_V3_HEADER = 56
"""The first header with a mask for alpha."""
_FILE_HEADER = 14


def open_bmp(data: bytes, limits: ImageLimits) -> Source:
    """Open a BMP file. Raises ``IngestError``."""
    fields = _bit_fields(data)
    if fields is not None:
        return Source(_read_bit_fields(data, fields, limits))
    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    if len(data) > MAX_RLE_BYTES and any(tile[0] == "bmp_rle" for tile in image.tile):
        raise InvalidImageError(
            f"a run-length coded BMP file may have {MAX_RLE_BYTES} bytes, and this has {len(data)}"
        )
    return Source(image)


def _bit_fields(data: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Bits of a pixel and the masks of red, green, blue and alpha, if the file has masks."""
    if len(data) < _FILE_HEADER + _INFO_HEADER:
        return None
    (header,) = struct.unpack_from("<I", data, _FILE_HEADER)
    bits, compression = struct.unpack_from("<HI", data, _FILE_HEADER + 14)
    if header < _INFO_HEADER or bits not in (16, 32):
        return None
    if compression not in (_BITFIELDS, _ALPHABITFIELDS):
        return None
    # They are a part of the later headers, and follow the first one.
    count = 4 if header >= _V3_HEADER or compression == _ALPHABITFIELDS else 3
    masks = data[_FILE_HEADER + _INFO_HEADER :][: 4 * count]
    if len(masks) < 4 * count:
        return None
    return bits, (*struct.unpack(f"<{count}I", masks), 0)[:4]


def _read_bit_fields(
    data: bytes, fields: tuple[int, tuple[int, ...]], limits: ImageLimits
) -> Image.Image:
    bits, masks = fields
    (offset,) = struct.unpack_from("<I", data, 10)
    width, height = struct.unpack_from("<ii", data, _FILE_HEADER + 4)
    upside_down, height = height > 0, abs(height)
    if width <= 0 or height == 0:
        raise InvalidImageError("the picture has no pixels")
    limits.check_size(width, height)
    stride = (width * bits + 31) // 32 * 4
    if offset + stride * height > len(data):
        raise InvalidImageError("the BMP file is cut off")
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
    """The bits of ``mask``, scaled to 8 bits; zeros without a mask."""
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    top = mask >> shift
    if not mask or top & (top + 1):
        if mask:
            raise InvalidImageError("a mask of the BMP file has gaps")
        return np.zeros(samples.shape, np.uint8)
    values = (samples.astype(np.uint32) >> shift) & top
    scaled: NDArray[np.uint8] = np.rint(values * (255 / top)).astype(np.uint8)
    return scaled
