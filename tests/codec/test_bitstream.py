"""The header: every shape, every first byte, and each kind of invalid header."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import codec_vectors
import pytest

from thumbstream.codec.bitstream import (
    ASPECT_RATIOS,
    MAX_BITSTREAM_ID,
    Header,
    check_size,
    parse_header,
    write_header,
)
from thumbstream.errors import BitstreamError
from thumbstream.images import grid_shape

LONG_SIDES = range(8, 257, 8)
VECTORS = codec_vectors.read("header")
TAIL = b"\x00\xff\x5a"


def by_hex(vector: dict[str, Any]) -> str:
    return str(vector["hex"]) or "nothing"


def parsed(vector: dict[str, Any]) -> tuple[Header, tuple[int, int]]:
    """Fields of a vector, in the form of `fields_of`."""
    fields = {key: value for key, value in vector.items() if key not in ("hex", "aspect")}
    return Header(**fields), tuple(vector["aspect"])


def fields_of(header: Header) -> tuple[Header, tuple[int, int]]:
    return replace(header, exact_aspect=None), header.aspect


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=by_hex)
def test_golden_headers(vector: dict[str, Any]) -> None:
    header = bytes.fromhex(vector["hex"])
    assert fields_of(parse_header(header)) == parsed(vector)
    assert parse_header(header + TAIL) == parse_header(header)
    shape = vector["bitstream_id"], vector["width"], vector["height"]
    assert write_header(*shape, alpha=vector["alpha"], aspect=tuple(vector["aspect"])) == header


@pytest.mark.parametrize("vector", VECTORS["cut"], ids=by_hex)
def test_golden_truncated_headers(vector: dict[str, Any]) -> None:
    assert fields_of(parse_header(bytes.fromhex(vector["hex"]))) == parsed(vector)


REASONS = {
    "empty": "is empty",
    "reserved first byte": "is reserved",
    "two bytes where a shorter form exists": "two bytes where a shorter",
    "extended form where a shorter form exists": "shorter form exists",
    "short side over the long side": "impossible shape",
    "square marked as portrait": "impossible shape",
    "impossible shape": "impossible shape",
    "impossible aspect ratio": "impossible aspect code",
}


@pytest.mark.parametrize("vector", VECTORS["hostile"], ids=by_hex)
def test_golden_hostile_headers(vector: dict[str, Any]) -> None:
    with pytest.raises(BitstreamError, match=REASONS[vector["reason"]]):
        parse_header(bytes.fromhex(vector["hex"]))


def length_of(bitstream_id: int, width: int, height: int, *, alpha: bool = False) -> int:
    """Length of the shortest header, computed independently of the writer."""
    long = max(width, height)
    if bitstream_id == 8:
        return 3 if long > 128 else 1 if long == 32 and not alpha else 2
    return 1 if bitstream_id == 0 and long == 32 else 3


def shapes(long: int) -> set[tuple[int, int]]:
    return {shape for n in range(1, long + 1) for shape in ((long, n), (n, long))}


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("long", LONG_SIDES)
def test_every_shape_round_trips(long: int, alpha: bool) -> None:
    for width, height in shapes(long):
        for bitstream_id in (8,) if alpha else (0, 1, 8, MAX_BITSTREAM_ID):
            header = write_header(bitstream_id, width, height, alpha=alpha)
            found = parse_header(header + TAIL)
            assert found == Header(bitstream_id, width, height, len(header), alpha)
            assert len(header) == length_of(bitstream_id, width, height, alpha=alpha)
            assert found.aspect == (width, height)


def test_headers_are_unique() -> None:
    headers = [
        write_header(bitstream_id, width, height, alpha=alpha)
        for long in LONG_SIDES
        for width, height in shapes(long)
        for bitstream_id, alpha in ((0, False), (7, False), (8, False), (8, True))
    ]
    assert len(set(headers)) == len(headers)
    assert len({header for header in headers if len(header) == 1}) == 126


RESERVED = range(0x96, 0xA0)


def test_every_first_byte() -> None:
    """The table of first bytes in docs/bitstream.md, row by row."""
    for first in range(256):
        long = 8 * (first % 32 + 1)
        if first in RESERVED or first == 0xA3:
            with pytest.raises(BitstreamError):
                parse_header(bytes([first]))
            continue
        header = parse_header(bytes([first]))
        assert header.length == 1
        assert header.alpha == (0xC0 <= first < 0xE0)
        assert (header.exact_aspect is not None) == (0x7E <= first < 0x96)
        if first < 0x96:
            assert header.bitstream_id == (0 if first < 0x3F else 8)
            assert max(header.width, header.height) == 32
        else:
            assert header.bitstream_id == (8 if first < 0xE0 else None)
            assert (header.width, header.height) == (long, long)


def test_parsed_header_is_written_identically() -> None:
    """Headers are unique: every complete valid header is what the writer writes."""
    readable = 0
    for first in range(256):
        for second in (0, 1, 7, 31, 127, 128, 129, 135, 255):
            for third in (0, 1, 6, 7, 8, 31, 32, 127, 254, 255):
                stream = bytes([first, second, third])
                try:
                    header = parse_header(stream)
                except BitstreamError:
                    continue
                assert header.bitstream_id is not None
                written = write_header(
                    header.bitstream_id,
                    header.width,
                    header.height,
                    alpha=header.alpha,
                    aspect=header.aspect,
                )
                assert written == stream[: header.length]
                readable += 1
    assert readable > 1000


@pytest.mark.parametrize("long", LONG_SIDES)
def test_truncated_header_is_a_square_of_the_long_side(long: int) -> None:
    header = write_header(9, long // 2, long)
    assert parse_header(header[:1]) == Header(None, long, long, 1)
    assert parse_header(header[:2]) == Header(9, long, long, 2)
    for alpha in (False, True):
        header = write_header(8, long // 2, long, alpha=alpha)
        for length in range(1, len(header)):
            assert parse_header(header[:length]) == Header(8, long, long, length, alpha)


# Aspect ratios: 24 of them have their own first byte.

RATIOS = [ratio for long, short in ASPECT_RATIOS for ratio in ((long, short), (short, long))]


def pixels_of(ratio: tuple[int, int]) -> tuple[int, int]:
    return grid_shape(100 * ratio[0], 100 * ratio[1], 32)


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: f"{ratio[0]}:{ratio[1]}")
def test_every_ratio_round_trips(ratio: tuple[int, int]) -> None:
    header = write_header(8, *pixels_of(ratio), aspect=ratio)
    found = parse_header(header + TAIL)
    assert found == Header(8, *pixels_of(ratio), 1, exact_aspect=ratio)
    assert found.aspect == ratio
    assert header != write_header(8, *pixels_of(ratio))
    many = write_header(8, *pixels_of(ratio), aspect=(100 * ratio[0], 100 * ratio[1]))
    assert many == header


def test_ratios_have_unique_first_bytes() -> None:
    named = {write_header(8, *pixels_of(ratio), aspect=ratio) for ratio in RATIOS}
    assert named == {bytes([first]) for first in range(0x7E, 0x96)}


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: f"{ratio[0]}:{ratio[1]}")
@pytest.mark.parametrize("permille", [Fraction(399, 100), 4, Fraction(401, 100)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_ratio_stands_for_nearby_ratios(
    ratio: tuple[int, int], permille: Fraction, sign: int
) -> None:
    """Ratios within 0.4 %, unless the ratio of the pixels is nearer to the source."""
    shape = pixels_of(ratio)
    source = Fraction(*ratio) * (1 + sign * permille / Fraction(1000))
    found = parse_header(write_header(8, *shape, aspect=source.as_integer_ratio())).exact_aspect
    off = abs(source / Fraction(*ratio) - 1)
    nearer = off < abs(source / Fraction(*shape) - 1)
    assert (found == ratio) == (permille < 4 and nearer)


@pytest.mark.parametrize(("width", "height"), [(4, 3), (16, 9), (1, 1), (2, 1), (32, 21)])
def test_ratio_of_the_pixels_needs_no_code(width: int, height: int) -> None:
    shape = pixels_of((width, height))
    header = write_header(8, *shape, aspect=(width, height))
    assert header == write_header(8, *shape)
    assert parse_header(header).exact_aspect is None
    assert Fraction(*parse_header(header).aspect) == Fraction(width, height)


def test_every_source_gets_its_shape_and_the_nearest_ratio() -> None:
    """For any source the pixels are unchanged and the ratio is at least as near as theirs."""
    rng = random.Random(7)
    named = 0
    for _ in range(4000):
        source = rng.randint(1, 6000), rng.randint(1, 6000)
        shape = grid_shape(*source, 32)
        found = parse_header(write_header(8, *shape, aspect=source))
        assert (found.width, found.height, found.length) == (*shape, 1)
        true, shown = Fraction(*source), Fraction(*found.aspect)
        assert abs(true / shown - 1) <= abs(true / Fraction(*shape) - 1)
        named += found.exact_aspect is not None
    assert named > 100


def test_ratio_requires_its_own_pixels() -> None:
    assert write_header(8, 32, 22, aspect=(3, 2)) == write_header(8, 32, 22)
    assert write_header(8, 21, 32, aspect=(3, 2)) == write_header(8, 21, 32)


@pytest.mark.parametrize("bitstream_id", [0, 1, 127])
def test_other_formats_name_no_ratio(bitstream_id: int) -> None:
    assert write_header(bitstream_id, 32, 21, aspect=(3, 2)) == write_header(bitstream_id, 32, 21)


def test_other_sides_name_no_ratio() -> None:
    assert write_header(8, 64, 43, aspect=(3, 2)) == write_header(8, 64, 43)


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: f"{ratio[0]}:{ratio[1]}")
def test_transparent_pictures_name_ratios(ratio: tuple[int, int]) -> None:
    header = write_header(8, *pixels_of(ratio), alpha=True, aspect=ratio)
    assert parse_header(header + TAIL) == Header(
        8, *pixels_of(ratio), 2, alpha=True, exact_aspect=ratio
    )


@pytest.mark.parametrize("bitstream_id", [0, 7, 9, 127])
def test_other_formats_have_no_alpha(bitstream_id: int) -> None:
    with pytest.raises(ValueError, match="has no alpha"):
        write_header(bitstream_id, 32, 32, alpha=True)


@pytest.mark.parametrize("aspect", [(0, 1), (1, 0), (-3, 2), (3, -2)])
def test_rejects_invalid_ratio(aspect: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="aspect ratio must be positive"):
        write_header(8, 32, 21, aspect=aspect)


@pytest.mark.parametrize("size", [-8, 0, 7, 9, 33, 255, 257, 264, 1 << 40])
def test_rejects_size_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8 from 8 to 256"):
        check_size(size)
    with pytest.raises(ValueError, match="multiple of 8 from 8 to 256"):
        write_header(0, size, 1)


def test_accepts_size_in_range() -> None:
    assert [check_size(size) for size in LONG_SIDES] == list(LONG_SIDES)


@pytest.mark.parametrize(("width", "height"), [(32, 0), (0, 32), (32, -1)])
def test_rejects_empty_picture(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        write_header(0, width, height)


@pytest.mark.parametrize("bitstream_id", [-1, 128, 255])
def test_rejects_bitstream_id_out_of_range(bitstream_id: int) -> None:
    with pytest.raises(ValueError, match=r"must be in 0\.\.127"):
        write_header(bitstream_id, 32, 32)
