"""Every format and mode, by the colors of the result."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from thumbstream.errors import UnsupportedFormatError
from thumbstream.images import reduce_to_grid, thumbnail

COLOURS = [(220, 30, 40), (20, 180, 60), (30, 50, 200), (120, 120, 120)]
GREYS = [(0,) * 3, (80,) * 3, (160,) * 3, (255,) * 3]
WHITE = (255, 255, 255)

Save = Callable[..., bytes]
Centres = Callable[..., list[list[int]]]
Near = Callable[..., bool]


@pytest.mark.parametrize(
    ("format_", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"compression": "jpeg"}, 12),
        ("TIFF", {"big_tiff": True}, 0),
        ("GIF", {}, 3),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 8),
        ("JPEG", {"quality": 95}, 4),
        ("JPEG", {"quality": 95, "progressive": True}, 4),
        ("JPEG", {"quality": 95, "subsampling": 0}, 4),
        ("MPO", {"quality": 95}, 4),
        ("AVIF", {"quality": 95}, 8),
    ],
)
def test_colors_of_every_format(
    quarters: Image.Image,
    save: Save,
    centres: Centres,
    near: Near,
    format_: str,
    options: dict[str, Any],
    tolerance: int,
) -> None:
    result = thumbnail(save(quarters, format_, **options), 32)
    assert (result.width, result.height) == (96, 72)
    assert result.pixels.shape == (24, 32, 3)
    assert result.pixels.dtype == np.uint8
    assert result.pixels.flags.c_contiguous
    assert near(centres(result.pixels), COLOURS, tolerance)


@pytest.mark.parametrize("format_", ["PPM", "TGA", "ICO", "JPEG2000", "PDF", "EPS", "PCX"])
def test_rejects_other_formats(quarters: Image.Image, save: Save, format_: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        thumbnail(save(quarters, format_), 32)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello", b"<svg xmlns='...'/>", b"\xff\xd8", b"\0\0\0\x18ftypheic" * 9]
)
def test_rejects_other_bytes(data: bytes) -> None:
    with pytest.raises(UnsupportedFormatError):
        thumbnail(data, 32)


def test_stream_equals_bytes(quarters: Image.Image, save: Save) -> None:
    data = save(quarters, "PNG")
    assert np.array_equal(thumbnail(io.BytesIO(data), 32).pixels, thumbnail(data, 32).pixels)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "AVIF"])
def test_grey(
    grey_quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    result = thumbnail(save(grey_quarters, format_, **options), 32)
    assert near(centres(result.pixels), GREYS, 2)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "GIF"])
def test_one_bit(save: Save, centres: Centres, format_: str) -> None:
    bits = np.zeros((72, 96), bool)
    bits[:36, 48:] = bits[36:, :48] = True
    result = thumbnail(save(Image.fromarray(bits), format_), 32)
    assert centres(result.pixels) == [[0] * 3, [255] * 3, [255] * 3, [0] * 3]


def test_one_bit_is_averaged_not_sampled(save: Save) -> None:
    checkerboard = np.indices((96, 96)).sum(axis=0) % 2 == 0
    result = thumbnail(save(Image.fromarray(checkerboard), "PNG"), 8)
    assert abs(result.pixels.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_grey_of_16_bits(
    grey_quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    deep = Image.fromarray(np.asarray(grey_quarters).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert near(centres(thumbnail(save(deep, format_), 32).pixels), GREYS, 0)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG by hand, for what Pillow cannot write. ``rows`` with their filter bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    extra = b"".join(chunk(c[:4], c[4:]) for c in chunks)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body


def png_of_samples(samples: Any, depth: int, kind: int, *chunks: bytes) -> bytes:
    """``samples`` (h, w) or (h, w, channels), already of ``depth`` bits."""
    array = np.asarray(samples)
    height, width = array.shape[:2]
    if depth == 16:
        rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = array.astype(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(array.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    filtered = np.hstack([np.zeros((height, 1), np.uint8), rows])
    return png(width, height, depth, kind, filtered.tobytes(), *chunks)


def test_color_of_16_bits(quarters: Image.Image, centres: Centres, near: Near) -> None:
    deep = np.asarray(quarters).astype(np.uint16) * 257
    assert near(centres(thumbnail(png_of_samples(deep, 16, 2), 32).pixels), COLOURS, 0)


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_2_and_4_bits(centres: Centres, depth: int) -> None:
    top = 2**depth - 1
    samples = np.zeros((72, 96), np.uint8)
    samples[:36, 48:], samples[36:, :48], samples[36:, 48:] = 1, 2, top
    step = 255 // top
    expected = [[0] * 3, [step] * 3, [2 * step] * 3, [255] * 3]
    assert centres(thumbnail(png_of_samples(samples, depth, 0), 32).pixels) == expected


@pytest.mark.parametrize(
    ("depth", "kind", "shape", "clear", "opaque"),
    [
        (1, 0, (), 0, 1),
        (2, 0, (), 1, 2),
        (4, 0, (), 3, 5),
        (8, 0, (), 90, 91),
        (16, 0, (), 0x1234, 0x1235),
        (8, 2, (3,), (10, 20, 30), (10, 20, 31)),
        (16, 2, (3,), (0x0A00, 0x1400, 0x1E00), (0x0B00, 0x1400, 0x1E00)),
    ],
)
def test_transparent_color_of_every_depth(
    centres: Centres,
    near: Near,
    depth: int,
    kind: int,
    shape: tuple[int, ...],
    clear: Any,
    opaque: Any,
) -> None:
    samples = np.empty((72, 96, *shape), np.uint16)
    samples[:, :48], samples[:, 48:] = clear, opaque
    key = b"tRNS" + np.atleast_1d(clear).astype(">u2").tobytes()
    found = centres(thumbnail(png_of_samples(samples, depth, kind, key), 32).pixels)
    shown = np.broadcast_to(np.asarray(opaque) * 255.0 / (2**depth - 1), 3)
    assert near(found, [WHITE, shown, WHITE, shown], 1)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_is_composited_over_white(
    quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    alpha = np.full((72, 96), 255, np.uint8)
    alpha[:36, :48], alpha[36:, :48] = 0, 128
    quarters.putalpha(Image.fromarray(alpha))
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    found = centres(thumbnail(save(quarters, format_, **options), 32).pixels)
    half = [round(255 + (c - 255) * 128 / 255) for c in COLOURS[2]]
    assert near(found, [WHITE, COLOURS[1], half, COLOURS[3]], 8 if format_ == "AVIF" else 1)


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_with_alpha(centres: Centres, near: Near, depth: int) -> None:
    top = 2**depth - 1
    samples = np.zeros((72, 96, 2), np.uint16)
    samples[:, :48, 1] = top
    samples[36:, 48:, 1] = top // 2
    found = centres(thumbnail(png_of_samples(samples, depth, 4), 32).pixels)
    assert near(found, [(0,) * 3, WHITE, (0,) * 3, (128,) * 3], 1)


def test_hidden_colors_do_not_bleed(save: Save) -> None:
    # Alternating columns: opaque white, and fully transparent black.
    samples = np.zeros((64, 64, 4), np.uint8)
    samples[:, ::2] = 255
    assert (thumbnail(save(Image.fromarray(samples), "PNG"), 8).pixels == 255).all()


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_palettes_with_transparency(
    quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    indexed = quarters.quantize(4, dither=Image.Dither.NONE)
    clear = indexed.getpixel((5, 5))
    found = centres(thumbnail(save(indexed, format_, transparency=clear), 32).pixels)
    assert near(found, [WHITE, *COLOURS[1:]], 3)


def test_palettes_with_alpha_per_entry(
    quarters: Image.Image, save: Save, centres: Centres, near: Near
) -> None:
    indexed = quarters.quantize(4, dither=Image.Dither.NONE)
    alphas = [255] * 4
    first = indexed.getpixel((5, 5))
    assert isinstance(first, int)
    alphas[first] = 51
    found = centres(thumbnail(save(indexed, "PNG", transparency=bytes(alphas)), 32).pixels)
    fifth = [round(255 + (c - 255) * 0.2) for c in COLOURS[0]]
    assert near(found, [fifth, *COLOURS[1:]], 3)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
def test_first_frame_of_an_animation(
    quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    more = [Image.new("RGB", quarters.size, c) for c in ("yellow", "black")]
    data = save(quarters, format_, save_all=True, append_images=more, quality=95)
    assert near(centres(thumbnail(data, 32).pixels), COLOURS, 12)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk(
    quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    data = save(quarters.convert("CMYK"), format_, quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert near(centres(thumbnail(data, 32).pixels), COLOURS, 4)


def test_ycck(quarters: Image.Image, save: Save, centres: Centres, near: Near) -> None:
    # Pillow writes CMYK; what makes YCCK of it is the last byte of Adobe's marker. YCC then holds
    # 255 - C, 255 - M, 255 - Y of what is stored; both Adobe and Pillow invert what is stored.
    y, cb, cr = ImageChops.invert(quarters).convert("YCbCr").split()
    inverted = [channel.point(lambda v: 255 - v) for channel in (y, cb, cr)]
    no_black = Image.new("L", quarters.size, 0)
    data = save(Image.merge("CMYK", (*inverted, no_black)), "JPEG", quality=98)
    marker = data.index(b"Adobe") + 11
    assert data[marker] == 0
    ycck = data[:marker] + b"\x02" + data[marker + 1 :]
    assert near(centres(thumbnail(ycck, 32).pixels), COLOURS, 6)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0, 51, 128, 255)),  # within 0 to 1
        (0.0, 0.5, (0, 26, 64, 128)),  # within 0 to 1, dark
        (0.0, 4.0, (0, 51, 128, 255)),  # beyond 1: stretched
        (-1.0, 1.0, (0, 51, 128, 255)),  # below 0: stretched
        (100.0, 200.0, (0, 51, 128, 255)),
    ],
)
def test_floating_point_tiff(
    save: Save, centres: Centres, near: Near, low: float, high: float, expected: tuple[int, ...]
) -> None:
    samples = np.empty((72, 96), np.float32)
    samples[:36, :48], samples[:36, 48:], samples[36:, :48], samples[36:, 48:] = low + (
        high - low
    ) * np.array([0, 0.2, 0.5, 1])
    found = centres(thumbnail(save(Image.fromarray(samples), "TIFF"), 32).pixels)
    assert near(found, [(v,) * 3 for v in expected], 1)


def test_floating_point_in_memory_is_in_0_to_255(centres: Centres, near: Near) -> None:
    grey = Image.new("L", (96, 72), 60)
    grey.paste(200, (0, 0, 48, 72))
    found = centres(reduce_to_grid(grey.convert("F"), 32).pixels)
    assert near(found, [(200,) * 3, (60,) * 3] * 2, 1)


def test_floating_point_nan_and_infinity(save: Save, centres: Centres) -> None:
    samples = np.full((72, 96), 0.4, np.float32)
    samples[:36, :48], samples[:36, 48:], samples[36:, :48] = np.nan, np.inf, -np.inf
    found = centres(thumbnail(save(Image.fromarray(samples), "TIFF"), 32).pixels)
    assert found == [[0] * 3, [255] * 3, [0] * 3, [102] * 3]
    samples[:] = np.nan
    assert not thumbnail(save(Image.fromarray(samples), "TIFF"), 32).pixels.any()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 51, 128, 255), (0, 51, 128, 255)),
        ((0, 13107, 32896, 65535), (0, 51, 128, 255)),
        ((-100, 0, 50, 100), (0, 128, 191, 255)),
        ((-(2**31), 0, 0, 2**31 - 1), (0, 128, 128, 255)),
    ],
)
def test_integers_of_32_bits(
    save: Save, centres: Centres, near: Near, values: Any, expected: tuple[int, ...]
) -> None:
    samples = np.empty((72, 96), np.int32)
    samples[:36, :48], samples[:36, 48:], samples[36:, :48], samples[36:, 48:] = values
    found = centres(thumbnail(save(Image.fromarray(samples), "TIFF"), 32).pixels)
    assert near(found, [(v,) * 3 for v in expected], 1)


@pytest.mark.parametrize(
    "mode",
    ["RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "P", "PA"],
)
def test_opened_pictures_of_every_color_mode(
    quarters: Image.Image, centres: Centres, near: Near, mode: str
) -> None:
    if mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            quarters,
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
        assert image is not None
    elif mode == "RGBa":
        image = quarters.convert("RGBA").convert("RGBa")
    elif mode == "PA":
        image = quarters.quantize(4, dither=Image.Dither.NONE).convert("PA")
    else:
        image = quarters.convert(mode)
    before = image.copy()
    result = reduce_to_grid(image, 32)
    # LAB holds hues far outside RGB: eight bits of it are coarse.
    assert near(centres(result.pixels), COLOURS, 10 if mode == "LAB" else 5)
    assert (result.width, result.height) == (96, 72)
    assert image == before


@pytest.mark.parametrize("mode", ["L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"])
def test_opened_pictures_of_every_grey_mode(
    grey_quarters: Image.Image, centres: Centres, near: Near, mode: str
) -> None:
    if mode == "La":
        image = grey_quarters.convert("LA").convert("La")
    elif mode.startswith("I;16"):
        order = ">" if mode.endswith("B") else "<"
        raw = (np.asarray(grey_quarters).astype(f"{order}u2") * 257).astype(f"{order}u2")
        image = Image.frombytes(mode, grey_quarters.size, raw.tobytes())
    else:
        image = grey_quarters.convert(mode)
    assert near(centres(reduce_to_grid(image, 32).pixels), GREYS, 1)
