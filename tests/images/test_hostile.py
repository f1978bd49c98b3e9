"""Files made to hurt: what decoders were once broken by. Each is a picture or refused, in bounds.

All are made here, by the rules of their formats, and none is stored. Bombs of plain size are in
``test_limits``, damage of every kind in ``test_broken``.
"""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from thumbstream.errors import IngestError, InvalidImageError, TooManyPixelsError
from thumbstream.images import Thumbnail, thumbnail
from thumbstream.images.formats.isobmff import MAX_DESCRIPTION, description_bytes
from thumbstream.images.formats.jpeg import read_scans

Make = Callable[[], bytes]

MEMORY = 64 << 20
"""Bytes that Python may take at most for one of these, the file not counted."""


def written(form: str, *, side: int = 16, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 90, 30)).save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes) -> bytes:
    plain = written("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def png_of(width: int, height: int, *, interlaced: bool = False, pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(pixels)),
            chunk(b"IEND", b""),
        )
    )


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(*segments: bytes) -> bytes:
    plain = written("JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(written("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def ifd(tags: list[tuple[int, int, int, int]], following: int, *, at: int = 8) -> bytes:
    """A TIFF structure of one directory: (tag, type, count, value) each, then the next one."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", at) + bytes(at - 8) + directory


def tiff_of(width: int, height: int, *more: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A grey picture of 8 bits a sample whose strip is the header's first bytes."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height)]
    tags += [(279, 4, 1, width * height)]
    changed = {tag[0]: tag for tag in (*tags, *more)}
    return ifd(sorted(changed.values()), following) + bytes(256)


def gif_of(canvas: tuple[int, int], frame: tuple[int, int, int, int], frames: int = 1) -> bytes:
    """``frame``: left, top, width, height; its pixels are cut off after the first."""
    picture = struct.pack("<BHHHHB", 0x2C, *frame, 0) + b"\x02\x02\x4c\x01\0"
    return (
        b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(6) + picture * frames + b";"
    )


def bmp_of(width: int, height: int, *, bits: int = 24, colours: int = 0, size: int = 40) -> bytes:
    info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, 0, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + bytes(64)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", (
        bytes([flags, 0, 0, 0])
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *parts)


def avif_grid(rows: int, columns: int, width: int, height: int) -> bytes:
    """A grid of ``rows`` x ``columns`` tiles that are all the same few bytes."""
    tiles = rows * columns
    grid = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    entries = [full(b"infe", 2, struct.pack(">HH", 1, 0), b"grid\0")]
    entries += [full(b"infe", 2, struct.pack(">HH", i + 2, 0), b"av01\0") for i in range(tiles)]
    places = [struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))]
    places += [struct.pack(">HHHHII", i + 2, 0, 0, 1, 0, 16) for i in range(tiles)]
    properties = box(
        b"ipco",
        full(b"ispe", 0, struct.pack(">II", width, height)),
        full(b"pixi", 0, b"\x03\x08\x08\x08"),
        box(b"av1C", b"\x81\x00\x0c\x00"),
    )
    owners = struct.pack(">I", tiles + 1) + struct.pack(">HBBB", 1, 2, 1, 2)
    owners += b"".join(struct.pack(">HBBBB", i + 2, 3, 1, 2, 0x83) for i in range(tiles))
    parts = struct.pack(">HH", 1, tiles) + b"".join(struct.pack(">H", i + 2) for i in range(tiles))
    meta = full(
        b"meta",
        0,
        full(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
        full(b"pitm", 0, struct.pack(">H", 1)),
        full(b"iloc", 1, b"\x44\x00", struct.pack(">H", tiles + 1), *places),
        full(b"iinf", 0, struct.pack(">H", len(entries)), *entries),
        full(b"iref", 0, box(b"dimg", parts)),
        box(b"iprp", properties, full(b"ipma", 0, owners)),
        box(b"idat", grid),
    )
    return box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf") + meta + box(b"mdat", bytes(64))


def avif_of_declared_size(width: int, height: int) -> bytes:
    data = bytearray(written("AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def profile_in_parts(parts: int, size: int) -> bytes:
    return jpeg_with(
        *(
            segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, parts]) + bytes(size))
            for i in range(parts)
        )
    )


def profile_of_tags(count: int) -> bytes:
    """An ICC profile whose table says ``count`` tags, all beyond its end."""
    body = bytes(12) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(88) + struct.pack(">I", count)
    body += struct.pack(">4sII", b"rXYZ", 0xFFFFFFF0, 0xFFFFFFFF) * 4
    return struct.pack(">I", len(body) + 4) + body


LOOP = ifd([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)], following=8)
"""EXIF whose next directory, EXIF part and GPS part are all itself; orientation 6."""
OVERLAPPING = ifd([(1000 + i, 7, 60_000, 8) for i in range(2_000)], following=0) + bytes(60_000)
"""EXIF with 2,000 values that are the same 60,000 bytes: 120 MB if each were copied."""
ENDLESS_LIST = ifd([(0x0112, 3, 0x7FFFFFFF, 8), (0x0112, 3, 1, 6)], following=0)

HOSTILE: dict[str, Make] = {
    # Colour profiles
    "jpeg-profile-16-mb": lambda: profile_in_parts(255, 65_000),
    "jpeg-profile-one-part-of-255": lambda: jpeg_with(
        segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(99))
    ),
    "jpeg-profile-part-0-of-0": lambda: jpeg_with(segment(0xE2, b"ICC_PROFILE\0\0\0" + bytes(99))),
    "png-profile-of-endless-tags": lambda: png_with(
        chunk(b"iCCP", b"a\0\0" + zlib.compress(profile_of_tags(0xFFFFFFFF)))
    ),
    "webp-profile-of-endless-tags": lambda: written("WEBP", icc_profile=profile_of_tags(1 << 30)),
    "png-profiles-that-are-just-small-enough": lambda: png_with(
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 15_000
    ),
    # EXIF
    "jpeg-exif-loop": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + LOOP)),
    "png-exif-loop": lambda: png_with(chunk(b"eXIf", LOOP)),
    "webp-exif-loop": lambda: written("WEBP", exif=LOOP),
    "png-exif-overlapping": lambda: png_with(chunk(b"eXIf", OVERLAPPING)),
    "webp-exif-overlapping": lambda: written("WEBP", exif=OVERLAPPING),
    "png-exif-endless-list": lambda: png_with(chunk(b"eXIf", ENDLESS_LIST)),
    "jpeg-exif-in-30-parts": lambda: jpeg_with(
        *[segment(0xE1, b"Exif\0\0" + OVERLAPPING[:65_000])] * 300
    ),
    # No pixels
    "png-0-wide": lambda: png_of(0, 9),
    "png-0-high": lambda: png_of(9, 0),
    "gif-0": lambda: gif_of((0, 0), (0, 0, 0, 0)),
    "bmp-0": lambda: bmp_of(0, 0),
    "tiff-0": lambda: tiff_of(0, 5),
    "jpeg-0-high": lambda: jpeg_of(16, 0),
    "avif-0": lambda: avif_of_declared_size(0, 0),
    "webp-0": lambda: riff((b"VP8 ", b"\x10\0\0\x9d\x01\x2a\0\0\0\0" + bytes(20))),
    # Rows out of order, and the interlaced kind of a bomb
    "png-interlaced-without-rows": lambda: png_of(20_000, 2_000, interlaced=True),
    "png-interlaced-first-pass-only": lambda: png_of(
        4_000, 4_000, interlaced=True, pixels=bytes(500 * (1 + 500 * 3))
    ),
    "bmp-upside-down-past-the-least-integer": lambda: bmp_of(8, -(1 << 31)),
    "bmp-negative-width": lambda: bmp_of(-8, 8),
    "bmp-endless-palette": lambda: bmp_of(8, 8, bits=8, colours=0x7FFFFFFF),
    "bmp-endless-header": lambda: bmp_of(8, 8, size=0x7FFFFFFF),
    # Frames
    "gif-frame-outside": lambda: gif_of((10, 10), (5, 5, 100, 100)),
    "gif-frame-apart": lambda: gif_of((10, 10), (4_000, 4_000, 8, 8)),
    "gif-100000-frames": lambda: gif_of((8, 8), (0, 0, 8, 8), frames=100_000),
    "png-endless-animation": lambda: png_with(
        chunk(b"acTL", struct.pack(">II", 0x7FFFFFFF, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9, 9, 8, 8, 1, 1, 0, 0)),
    ),
    "webp-frame-outside": lambda: riff(
        webp_canvas(8, 8, flags=2),
        (b"ANIM", bytes(6)),
        (b"ANMF", b"\xff\xff\xff" * 2 + b"\x0f\0\0" * 2 + bytes(4) + written("WEBP")[12:]),
    ),
    "webp-frame-in-a-frame": lambda: riff(
        webp_canvas(8, 8, flags=2), (b"ANIM", bytes(6)), (b"ANMF", bytes(16) + b"ANMF\x10\0\0\0")
    ),
    # Directories
    "tiff-loop": lambda: tiff_of(16, 16, following=8),
    "tiff-endless-samples": lambda: tiff_of(8, 8, (277, 3, 1, 65_535)),
    "tiff-endless-bits": lambda: tiff_of(8, 8, (258, 3, 0x7FFFFFFF, 8)),
    "tiff-endless-strips": lambda: tiff_of(8, 8, (273, 4, 0x3FFFFFFF, 8)),
    "tiff-strip-behind-the-end": lambda: tiff_of(8, 8, (273, 4, 1, 0xFFFFFFF0)),
    "tiff-strip-longer-than-the-file": lambda: tiff_of(64, 64, (279, 4, 1, 0xFFFFFFFF)),
    "tiff-tile-of-0": lambda: tiff_of(8, 8, (322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 8)),
    "tiff-huge-tile": lambda: tiff_of(
        8,
        8,
        (259, 3, 1, 5),
        (322, 4, 1, 1 << 30),
        (323, 4, 1, 1 << 30),
        (324, 4, 1, 8),
        (325, 4, 1, 9),
    ),
    "tiff-unknown-compression": lambda: tiff_of(8, 8, (259, 3, 1, 40_000)),
    "tiff-overlapping": lambda: tiff_of(8, 8, *((1000 + i, 7, 40_000, 8) for i in range(4_000))),
    # Grids of tiles
    "avif-grid-65536-tiles": lambda: avif_grid(255, 250, 16_000, 16_000),
    "avif-grid-of-one": lambda: avif_grid(1, 1, 16, 16),
    "avif-grid-larger-than-its-tiles": lambda: avif_grid(2, 2, 0xFFFFFFFF, 0xFFFFFFFF),
    # Long ways
    "jpeg-fill-bytes-inside": lambda: (
        written("JPEG", progressive=True)[:-2] + b"\xff" * 2_000_000 + b"\0\xff\xd9"
    ),
    "jpeg-fill-bytes-before": lambda: jpeg_with(b"\xff" * 100_000),
    "jpeg-many-comments": lambda: jpeg_with(segment(0xFE, b"") * 20_000),
    "jpeg-many-tables": lambda: jpeg_with(segment(0xDB, b"\0" + bytes(range(1, 65))) * 2_000),
    "png-many-chunks": lambda: png_with(chunk(b"prVt", b"") * 20_000),
    "gif-many-comments": lambda: gif_of((8, 8), (0, 0, 8, 8)).replace(
        b",", b"!\xfe\0" * 20_000 + b",", 1
    ),
}

REFUSED = {
    name
    for name in HOSTILE
    if "-0" in name and name not in ("tiff-tile-of-0", "jpeg-profile-part-0-of-0")
}
"""Pictures without pixels are never pictures."""


def checked(data: bytes) -> Thumbnail | None:
    """The invariant: a picture or an `IngestError`, and bounded memory on the way."""
    tracemalloc.start()
    try:
        found = thumbnail(data, 8)
    except IngestError:
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY + 2 * len(data)
    assert max(found.pixels.shape[:2]) == 8
    return found


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", HOSTILE)
def test_is_a_picture_or_refused(name: str) -> None:
    found = checked(HOSTILE[name]())
    assert found is None or name not in REFUSED


@pytest.mark.parametrize("name", [name for name in HOSTILE if "profile" in name or "exif" in name])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_bad_metadata_is_ignored(name: str) -> None:
    found = checked(HOSTILE[name]())
    assert found is not None
    assert np.abs(found.pixels.astype(int) - (200, 90, 30)).max() <= 6


@pytest.mark.parametrize("side", [20_000, 30_000])
def test_interlaced_bomb_is_refused_for_its_size(side: int) -> None:
    with pytest.raises(TooManyPixelsError):
        thumbnail(png_of(side, side, interlaced=True), 8)


def test_frame_outside_of_its_canvas_counts_for_the_size() -> None:
    with pytest.raises(TooManyPixelsError):
        thumbnail(gif_of((10, 10), (60_000, 60_000, 5_000, 5_000)), 8)


@pytest.mark.parametrize(("width", "height"), [(65_535, 65_535), (1 << 31, 1), (40_000, 2)])
def test_huge_avif_is_refused(width: int, height: int) -> None:
    assert checked(avif_of_declared_size(width, height)) is None


def test_avif_of_too_many_parts_is_refused_before_decoding() -> None:
    with pytest.raises(InvalidImageError, match="described in more than"):
        thumbnail(avif_grid(255, 250, 160, 160), 8)
    assert description_bytes(avif_grid(64, 64, 160, 160)) < MAX_DESCRIPTION


@pytest.mark.parametrize("track", [False, True])
def test_avif_of_too_many_extents_is_refused_before_decoding(track: bool) -> None:
    items = b"".join(struct.pack(">HHH", item, 0, 65_535) for item in range(2))
    locations = full(b"iloc", 0, struct.pack(">HH", 0, 2), items)
    meta = full(b"meta", 0, locations)
    if track:
        meta = box(b"moov", box(b"trak", meta))
    with pytest.raises(InvalidImageError, match="extents"):
        thumbnail(box(b"ftyp", b"avif") + meta, 8)


def test_length_of_descriptions_in_every_notation() -> None:
    assert description_bytes(written("AVIF")) < 1_000
    meta = box(b"meta", bytes(92))
    long = struct.pack(">I4sQ", 1, b"moov", 116) + bytes(100)
    to_the_end = struct.pack(">I", 0) + b"meta" + bytes(92)
    short = struct.pack(">I", 3) + b"meta"
    assert description_bytes(box(b"ftyp", b"avif") + meta + box(b"mdat", bytes(9)) + meta) == 184
    assert description_bytes(long + meta) == 192
    assert description_bytes(meta + to_the_end) == 184
    assert description_bytes(meta[:50]) == 42
    assert description_bytes(short + meta) == 92
    assert description_bytes(b"") == description_bytes(bytes(7)) == 0


def test_scans_are_counted_in_one_pass() -> None:
    """Looking for a marker from every one of these bytes anew would take days."""
    assert read_scans(b"\xff" * 20_000_000 + b"\0", 0)[1] == 0
    assert read_scans(b"\xff\xff\xff\xda\0\2" * 3, 0)[1] == 3
