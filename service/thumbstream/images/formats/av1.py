"""Reads the color description in the sequence header of an AV1 stream (specification, 5.5)."""

from __future__ import annotations

_SEQUENCE_HEADER = 1
_HAS_EXTENSION, _HAS_SIZE = 4, 2
_MAX_UNITS = 16
"""Most units that are searched; the sequence header is the first or follows a delimiter."""


def color_codes(stream: bytes) -> tuple[int, int] | None:
    """Return the H.273 code points of primaries and transfer function that ``stream`` declares.

    Returns None if the sequence header is missing, cut off, or declares none.
    """
    header = _sequence_header(stream)
    try:
        return None if header is None else _color_codes(_Bits(header))
    except EOFError:
        return None


def _sequence_header(stream: bytes) -> bytes | None:
    position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(stream):
            return None
        flags = stream[position]
        position += 2 if flags & _HAS_EXTENSION else 1
        length = len(stream) - position
        if flags & _HAS_SIZE:
            length = shift = 0
            for byte in stream[position : position + 8]:
                position += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
        if flags >> 3 & 15 == _SEQUENCE_HEADER:
            return stream[position : position + length]
        position += length
    return None


class _Bits:
    """Reads bits, the most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, count: int = 1) -> int:
        """Return the next ``count`` bits as a number. Raises EOFError if there are fewer."""
        end = self._position + count
        if end > 8 * len(self._data):
            raise EOFError
        first, last = self._position // 8, -(-end // 8)
        value = int.from_bytes(self._data[first:last], "big") >> (8 * last - end)
        self._position = end
        return value & ((1 << count) - 1)


def _color_codes(bits: _Bits) -> tuple[int, int] | None:
    profile = bits.read(3)
    bits.read()  # still_picture
    reduced = bits.read()
    if reduced:
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits)
    bits.read(height_bits)
    if not reduced and bits.read():  # frame_id_numbers_present_flag
        bits.read(7)
    bits.read(3)  # 128 x 128 blocks, intra filter, intra edge filter
    if not reduced:
        _skip_inter_tools(bits)
    bits.read(3)  # superres, cdef, restoration
    if bits.read() and profile == 2:  # high_bitdepth
        bits.read()  # twelve_bit
    if profile != 1:
        bits.read()  # mono_chrome
    if not bits.read():  # color_description_present_flag
        return None
    return bits.read(8), bits.read(8)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read():  # timing_info_present_flag
        bits.read(64)
        if bits.read():  # equal_picture_interval
            zeros = 0
            while not bits.read():
                zeros += 1
            bits.read(zeros)
        if bits.read():  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)
    delays = bits.read()  # initial_display_delay_present_flag
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read()  # seq_tier
        if delay_bits and bits.read():
            bits.read(2 * delay_bits + 1)
        if delays and bits.read():
            bits.read(4)


def _skip_inter_tools(bits: _Bits) -> None:
    bits.read(4)
    order_hint = bits.read()
    if order_hint:
        bits.read(2)
    screen_content = 2 if bits.read() else bits.read()
    if screen_content and not bits.read():  # seq_choose_integer_mv
        bits.read()
    if order_hint:
        bits.read(3)
