"""Hostile files of every format, sent to a real service while it is read.

Each is answered in time, with a picture or a stable code. Afterwards the service is as it was: it
takes uploads, and its memory has not grown.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fakes import photo
from launch import Service
from PIL import Image, ImageCms

pytestmark = pytest.mark.slow

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
WITH_PROFILE = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")
SECONDS = 10.0
GROWTH_BYTES = 64 << 20
CODES = {"invalid_image", "too_many_pixels", "too_expensive", "unsupported_format", "out_of_memory"}


def saved(form: str, side: int = 64, **options: object) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(out, form, **options)
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
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
    """sRGB with a D2B0 tag of ``count`` multi-process elements that are all the same curves."""
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


def hostile_files() -> Iterator[tuple[str, bytes]]:
    """(name, file); no other than these may be a picture: profiles, truncated, within."""
    for arithmetic in (False, True):
        yield f"scans-{arithmetic}", jpeg_of_scans(3000, arithmetic=arithmetic)
    yield "shared-tiles", tiff_of_shared_tiles()
    yield "beyond-limit.png", png_of(30000, 1800)
    yield "within-limit.png", png_of(7000, 7000)
    for form in FORMATS:
        yield f"truncated.{form}", saved(form, 512)[:-300]
        head = saved(form, 256)[:60]
        yield f"head.{form}", head + os.urandom(2000)
    for form in WITH_PROFILE:
        for count in (40, 4000):
            yield f"profile-{count}.{form}", saved(form, icc_profile=profile_of_elements(count))


def resident_bytes(process: int) -> int:
    """Of a process and its descendants."""
    total = 0
    pending = [process]
    while pending:
        pid = pending.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for task in Path(f"/proc/{pid}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return total * os.sysconf("SC_PAGESIZE")


class Reader(threading.Thread):
    """Reads /healthz and a stream until it is stopped."""

    def __init__(self, url: str, path: str) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.statuses: set[int] = set()
        self.stopped = threading.Event()
        self._url, self._paths = url, ("/healthz", path)

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.stopped.wait(0.01):
                for path in self._paths:
                    begun = time.monotonic()
                    self.statuses.add(client.get(path).status_code)
                    self.seconds.append(time.monotonic() - begun)


def test_hostile_uploads_leave_the_service_as_it_was(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    service = Service(tmp_path, {"THUMBSTREAM_STORE": f"sqlite:///{tmp_path}/streams.db"})
    files = list(hostile_files())
    service.start()
    try:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            for seed in range(8):  # every worker has encoded something
                stored = client.post("/compress", content=photo(1200, 900, seed=seed))
                assert stored.status_code == 201
            assert service.process is not None
            before = resident_bytes(service.process.pid)
            reader = Reader(service.url, stored.json()["url"])
            reader.start()
            for name, file in files:
                begun = time.monotonic()
                answer = client.post("/compress", content=file)
                assert time.monotonic() - begun < SECONDS, name
                if name.startswith(("profile", "truncated", "within")) and answer.is_success:
                    continue
                assert answer.status_code in (415, 422, 503), (name, answer.text)
                assert answer.json()["code"] in CODES, (name, answer.text)
            reader.stopped.set()
            reader.join()
            assert client.post("/compress", content=photo(1200, 900, seed=99)).status_code == 201
            assert client.get("/readyz").status_code == 200
        growth = resident_bytes(service.process.pid) - before
        assert service.stop() == 0
    finally:
        service.kill()
    latencies = sorted(reader.seconds)
    p99 = latencies[len(latencies) * 99 // 100]
    record_property("read_p99_ms", round(p99 * 1000, 1))
    record_property("growth_mb", growth >> 20)
    print(f"reads: {len(latencies)}, p99 {p99 * 1000:.1f} ms; memory {growth >> 20:+} MB")
    assert reader.statuses == {200}
    assert p99 < 1.0  # tens of milliseconds on a quiet machine
    assert growth < GROWTH_BYTES
