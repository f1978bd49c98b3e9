"""Hostile requests: small files and heads that cost a service much, generated.

Each is a kind that was found in this service or reported of others. `uploads` are picture files for
``POST /compress``, `raw` what else a client may send.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
WITH_PROFILE = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")


class Attack(NamedTuple):
    """One hostile upload."""

    name: str
    file: bytes
    query: str = ""
    """Of ``POST /compress``."""
    may_succeed: bool = False
    """Whether the file may be answered with a stream: it has a picture."""
    costly: bool = False
    """Whether it takes more than a tenth of a second."""


def saved(form: str, side: int = 64, **options: Any) -> bytes:
    """A gradient as a file of a format of Pillow."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(out, form, **options)
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG file."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_of_scans(count: int, *, arithmetic: bool) -> bytes:
    """A sequential JPEG that repeats the scan of its first component, without data."""
    frame = struct.pack(">BHHB", 8, 7000, 7000, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    tables = b"".join(segment(0xC4, bytes([t, 1, *[0] * 16])) for t in (0x00, 0x10))
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + b"\1" * 64)
        + segment(0xC9 if arithmetic else 0xC0, frame)
        + (b"" if arithmetic else tables)
        + segment(0xDA, b"\1\1\0\0\x3f\0") * count
        + b"\xff\xd9"
    )


def profile_of_elements(count: int) -> bytes:
    """A profile with a tag of ``count`` multi-process elements that are all the same curves."""
    plain = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = b"curf\0\0\0\0\0\1\0\0parf" + bytes(8) + struct.pack(">4f", 1.01, 1, 0, 0)
    curves = b"cvst\0\0\0\0\0\3\0\3" + struct.pack(">II", 36, len(curve)) * 3 + curve
    offset = 16 + 8 * count
    table = struct.pack(">II", offset, len(curves)) * count
    element = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, count) + table + curves
    (tags,) = struct.unpack_from(">I", plain, 128)
    moved = b""
    for index in range(tags):
        name, start, length = struct.unpack_from(">4sII", plain, 132 + 12 * index)
        moved += struct.pack(">4sII", name, start + 12, length)
    end = 132 + 12 * tags
    start = len(plain) + 12
    moved += struct.pack(">4sII", b"D2B0", start, len(element))
    whole = bytes(plain[:128]) + struct.pack(">I", tags + 1) + moved + bytes(plain[end:]) + element
    return struct.pack(">I", len(whole)) + whole[4:]


def tiff_of_shared_tiles() -> bytes:
    """19 tiles of 48 million pixels for 48 million pixels, all of the same 140 kB."""
    tile = zlib.compress(bytes(1600 * 30000 * 3), 9)
    tiles = 19
    entries, blob = [], b""
    data = 8 + 2 + 12 * 10 + 4
    values = (
        (256, [30000]), (257, [1600]), (258, [8, 8, 8, 8]), (259, [8]), (262, [2]), (277, [3]),
        (322, [1600]), (323, [30000]),
        (324, [data + 16 + 8 * tiles] * tiles), (325, [len(tile)] * tiles),
    )  # fmt: skip
    for tag, numbers in values:
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(packed) == 4 else struct.pack("<I", data + len(blob))
        blob += b"" if len(packed) == 4 else packed
        entries.append(struct.pack("<HHI", tag, 4, len(numbers)) + place)
    return b"II*\0" + struct.pack("<IH", 8, 10) + b"".join(entries) + bytes(4) + blob + tile


def png_of(width: int, height: int) -> bytes:
    """A PNG of zeros, as short as they can be."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def tiff_of_strips(count: int) -> bytes:
    """A picture of 64 rows whose tag of strip offsets has ``count`` entries."""
    entries = (
        (256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1), (279, 64),
    )  # fmt: skip
    packed = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries]
    packed.insert(5, struct.pack("<HHII", 273, 4, count, 8 + 2 + 12 * 9 + 4))
    return b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(packed) + bytes(4) + bytes(4 * count)


def exif_of_fractions(count: int) -> bytes:
    """A PNG whose EXIF orientation is an array of ``count`` fractions."""
    exif = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, 5, count, 26) + bytes(4)
    return saved("PNG", exif=exif + struct.pack("<II", 1, 1) * count)


def noise(side: int) -> bytes:
    """The picture that takes a codec longest: ``side`` x ``side`` random RGBA pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 4), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def uploads() -> Iterator[Attack]:
    """Every kind of hostile file."""
    yield Attack("JPEG, 3000 empty scans", jpeg_of_scans(3000, arithmetic=False))
    yield Attack("JPEG, 3000 scans, arithmetic", jpeg_of_scans(3000, arithmetic=True))
    yield Attack("TIFF, tiles that share bytes", tiff_of_shared_tiles())
    yield Attack("TIFF, a million strips", tiff_of_strips(1_000_000), may_succeed=True)
    file = exif_of_fractions(2_000_000)
    yield Attack("PNG, EXIF of 2 million fractions", file, may_succeed=True, costly=True)
    yield Attack("PNG, 54 megapixels of zeros", png_of(30000, 1800))
    yield Attack("PNG, 49 megapixels of zeros", png_of(7000, 7000), may_succeed=True, costly=True)
    yield Attack("noise, size=256 and ssim:1", noise(256), "size=256&target=ssim:1", True, True)
    for form in WITH_PROFILE:
        for count in (40, 4000):
            file = saved(form, icc_profile=profile_of_elements(count))
            yield Attack(f"{form}, ICC of {count} elements", file, may_succeed=True)
    for form in FORMATS:
        yield Attack(f"{form}, cut off", saved(form, 512)[:-300], may_succeed=True)
        rest = random.Random(form).randbytes(2000)  # noqa: S311 (no secret)
        yield Attack(f"{form}, noise after its head", saved(form, 256)[:60] + rest)


def raw() -> Iterator[tuple[str, bytes]]:
    """(name, bytes of one connection) of hostile requests without a picture."""
    host = b" HTTP/1.1\r\nHost: x\r\n"
    accept = b"GET /decode/q0Zr2vYx3m1Ck7Ht5sNwAQ" + host + b"Accept: " + b"," * 32_000
    yield "32 kB of commas in Accept, 16 times", (accept + b"\r\n\r\n") * 16
    chunked = b"POST /decode" + host + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    yield "8 MB of trailers", chunked + b"a: b\r\n" * (8 * 1024 * 1024 // 6)
