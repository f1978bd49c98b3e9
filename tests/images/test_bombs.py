"""Small files that would be costly: refused, or decoded within the documented memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from thumbstream.errors import IngestError, InvalidImageError, TooManyPixelsError
from thumbstream.images import thumbnail
from thumbstream.images.formats.gif import MAX_BLOCKS
from thumbstream.images.formats.jpeg import MAX_FILL, MAX_SEGMENTS

LONG = 8 << 20
"""Bytes of a file that is long and holds almost nothing."""

MIB = 1 << 20

Save = Callable[..., bytes]


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def within(file: bytes, place: int, filling: bytes, length: int = LONG) -> bytes:
    """``file`` with ``filling`` repeated at ``place``, about ``length`` bytes long."""
    return file[:place] + filling * (length // len(filling)) + file[place:]


def picture(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(out, form, **options)
    return out.getvalue()


def gif() -> tuple[bytes, int]:
    """A file, and where its first block begins."""
    file = picture("GIF")
    return file, 13 + (3 << (file[10] & 7) + 1)


def bmp_of_runs(width: int, height: int) -> bytes:
    runs = (b"\1\5" * width + b"\0\0") * height + b"\0\1"
    offset = 54 + 1024
    head = struct.pack("<IHHI", offset + len(runs), 0, 0, offset)
    sizes = (40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 256)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", *sizes) + bytes(1024) + runs


def tiff_of_one_tile(side: int) -> bytes:
    """A picture of 10 x 10 in one tile of ``side`` x ``side``."""
    data = zlib.compress(bytes(side * side), 9)
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side)]
    at = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(324, at), (325, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def gif_beyond_its_screen() -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\0;"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame


BOMBS: dict[str, tuple[Callable[[], bytes], type[IngestError] | None]] = {
    "jpeg-segments": (
        lambda: within(picture("JPEG"), 2, b"\xff\xe1\0\2"),
        InvalidImageError,
    ),
    "jpeg-comments": (
        lambda: within(picture("JPEG"), 2, b"\xff\xfe\0\3a"),
        InvalidImageError,
    ),
    "jpeg-fill": (lambda: within(picture("JPEG"), 2, b"\xff"), InvalidImageError),
    "jpeg-stuffing": (lambda: within(picture("JPEG"), 20, b"\xff\0"), InvalidImageError),
    "png-chunks": (
        lambda: within(picture("PNG"), 33, chunk(b"abCd", b"")),
        InvalidImageError,
    ),
    "png-data": (
        lambda: within(picture("PNG"), 33, chunk(b"IDAT", b"")),
        InvalidImageError,
    ),
    "jpeg-scan": (
        lambda: within(picture("JPEG", progressive=True), -2, b"\xff"),
        None,  # damage after the picture is ignored, but must not take hours to skip
    ),
    "gif-comments": (lambda: within(*gif(), b"!\xfe\1a\0"), InvalidImageError),
    "gif-sub-blocks": (
        lambda: within(gif()[0], gif()[1], b"!\xfe" + b"\1a" * 30_000 + b"\0", 60_003),
        InvalidImageError,
    ),
    "gif-nothing": (lambda: within(*gif(), b"\0"), InvalidImageError),
    "gif-beyond-its-screen": (gif_beyond_its_screen, TooManyPixelsError),
    "bmp-runs": (lambda: bmp_of_runs(1000, 1000), InvalidImageError),
    "tiff-tile": (lambda: tiff_of_one_tile(12_000), TooManyPixelsError),
}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        (folder / name).write_bytes(make())
    return {name: folder / name for name in BOMBS}


@pytest.mark.parametrize("name", BOMBS)
def test_costly_files_are_refused(name: str, bombs: dict[str, Path]) -> None:
    error = BOMBS[name][1]
    with pytest.raises(error) if error else nullcontext():
        thumbnail(bombs[name].read_bytes(), 32)


def test_unusual_files_are_read() -> None:
    file, start = gif()
    for kept in (
        within(picture("JPEG"), 2, b"\xff\xe1\0\2", 4 * (MAX_SEGMENTS - 20)),
        within(picture("JPEG"), 2, b"\xff", MAX_FILL - 100),
        within(picture("PNG"), 33, chunk(b"abCd", b""), 12 * 5000),
        within(file, start, b"!\xfe\1a\0", 5 * (MAX_BLOCKS // 3 - 10)),
        bmp_of_runs(100, 100),
        tiff_of_one_tile(256),
    ):
        assert thumbnail(kept, 32).pixels.shape[2] == 3


MEASURE = """
import resource, sys
from thumbstream.images import (ImageLimits, thumbnail)
from thumbstream.errors import (IngestError)
warm = open(sys.argv[1], "rb").read()
thumbnail(warm, 32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        try:
            thumbnail(file, 32)
        except IngestError:
            pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def peak(warm: Path, *names: Path) -> int:
    """Bytes by which a process that has decoded ``warm`` grows when it decodes these files."""
    command = [sys.executable, "-c", MEASURE, str(warm), *map(str, names)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    return int(ran.stdout)


def test_refusal_takes_no_more_memory_than_the_file(bombs: dict[str, Path], tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    warm.write_bytes(picture("PNG"))
    assert peak(warm, *bombs.values()) < 2 * LONG + 16 * MIB


@pytest.mark.parametrize(
    ("form", "options", "bytes_a_pixel"),
    [
        ("JPEG", {}, 0.2),
        ("JPEG", {"progressive": True}, 6),
        ("PNG", {}, 5),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 5),
        ("TIFF", {"compression": "tiff_lzw"}, 5),
        ("GIF", {}, 1.5),
        ("BMP", {}, 6),
        ("AVIF", {"speed": 10}, 9),
        ("WEBP", {"lossless": True, "method": 0}, 16),
    ],
)
def test_inflated_zeros_stay_within_the_documented_memory(
    form: str, options: dict[str, object], bytes_a_pixel: float, tmp_path: Path
) -> None:
    width, height = 3000, 1500
    warm, bomb = tmp_path / "warm", tmp_path / "bomb"
    warm.write_bytes(picture(form, **options))
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, form, **options)
    bomb.write_bytes(out.getvalue())
    assert peak(warm, bomb) < bytes_a_pixel * width * height + 24 * MIB


# Animations: only the first frame costs


def test_later_frames_are_not_decoded() -> None:
    first = Image.linear_gradient("L").convert("RGB").resize((64, 48))
    others = [Image.new("RGB", (64, 48), (n % 256, n * 7 % 256, 0)) for n in range(300)]
    for form, options in (
        ("GIF", {}),
        ("WEBP", {"method": 0, "lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("AVIF", {"speed": 10}),
    ):
        whole, still = io.BytesIO(), io.BytesIO()
        first.save(whole, form, save_all=True, append_images=others, **options)
        first.save(still, form, **options)
        shown = thumbnail(whole.getvalue(), 32).pixels.astype(int)
        assert abs(shown - thumbnail(still.getvalue(), 32).pixels).max() <= 8
        assert len(whole.getvalue()) > 4 * len(still.getvalue())


def test_gif_of_100000_frames() -> None:
    frames = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in (10, 200)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    file = out.getvalue()
    last = file[file.rindex(b"!\xf9\4") : -1]
    endless = file[:-1] + last * 100_000 + b";"
    assert abs(int(thumbnail(endless, 8).pixels[0, 0, 0]) - 10) <= 1
