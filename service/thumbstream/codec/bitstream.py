"""The container: a header of one or three bytes, then range-coded codes to the end.

There are no length fields and no terminator, so truncation is slicing: ``stream[:n]`` is a stream
for every ``n >= 1``. Normative text: docs/bitstream.md.

    first byte      0x00..0x3e  bitstream 0, long side 32: the value is the shape
                    0x3f..0xdf  reserved
                    0xe0..0xff  extended header: low five bits = long side / 8 - 1;
                                byte 1: portrait (1 bit), bitstream id (7); byte 2: short side - 1
"""

from __future__ import annotations

from dataclasses import dataclass

from thumbstream.codec.errors import BitstreamError

SIDE_STEP = 8
"""The long side of a thumbnail is a multiple of this many pixels."""
MIN_LONG_SIDE = 8
MAX_LONG_SIDE = 256
MAX_BITSTREAM_ID = 127

_SHORT_FORM_SIDE = 32
_SHORT_FORM_BITSTREAM = 0
_SHORT_FORM_SHAPES = 63
_EXTENDED = 0xE0
_PORTRAIT = 0x80


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes say. In a cut header, what is missing has its default (a square)."""

    bitstream_id: int | None
    """Which model reads the rest; None when the stream ends before it is said."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    length: int
    """Bytes of the header that are there."""


def check_side(size: int) -> int:
    """Return ``size`` if it may be the long side of a thumbnail; raises `ValueError`."""
    if not MIN_LONG_SIDE <= size <= MAX_LONG_SIDE or size % SIDE_STEP:
        raise ValueError(
            f"size must be a multiple of {SIDE_STEP} from {MIN_LONG_SIDE} to {MAX_LONG_SIDE}, "
            f"not {size}"
        )
    return size


def write_header(bitstream_id: int, width: int, height: int) -> bytes:
    """The shortest header for a picture of ``width`` x ``height`` pixels; raises `ValueError`."""
    long, short = max(width, height), min(width, height)
    check_side(long)
    if short < 1:
        raise ValueError(f"a picture of {width} x {height} pixels has nothing to code")
    if not 0 <= bitstream_id <= MAX_BITSTREAM_ID:
        raise ValueError(f"bitstream id {bitstream_id} is not in 0..{MAX_BITSTREAM_ID}")
    portrait = height > width
    if bitstream_id == _SHORT_FORM_BITSTREAM and long == _SHORT_FORM_SIDE:
        return bytes([_SHORT_FORM_SIDE + short - 1 if portrait else short - 1])
    return bytes(
        [
            _EXTENDED | (long // SIDE_STEP - 1),
            (_PORTRAIT if portrait else 0) | bitstream_id,
            short - 1,
        ]
    )


def parse_header(stream: bytes) -> Header:
    """Read the header of a stream or of any prefix of one; raises `BitstreamError`."""
    if not stream:
        raise BitstreamError("the stream is empty")
    first = stream[0]
    if first < _SHORT_FORM_SHAPES:
        portrait, short = divmod(first, _SHORT_FORM_SIDE)
        return _oriented(_SHORT_FORM_BITSTREAM, _SHORT_FORM_SIDE, short + 1, bool(portrait), 1)
    if first < _EXTENDED:
        raise BitstreamError(f"first byte 0x{first:02x} is reserved")
    long = SIDE_STEP * ((first & ~_EXTENDED) + 1)
    if len(stream) == 1:
        return Header(None, long, long, 1)
    bitstream_id, portrait = stream[1] & ~_PORTRAIT, bool(stream[1] & _PORTRAIT)
    if bitstream_id == _SHORT_FORM_BITSTREAM and long == _SHORT_FORM_SIDE:
        raise BitstreamError("an extended header where the short form exists")
    if len(stream) == 2:
        return Header(bitstream_id, long, long, 2)
    short = stream[2] + 1
    if short > long or (portrait and short == long):
        raise BitstreamError(f"impossible shape: short side {short}, long side {long}")
    return _oriented(bitstream_id, long, short, portrait, 3)


def _oriented(bitstream_id: int, long: int, short: int, portrait: bool, length: int) -> Header:
    width, height = (short, long) if portrait else (long, short)
    return Header(bitstream_id, width, height, length)
