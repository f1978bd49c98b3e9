"""Writes and parses the header of a stream.

A stream is a header of one to three bytes, followed by range-coded decisions up to the last byte.
A stream has neither length fields nor a terminator, so ``stream[:n]`` is a valid stream for every
``n >= 1``. Normative text: docs/bitstream.md. Forms of the header::

    first byte      0x00..0x3e  format 0, long side 32: the value is the shape
                    0x3f..0x7d  format 7, long side 32: the value - 0x3f is the shape
                    0x7e..0x95  format 7, long side 32: the value - 0x7e is an aspect code
                    0x96..0x9f  reserved
                    0xa0..0xbf  format 7, not portrait: low five bits = long side / 8 - 1;
                                byte 1: short side - 1
                    0xc0..0xdf  extended header with alpha
                    0xe0..0xff  extended header without alpha
                                both: low five bits = long side / 8 - 1;
                                byte 1: portrait (1 bit), bitstream id (7); byte 2: short side - 1
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

_SHORT_FORM_SIDE = 32
_SHORT_FORM_SHAPES = 63
_SHORT_FORMS = {0: 0x00, 7: 0x3F}
"""Value of the one-byte header with shape 0, by bitstream id."""
_COMPACT_BITSTREAM = 7
"""Bitstream id of the only format that has aspect codes and two-byte headers."""
_ASPECTS = 0x7E
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

    ``aspect`` is the width and height of the original, in any unit. A one-byte header of format 7
    contains the aspect code nearest to that ratio, if a code describes the ratio better than the
    pixels do. All other headers ignore ``aspect``.
    """
    long, short = max(width, height), min(width, height)
    check_size(long)
    if short < 1:
        raise ValueError(f"width and height must be positive, got {width} x {height}")
    if not 0 <= bitstream_id <= MAX_BITSTREAM_ID:
        raise ValueError(f"bitstream id must be in 0..{MAX_BITSTREAM_ID}, got {bitstream_id}")
    if aspect is not None and min(aspect) < 1:
        raise ValueError(f"aspect ratio must be positive, got {aspect[0]}:{aspect[1]}")
    portrait = height > width
    if _has_short_form(bitstream_id, long) and not alpha:
        if aspect is not None and bitstream_id == _COMPACT_BITSTREAM:
            code = _aspect_code(width, height, Fraction(*aspect))
            if code is not None:
                return bytes([_ASPECTS + code])
        shape = _SHORT_FORM_SIDE + short - 1 if portrait else short - 1
        return bytes([_SHORT_FORMS[bitstream_id] + shape])
    side = long // SIDE_MULTIPLE - 1
    if bitstream_id == _COMPACT_BITSTREAM and not alpha and not portrait:
        return bytes([_COMPACT | side, short - 1])
    form = _ALPHA if alpha else _EXTENDED
    return bytes([form | side, (_PORTRAIT if portrait else 0) | bitstream_id, short - 1])


def parse_header(stream: bytes) -> Header:
    """Parse the header of a stream or of a prefix of a stream; raises `BitstreamError`."""
    if not stream:
        raise BitstreamError("the stream is empty")
    first = stream[0]
    if first < _RESERVED:
        return _one_byte(first)
    if first < _COMPACT:
        raise BitstreamError(f"first byte 0x{first:02x} is reserved")
    long = SIDE_MULTIPLE * ((first & _LONG) + 1)
    if first < _ALPHA:
        return _two_bytes(stream, long)
    return _three_bytes(stream, long, alpha=first < _EXTENDED)


def _one_byte(first: int) -> Header:
    if first >= _ASPECTS:
        return _ASPECT_HEADERS[first - _ASPECTS]
    bitstream_id = max(key for key, start in _SHORT_FORMS.items() if start <= first)
    portrait, short = divmod(first - _SHORT_FORMS[bitstream_id], _SHORT_FORM_SIDE)
    return _oriented(bitstream_id, _SHORT_FORM_SIDE, short + 1, bool(portrait), 1)


def _two_bytes(stream: bytes, long: int) -> Header:
    if long == _SHORT_FORM_SIDE:
        raise BitstreamError("two-byte header where a one-byte form exists")
    if len(stream) == 1:
        return Header(_COMPACT_BITSTREAM, long, long, 1)
    return _oriented(_COMPACT_BITSTREAM, long, stream[1] + 1, False, 2)


def _three_bytes(stream: bytes, long: int, *, alpha: bool) -> Header:
    if len(stream) == 1:
        return Header(None, long, long, 1, alpha)
    bitstream_id, portrait = stream[1] & ~_PORTRAIT, bool(stream[1] & _PORTRAIT)
    compact = bitstream_id == _COMPACT_BITSTREAM and not portrait
    if not alpha and (compact or _has_short_form(bitstream_id, long)):
        raise BitstreamError("extended header where a shorter form exists")
    if len(stream) == 2:
        return Header(bitstream_id, long, long, 2, alpha)
    return _oriented(bitstream_id, long, stream[2] + 1, portrait, 3, alpha)


def _oriented(
    bitstream_id: int, long: int, short: int, portrait: bool, length: int, alpha: bool = False
) -> Header:
    if short > long or (portrait and short == long):
        raise BitstreamError(f"impossible shape: short side {short}, long side {long}")
    width, height = (short, long) if portrait else (long, short)
    return Header(bitstream_id, width, height, length, alpha)


def _has_short_form(bitstream_id: int, long: int) -> bool:
    return bitstream_id in _SHORT_FORMS and long == _SHORT_FORM_SIDE


def _aspect_header(aspect: tuple[int, int]) -> Header:
    # No ratio of the table is halfway between two shapes, so rounding is unambiguous.
    scale = Fraction(_SHORT_FORM_SIDE, max(aspect))
    width, height = (round(side * scale) for side in aspect)
    return Header(_COMPACT_BITSTREAM, width, height, 1, exact_aspect=aspect)


_ASPECT_HEADERS: Final = tuple(
    _aspect_header(aspect)
    for aspect in (*ASPECT_RATIOS, *((short, long) for long, short in ASPECT_RATIOS))
)
"""Headers with an aspect code, indexed by the code."""


def _aspect_code(width: int, height: int, true: Fraction) -> int | None:
    """Return the code of the ratio nearest to ``true``, among codes for ``width`` x ``height``.

    Returns None if no such ratio differs from ``true`` by less than `ASPECT_TOLERANCE`, or if
    ``width / height`` is at least as near to ``true``.
    """
    best, least = None, min(ASPECT_TOLERANCE, abs(true / Fraction(width, height) - 1))
    for code, header in enumerate(_ASPECT_HEADERS):
        if (header.width, header.height) == (width, height):
            error = abs(true / Fraction(*header.aspect) - 1)
            if error < least:
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
