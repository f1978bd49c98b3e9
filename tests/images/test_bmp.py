"""BMP: bit fields of every layout, with and without alpha."""

from __future__ import annotations

import struct

import numpy as np
import picture_files as files
import pytest

from thumbstream.errors import InvalidImageError, TooManyPixelsError
from thumbstream.images import thumbnail

RGBA = np.dstack([files.RGB, files.ALPHA])


@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("name", files.LAYOUTS_32)
def test_layouts_of_32_bits(name: str, header: int) -> None:
    check(files.LAYOUTS_32[name], 32, header)


@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("name", files.LAYOUTS_16)
def test_layouts_of_16_bits(name: str, header: int) -> None:
    check(files.LAYOUTS_16[name], 16, header)


def check(layout: tuple[int, ...], bits: int, header: int) -> None:
    masks = layout if header >= 56 else layout[:3]
    rows = files.packed(layout, RGBA[::-1]).astype(f"<u{bits // 8}").tobytes()
    data = files.bmp(rows, bits, header=header, compression=3, masks=masks)
    pixels = thumbnail(data, 96, alpha=True).pixels.astype(int)
    has_alpha = header >= 56 and layout[3]
    assert pixels.shape == (64, 96, 4 if has_alpha else 3)
    for channel, mask in enumerate(masks):
        steps = mask.bit_count()
        if mask and channel < 3:
            seen = RGBA[..., 3] > 40 if has_alpha else slice(None)
            gap = np.abs(pixels[..., channel] - files.RGB[..., channel])[seen]
            assert np.median(gap) <= 255 / (2**steps - 1)
        elif mask:
            assert np.abs(pixels[..., 3] - RGBA[..., 3]).max() <= 255 / (2**steps - 1) + 3
        elif channel < 3:
            assert pixels[..., channel].max() <= 20


def bit_fields(**options: object) -> bytes:
    defaults = {"compression": 3, "masks": files.LAYOUTS_32["swapped"][:3]}
    rows = files.packed(files.LAYOUTS_32["swapped"], RGBA).astype("<u4").tobytes()
    return files.bmp(rows, 32, **(defaults | options))  # type: ignore[arg-type]


def test_rows_from_the_top() -> None:
    assert np.abs(thumbnail(bit_fields(height=-64), 96).pixels.astype(int) - files.RGB).max() <= 2


def test_rejects_what_does_not_fit() -> None:
    with pytest.raises(InvalidImageError, match="cut off"):
        thumbnail(bit_fields()[:-9000], 32)
    with pytest.raises(InvalidImageError, match="gaps"):
        thumbnail(bit_fields(masks=(0xF0F, 0xF000, 0xFF0000)), 32)
    with pytest.raises(InvalidImageError, match="no pixels"):
        thumbnail(bit_fields(width=0), 32)
    with pytest.raises(TooManyPixelsError):
        thumbnail(bit_fields(width=30_000, height=29_000), 32)
    with pytest.raises(InvalidImageError):
        thumbnail(bit_fields()[:56], 32)


RUNS = {file.name: file.data for file in files.runs()}


@pytest.mark.parametrize("data", [bit_fields(), files.bmp(bytes(96 * 64 * 3), 24), *RUNS.values()])
@pytest.mark.parametrize("beyond", [1, 1 << 30, (1 << 32) - 1])
def test_offset_beyond_the_file(data: bytes, beyond: int) -> None:
    offset = min(len(data) + beyond, (1 << 32) - 1)
    moved = data[:10] + struct.pack("<I", offset) + data[14:]
    message = f"begin at byte {offset}, but it has {len(data)} bytes"
    with pytest.raises(InvalidImageError, match=message):
        thumbnail(moved, 32)


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    pixels = thumbnail(RUNS[name], 96).pixels
    red, green, blue, yellow = files.COLORS
    black = (0, 0, 0)
    expected = {  # top left, top right, bottom left, bottom right
        "rle8-whole": (red, green, blue, yellow),
        "rle8-no-end": (red, green, blue, yellow),
        "rle4-whole": (red, green, blue, yellow),
        "rle8-early": (black, black, blue, yellow),
        "rle8-short": (blue, black, blue, black),
        "rle8-delta": (green, black, green, black),
        "rle8-literal": (green, yellow, green, yellow),
        "rle8-literal-odd": (green, yellow, green, yellow),
        "rle8-one-line": (black, black, black, black),
        "rle8-beyond": (blue, blue, blue, blue),
    }
    if name in expected:
        rows = (8, 40)
        found = [pixels[y, x].tolist() for y in rows for x in (20, 75)]
        assert found == [list(color) for color in expected[name]]


@pytest.mark.parametrize("name", ["rle8", "24", "palette", "1", "32-argb-56", "16-565-56"])
def test_missing_rows_are_black(name: str) -> None:
    known = {file.name: file.data for file in files.bmps()} | {"rle8": RUNS["rle8-whole"]}
    data = known[name]
    start = int.from_bytes(data[10:14], "little")
    whole = thumbnail(data, 32)
    assert not whole.truncated
    for missing in (0.01, 0.2):
        found = thumbnail(data[: len(data) - round(missing * (len(data) - start))], 32)
        assert found.truncated
        rows = len(found.pixels) * missing + 3
        assert np.array_equal(found.pixels[round(rows) :], whole.pixels[round(rows) :])
    with pytest.raises(InvalidImageError, match=r"cut off or damaged: \d\d % of it cannot"):
        thumbnail(data[: start + (len(data) - start) // 2], 32)


@pytest.mark.parametrize("header", [108, 124])
def test_mask_of_alpha_counts_without_bit_fields(header: int) -> None:
    masks = files.LAYOUTS_32["argb"]
    rows = files.packed(masks, RGBA[::-1]).astype("<u4").tobytes()
    with_alpha = files.bmp(rows, 32, header=header, masks=masks)
    assert thumbnail(with_alpha, 96, alpha=True).pixels.shape == (64, 96, 4)
    without = files.bmp(rows, 32, header=header)
    assert thumbnail(without, 96, alpha=True).pixels.shape == (64, 96, 3)
