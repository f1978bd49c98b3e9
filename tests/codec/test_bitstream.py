"""The header: every shape there is, every first byte there is, and each way to be wrong."""

from __future__ import annotations

from typing import Any

import codec_vectors
import pytest

from thumbstream.codec.bitstream import (
    MAX_BITSTREAM_ID,
    Header,
    check_side,
    parse_header,
    write_header,
)
from thumbstream.codec.errors import BitstreamError

LONG_SIDES = range(8, 257, 8)
VECTORS = codec_vectors.read("header")
TAIL = b"\x00\xff\x5a"


def by_hex(vector: dict[str, Any]) -> str:
    return str(vector["hex"]) or "nothing"


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=by_hex)
def test_golden_headers(vector: dict[str, Any]) -> None:
    fields = {key: value for key, value in vector.items() if key != "hex"}
    header = bytes.fromhex(vector["hex"])
    assert write_header(fields["bitstream_id"], fields["width"], fields["height"]) == header
    assert parse_header(header) == parse_header(header + TAIL) == Header(**fields)


@pytest.mark.parametrize("vector", VECTORS["cut"], ids=by_hex)
def test_golden_cut_headers(vector: dict[str, Any]) -> None:
    fields = {key: value for key, value in vector.items() if key != "hex"}
    assert parse_header(bytes.fromhex(vector["hex"])) == Header(**fields)


REASONS = {
    "empty": "is empty",
    "reserved first byte": "is reserved",
    "extended form where the short form exists": "short form exists",
    "short side over the long side": "impossible shape",
    "square marked as portrait": "impossible shape",
}


@pytest.mark.parametrize("vector", VECTORS["hostile"], ids=by_hex)
def test_golden_hostile_headers(vector: dict[str, Any]) -> None:
    with pytest.raises(BitstreamError, match=REASONS[vector["reason"]]):
        parse_header(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("long", LONG_SIDES)
def test_every_shape_comes_back(long: int) -> None:
    for short in range(1, long + 1):
        for width, height in {(long, short), (short, long)}:
            for bitstream_id in (0, 1, MAX_BITSTREAM_ID):
                header = write_header(bitstream_id, width, height)
                found = parse_header(header + TAIL)
                assert found == Header(bitstream_id, width, height, len(header))
                assert len(header) == (1 if (long, bitstream_id) == (32, 0) else 3)


def test_headers_are_unique() -> None:
    headers = [
        write_header(bitstream_id, width, height)
        for long in LONG_SIDES
        for short in range(1, long + 1)
        for width, height in {(long, short), (short, long)}
        for bitstream_id in (0, 7)
    ]
    assert len(set(headers)) == len(headers)
    assert len({header[:1] for header in headers if len(header) == 1}) == 63


def test_a_header_is_written_as_it_was_read() -> None:
    """No two spellings of one header: whatever is read complete is what the writer would write."""
    readable = 0
    for first in range(256):
        for second in (0, 1, 127, 128, 129, 255):
            for third in (0, 1, 6, 7, 8, 31, 32, 127, 254, 255):
                stream = bytes([first, second, third])
                try:
                    header = parse_header(stream)
                except BitstreamError:
                    continue
                assert header.bitstream_id is not None
                written = write_header(header.bitstream_id, header.width, header.height)
                assert written == stream[: header.length]
                readable += 1
    assert readable > 1000


@pytest.mark.parametrize("long", LONG_SIDES)
def test_a_cut_header_is_a_square_of_the_long_side(long: int) -> None:
    header = write_header(9, long // 2, long)
    assert parse_header(header[:1]) == Header(None, long, long, 1)
    assert parse_header(header[:2]) == Header(9, long, long, 2)


@pytest.mark.parametrize("size", [-8, 0, 7, 9, 33, 255, 257, 264, 1 << 40])
def test_sizes_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8 from 8 to 256"):
        check_side(size)
    with pytest.raises(ValueError, match="multiple of 8 from 8 to 256"):
        write_header(0, size, 1)


def test_sizes_in_range_are_returned() -> None:
    assert [check_side(size) for size in LONG_SIDES] == list(LONG_SIDES)


@pytest.mark.parametrize(("width", "height"), [(32, 0), (0, 32), (32, -1)])
def test_no_pixels_no_header(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="nothing to code"):
        write_header(0, width, height)


@pytest.mark.parametrize("bitstream_id", [-1, 128, 255])
def test_bitstream_ids_out_of_range(bitstream_id: int) -> None:
    with pytest.raises(ValueError, match=r"not in 0\.\.127"):
        write_header(bitstream_id, 32, 32)
