"""JPEG: a missing end, scans, and segments that are not needed."""

from __future__ import annotations

import io
import struct

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from thumbstream.errors import InvalidImageError
from thumbstream.images import ImageLimits, thumbnail
from thumbstream.images.formats.jpeg import MAX_SEQUENTIAL_SCANS

PLAIN = files.saved(files.RGB, "JPEG", quality=95)
LARGE = (files.picture(384, 256) + np.random.default_rng(1).integers(0, 9, (256, 384, 3))).clip(
    0, 255
)
LARGE = LARGE.astype(np.uint8)
WHOLE = thumbnail(PLAIN, 32).pixels.astype(int)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("end", [b"", b"\xff", b"\xff\xff\xff"])
def test_missing_end_marker_is_a_whole_picture(options: dict[str, object], end: bytes) -> None:
    data = files.saved(files.RGB, "JPEG", quality=95, **options)
    assert data.endswith(b"\xff\xd9")
    found = thumbnail(data[:-2] + end, 32)
    assert found.truncated
    assert np.array_equal(found.pixels, thumbnail(data, 32).pixels)
    assert not thumbnail(data, 32).truncated


def cut(data: bytes, missing: float) -> bytes:
    """The file without this part of its only scan."""
    scan = data.index(b"\xff\xda")
    return data[: len(data) - round(missing * (len(data) - scan))]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("missing", [0.01, 0.1, 0.2])
def test_last_bytes_missing_is_the_rest_of_the_picture(missing: float, mode: str) -> None:
    data = files.saved(Image.fromarray(LARGE).convert(mode), "JPEG", quality=95)
    found = thumbnail(cut(data, missing), 64)
    assert found.truncated
    assert (found.width, found.height) == (384, 256)
    whole = thumbnail(data, 64).pixels.astype(int)
    rows = int(len(whole) * (1 - missing)) - 4
    assert np.abs(found.pixels[:rows] - whole[:rows]).max() <= 8


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_limit_on_missing_rows(mode: str) -> None:
    data = files.saved(Image.fromarray(LARGE).convert(mode), "JPEG", quality=95)
    with pytest.raises(InvalidImageError, match=r"cut off or damaged: \d\d % of it cannot"):
        thumbnail(cut(data, 0.5), 32)
    assert thumbnail(cut(data, 0.5), 32, ImageLimits(max_missing=0.9)).truncated
    with pytest.raises(InvalidImageError, match="cut off"):
        thumbnail(cut(data, 0.1), 32, ImageLimits(max_missing=0.0))
    assert thumbnail(data[:-2], 32, ImageLimits(max_missing=0.0)).truncated


def test_later_scans_of_a_progressive_file_may_be_missing() -> None:
    data = files.saved(files.RGB, "JPEG", quality=95, progressive=True)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    found = thumbnail(data[: scans[3]], 32)
    assert found.truncated
    assert np.abs(found.pixels - WHOLE).mean() < 12


def test_cut_within_a_segment_between_scans() -> None:
    data = files.saved(files.RGB, "JPEG", quality=95, progressive=True)
    table = data.rindex(b"\xff\xc4")
    assert thumbnail(data[: table + 10], 32).truncated


def frame(marker: int, scans: int, side: int = 64) -> bytes:
    tables = b"".join(files.segment(0xC4, bytes([t, 1] + [0] * 16)) for t in (0x00, 0x10))
    fields = struct.pack(">BHHB", 8, side, side, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    return b"".join(
        [
            b"\xff\xd8",
            files.segment(0xDB, b"\0" + b"\1" * 64),
            files.segment(marker, fields),
            tables,
            files.segment(0xDA, b"\1\1\0\0\x3f\0") * scans,
            b"\xff\xd9",
        ]
    )


@pytest.mark.parametrize("marker", [0xC0, 0xC1])
def test_scans_of_sequential_files_are_counted(marker: int) -> None:
    thumbnail(frame(marker, MAX_SEQUENTIAL_SCANS), 32)
    with pytest.raises(InvalidImageError, match="5 scans; at most 4"):
        thumbnail(frame(marker, MAX_SEQUENTIAL_SCANS + 1), 32)


def test_number_of_segments_after_the_first_scan_is_limited() -> None:
    data = files.saved(files.RGB, "JPEG", quality=95, progressive=True)
    last = data.rindex(b"\xff\xda")
    comments = b"\xff\xfe\0\2" * 5000
    assert thumbnail(data[:last] + comments[:4000] + data[last:], 32).width == 96
    with pytest.raises(InvalidImageError, match="segments"):
        thumbnail(data[:last] + comments + data[last:], 32)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_other_processes_are_refused(marker: int) -> None:
    with pytest.raises(InvalidImageError, match="not supported"):
        thumbnail(frame(marker, 1), 32)


def test_segments_that_are_not_needed_change_nothing() -> None:
    data = PLAIN
    for marker, content in (
        (0xE1, b"Exif\0\0" + files.exif(1)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + files.xmp(6)),
        (0xE2, b"MPF\0" + bytes(200)),
        (0xED, b"Photoshop 3.0\0" + bytes(60_000)),
        (0xFE, b"comment" * 1000),
    ):
        data = files.with_segment(data, marker, content)
    assert np.array_equal(thumbnail(data, 32).pixels, WHOLE)


def test_exif_of_fractions_is_not_parsed() -> None:
    entries = struct.pack("<HHII", 0x112, 5, 8000, 38) + struct.pack("<HHII", 0x11A, 5, 8000, 38)
    exif = b"II*\0\x08\0\0\0\x02\0" + entries + bytes(4) + struct.pack("<II", 1, 1) * 8000
    data = files.with_segment(PLAIN, 0xE1, b"Exif\0\0" + exif[:60_000])
    assert np.array_equal(thumbnail(data, 32).pixels, WHOLE)


def test_pillow_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    for exif in (b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12", b"x" * 99):
        data = files.with_segment(PLAIN, 0xE1, b"Exif\0\0" + exif)
        assert np.array_equal(thumbnail(data, 32).pixels, WHOLE)
        webp = files.saved(files.RGB, "WEBP", exif=b"Exif\0\0" + exif)
        assert thumbnail(webp, 32).width == 96
    assert not recwarn.list


def test_read_from_a_stream() -> None:
    assert thumbnail(io.BytesIO(PLAIN[:-2]), 32).truncated
