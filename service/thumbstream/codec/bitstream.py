"""Writes and parses the header of a stream.

A stream is a header of one to three bytes, followed by range-coded decisions up to the last byte.
A stream has neither length fields nor a terminator, so ``stream[:n]`` is a valid stream for every
``n >= 1``. Normative text: docs/bitstream.md. Forms of the header::

    first byte      0x00..0x3e  format 0, long side 32: the value is the shape
                    0x3f..0x95  format 8, long side 32, opaque: the value - 0x3f is the shape code
                    0x96..0x9f  reserved
                    0xa0..0xbf  format 8, opaque
                    0xc0..0xdf  format 8 with alpha
                                both: low five bits = long side / 8 - 1; then the shape code, in
                                one byte up to 128 pixels, in two above
                    0xe0..0xff  extended header, opaque: low five bits = long side / 8 - 1;
                                byte 1: portrait (1 bit), bitstream id (7); byte 2: short side - 1

A *shape* is the short side - 1, plus the long side for portrait pictures. A *shape code* is a shape
or, for the long side 32, 63 + the code of an aspect ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from thumbstream.errors import BitstreamError

SIDE_MULTIPLE = 8
"""The long side of a thumbnail is a multiple of this many pixels."""
MIN_LONG_SIDE = 8
MAX_LONG_SIDE = 256
MAX_BITSTREAM_ID = 127

ASPECT_RATIOS: Final = (
    *((3, 2), (5, 4), (7, 5), (5, 3), (6, 5), (21, 9)),
    *((9, 5), (11, 9), (10, 7), (11, 8), (13, 9), (185, 100)),
)
"""Aspect ratios (width, height) that have an aspect code; the swapped ratios have one as well."""
ASPECT_TOLERANCE: Final = Fraction(4, 1000)
"""Limit of the relative difference between an original's ratio and its aspect code's ratio."""

DEFAULT_FORMAT = 8
"""Bitstream id of the only format that has shape codes, and that has alpha."""

_SHORT_FORM_SIDE = 32
_SHAPES = 2 * _SHORT_FORM_SIDE - 1
"""Number of shapes with the long side 32."""
_MAX_SHORT_CODE_SIDE = 128
"""Long side up to which a shape code has one byte."""
_DEFAULT = _SHAPES
_RESERVED = 0x96
_COMPACT = 0xA0
_ALPHA = 0xC0
_EXTENDED = 0xE0
_LONG = 0x1F
_PORTRAIT = 0x80


@dataclass(frozen=True, slots=True)
class Header:
    """Fields of a header. If the header is cut before the short side, the picture is square."""

    bitstream_id: int | None
    """Identifies the model that decodes the stream; None if the header is cut before this field."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    length: int
    """Number of header bytes that the stream contains."""
    alpha: bool = False
    """Whether the stream has an alpha layer next to the colours."""
    exact_aspect: tuple[int, int] | None = None
    """Aspect ratio (width, height) of the header's aspect code; None if it has no aspect code."""

    @property
    def aspect(self) -> tuple[int, int]:
        """Aspect ratio for display: `exact_aspect` if it is not None, else (`width`, `height`)."""
        return self.exact_aspect or (self.width, self.height)


def check_size(size: int) -> int:
    """Return ``size`` if it is a valid long side of a thumbnail, else raise `ValueError`."""
    if not MIN_LONG_SIDE <= size <= MAX_LONG_SIDE or size % SIDE_MULTIPLE:
        raise ValueError(
            f"size must be a multiple of {SIDE_MULTIPLE} from {MIN_LONG_SIDE} to {MAX_LONG_SIDE}, "
            f"got {size}"
        )
    return size


def write_header(
    bitstream_id: int,
    width: int,
    height: int,
    *,
    alpha: bool = False,
    aspect: tuple[int, int] | None = None,
) -> bytes:
    """Return the shortest header for ``width`` x ``height`` pixels; raises `ValueError`.

    ``alpha`` is for format 8 alone. ``aspect`` is the width and height of the original, in any
    unit. A header of format 8 for the long side 32 contains the aspect code nearest to that ratio,
    if a code describes the ratio better than the pixels do. All other headers ignore ``aspect``.
    """
    long, short = max(width, height), min(width, height)
    check_size(long)
    if short < 1:
        raise ValueError(f"width and height must be positive, got {width} x {height}")
    if not 0 <= bitstream_id <= MAX_BITSTREAM_ID:
        raise ValueError(f"bitstream id must be in 0..{MAX_BITSTREAM_ID}, got {bitstream_id}")
    if aspect is not None and min(aspect) < 1:
        raise ValueError(f"aspect ratio must be positive, got {aspect[0]}:{aspect[1]}")
    if alpha and bitstream_id != DEFAULT_FORMAT:
        raise ValueError(f"bitstream {bitstream_id} has no alpha")
    side, portrait = long // SIDE_MULTIPLE - 1, height > width
    shape = short - 1 + (long if portrait else 0)
    if bitstream_id == DEFAULT_FORMAT:
        code = _aspect_code(width, height, aspect)
        code = shape if code is None else code
        if long == _SHORT_FORM_SIDE and not alpha:
            return bytes([_DEFAULT + code])
        form = _ALPHA if alpha else _COMPACT
        return bytes([form | side]) + code.to_bytes(_code_length(long), "big")
    if bitstream_id == 0 and long == _SHORT_FORM_SIDE:
        return bytes([shape])
    return bytes([_EXTENDED | side, (_PORTRAIT if portrait else 0) | bitstream_id, short - 1])


def parse_header(stream: bytes) -> Header:
    """Parse the header of a stream or of a prefix of a stream; raises `BitstreamError`."""
    if not stream:
        raise BitstreamError("the stream is empty")
    first = stream[0]
    if first < _DEFAULT:
        return _of_shape(0, _SHORT_FORM_SIDE, first, 1)
    if first < _RESERVED:
        return _of_code(_SHORT_FORM_SIDE, first - _DEFAULT, 1)
    if first < _COMPACT:
        raise BitstreamError(f"first byte 0x{first:02x} is reserved")
    long = SIDE_MULTIPLE * ((first & _LONG) + 1)
    if first >= _EXTENDED:
        return _extended(stream, long)
    alpha, length = first >= _ALPHA, 1 + _code_length(long)
    if long == _SHORT_FORM_SIDE and not alpha:
        raise BitstreamError("header of two bytes where a shorter form exists")
    if len(stream) < length:
        return Header(DEFAULT_FORMAT, long, long, len(stream), alpha)
    return _of_code(long, int.from_bytes(stream[1:length], "big"), length, alpha)


def _extended(stream: bytes, long: int) -> Header:
    if len(stream) == 1:
        return Header(None, long, long, 1)
    bitstream_id, portrait = stream[1] & ~_PORTRAIT, bool(stream[1] & _PORTRAIT)
    if bitstream_id == DEFAULT_FORMAT or (bitstream_id == 0 and long == _SHORT_FORM_SIDE):
        raise BitstreamError("extended header where a shorter form exists")
    if len(stream) == 2:
        return Header(bitstream_id, long, long, 2)
    short = stream[2] + 1
    if short > long or (portrait and short == long):
        raise BitstreamError(f"impossible shape: short side {short}, long side {long}")
    return _of_shape(bitstream_id, long, short - 1 + (long if portrait else 0), 3)


def _code_length(long: int) -> int:
    """Return the number of bytes of a shape code."""
    return 1 if long <= _MAX_SHORT_CODE_SIDE else 2


def _of_code(long: int, code: int, length: int, alpha: bool = False) -> Header:
    """Return the header of format 8 with the shape code ``code``."""
    if long != _SHORT_FORM_SIDE or code < _SHAPES:
        return _of_shape(DEFAULT_FORMAT, long, code, length, alpha)
    if code - _SHAPES >= len(_ASPECTS):
        raise BitstreamError(f"impossible aspect code {code - _SHAPES}")
    aspect = _ASPECTS[code - _SHAPES]
    return Header(DEFAULT_FORMAT, *_PIXELS[code - _SHAPES], length, alpha, aspect)


def _of_shape(bitstream_id: int, long: int, shape: int, length: int, alpha: bool = False) -> Header:
    portrait, short = divmod(shape, long)
    if shape > 2 * (long - 1):
        raise BitstreamError(f"impossible shape {shape} for the long side {long}")
    width, height = (short + 1, long) if portrait else (long, short + 1)
    return Header(bitstream_id, width, height, length, alpha)


_ASPECTS: Final = (*ASPECT_RATIOS, *((short, long) for long, short in ASPECT_RATIOS))
"""Aspect ratios by their code."""


def _pixels(aspect: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height in pixels of an aspect ratio, for the long side 32."""
    # No ratio of the table is halfway between two shapes, so rounding is unambiguous.
    scale = Fraction(_SHORT_FORM_SIDE, max(aspect))
    return round(aspect[0] * scale), round(aspect[1] * scale)


_PIXELS: Final = tuple(_pixels(aspect) for aspect in _ASPECTS)
"""Width and height in pixels by aspect code."""


def _aspect_code(width: int, height: int, aspect: tuple[int, int] | None) -> int | None:
    """Return the shape code of the ratio nearest to ``aspect``, of those for ``width x height``.

    Returns None if no such ratio differs from ``aspect`` by less than `ASPECT_TOLERANCE`, or if
    ``width / height`` is at least as near.
    """
    if aspect is None or (width, height) not in _PIXELS:
        return None
    true = Fraction(*aspect)
    best, least = None, min(ASPECT_TOLERANCE, abs(true / Fraction(width, height) - 1))
    for code, (ratio, pixels) in enumerate(zip(_ASPECTS, _PIXELS, strict=True), _SHAPES):
        error = abs(true / Fraction(*ratio) - 1)
        if pixels == (width, height) and error < least:
            best, least = code, error
    return best


PLACEHOLDER_SAMPLE = 128
"""Value of every sample of the picture if the stream ends before its bitstream id."""


def describe_header(model_id: str, header: Header, length: int) -> dict[str, Any]:
    """Return the part of `Codec.inspect`'s result that needs only the header and ``length``.

    ``length``: length of the stream in bytes.
    """
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


def placeholder_image(header: Header) -> NDArray[np.uint8]:
    """Return the picture of a stream without a bitstream id: `PLACEHOLDER_SAMPLE` everywhere.

    ``(H, W, 4)`` uint8 if the header has alpha (alpha is `PLACEHOLDER_SAMPLE` as well), else
    ``(H, W, 3)``.
    """
    channels = 4 if header.alpha else 3
    return np.full((header.height, header.width, channels), PLACEHOLDER_SAMPLE, np.uint8)
