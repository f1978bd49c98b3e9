"""Opens JPEG files: removes metadata segments, limits the scans, and accepts a missing end.

Pillow has no limit on segments, which it reads in Python, one at a time, and it parses EXIF to find
a resolution. It has no limit on scans either: each one, even an empty one, takes a pass over the
full picture.
"""

from __future__ import annotations

import io
import re
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import Image, JpegImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.exif import read_orientation
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

MAX_SCANS = 100
"""Most scans of a progressive JPEG. Encoders write about 10."""

MAX_SEQUENTIAL_SCANS = 4
"""Most scans of a sequential JPEG: one for each component."""

MAX_SEGMENTS = 2000
"""Most segments before the first scan, and most markers from there on. Ordinary files have up to
hundreds of segments, for ICC profiles, extended XMP and previews."""

MAX_FILL = 64 * 1024
"""Most bytes, in total, between the segments before the first scan: padding or damaged data."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""Matches a marker that ends entropy-coded data: neither a stuffed byte nor a restart marker. Of
several 0xFF bytes in a row it matches only the last, since ``\\xff+`` would take quadratic time."""

_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
"""Markers of Huffman tables, quantization tables, and the restart interval."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SUPPORTED_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Frame markers of Huffman-coded files. Arithmetic coding, which browsers do not support and which
takes ten times longer to decode, is rejected."""
_PROGRESSIVE = 0xC2
_APPLICATION = {_APP0: b"JFIF\0", _APP2: b"ICC_PROFILE\0", _APP14: b"Adobe"}
"""Marker -> first bytes of the application segments that define the colors of the picture."""

_EXIF = b"Exif\0\0"
_END = b"\xff\xd9"

GREY = (127, 128)
"""Sample values with which the decoder fills missing blocks; 127 in CMYK, which Pillow inverts."""


def open_jpeg(data: bytes, limits: ImageLimits) -> Source:
    """Open a JPEG file without decoding its pixels. Raises ``IngestError`` if a check fails."""
    head = _read_head(data)
    end = _check_scans(data, head)
    truncated = end is not None
    file: io.BytesIO | io.RawIOBase
    if truncated:
        file = io.BytesIO(head.segments + data[head.end : end].rstrip(b"\xff") + _END)
    else:
        file = _Spliced(head.segments, data, head.end)
    image = JpegImagePlugin.JpegImageFile(cast(BinaryIO, file))
    limits.check_size(*image.size)
    return Source(
        image,
        color=image.info.get("icc_profile"),
        orientation=read_orientation(head.exif),
        truncated=truncated,
    )


class _Spliced(io.RawIOBase):
    """A file of ``head`` and the bytes of ``data`` from ``start`` on, without a copy of them.

    Copying the 2 MB of a photograph would take as long as a tenth of its decoding.
    """

    def __init__(self, head: bytes, data: bytes, start: int) -> None:
        self._head, self._rest = memoryview(head), memoryview(data)[start:]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._position, len(self._head) + len(self._rest))[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        after = self._position - len(self._head)
        part = self._head[self._position :] if after < 0 else self._rest[after:]
        count = min(len(buffer), len(part))
        buffer[:count] = part[:count]
        self._position += count
        return count


def check_embedded(data: bytes) -> None:
    """Check the segments and scans of a JPEG stream inside another file, such as a TIFF file.

    Raises ``InvalidImageError`` if a check fails.
    """
    _check_scans(data, _read_head(data))


def _check_scans(data: bytes, head: _Head) -> int | None:
    """Return the offset at which the file is cut off, or None if it has its end marker.

    Raises ``InvalidImageError`` if there are too many scans.
    """
    end, scans = read_scans(data, head.end)
    most = MAX_SCANS if head.progressive else MAX_SEQUENTIAL_SCANS
    if scans > most:
        raise InvalidImageError(f"the JPEG file has {scans} scans; at most {most} are read")
    return end


class _Head(NamedTuple):
    """The part of a JPEG file before its first scan."""

    segments: bytes
    """The start of image and the segments that decoding needs."""
    end: int
    """Offset of the first scan in the file."""
    exif: bytes | None
    """Content of the first EXIF segment, or None."""
    progressive: bool
    """Whether the file is a progressive JPEG."""


def _read_head(data: bytes) -> _Head:
    segments = [data[:2]]
    exif = None
    progressive = False
    fill = 0
    position = 2
    for _ in range(MAX_SEGMENTS):
        reach = position + MAX_FILL + 3
        found = _MARKER.search(data, position, reach)
        fill += (found.end() - 2 if found else min(reach, len(data))) - position
        if fill > MAX_FILL:
            raise InvalidImageError("the JPEG file has too much between its segments")
        if found is None or found[1][0] in (_SOS, _EOI):
            start = found.start() if found else len(data)
            return _Head(b"".join(segments), start, exif, progressive)
        marker, start, position = found[1][0], found.start(), found.end()
        if marker in (_SOI, _TEM):
            continue
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
        content = data[start + 4 : position]
        if marker in _FRAMES:
            if marker not in _SUPPORTED_FRAMES:
                raise InvalidImageError(
                    "the JPEG file is lossless, hierarchical or arithmetic-coded, which is not "
                    "supported"
                )
            progressive |= marker == _PROGRESSIVE
        if marker == _APP1 and exif is None and content.startswith(_EXIF):
            exif = content
        needed = _APPLICATION.get(marker)
        if (
            marker in _TABLES
            or marker in _FRAMES
            or (needed is not None and content.startswith(needed))
        ):
            segments.append(data[start:position])
    raise InvalidImageError(f"the JPEG file has more than {MAX_SEGMENTS} segments")


def read_scans(data: bytes, position: int) -> tuple[int | None, int]:
    """Return where a file is cut off, and how many scans begin before that offset.

    The first result is the offset at which the usable data end, or None if the file has its end
    marker. The search for markers begins at offset ``position``. Raises ``InvalidImageError`` after
    `MAX_SEGMENTS` markers.
    """
    scans = 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return len(data), scans
        marker = found[1][0]
        position = found.end()
        if marker == _EOI:
            return None, scans
        if marker in (_SOI, _TEM):
            continue
        scans += marker == _SOS
        position += int.from_bytes(data[position : position + 2], "big")
        if position > len(data):  # within a segment
            return found.start(), scans
    raise InvalidImageError(f"the JPEG file has more than {MAX_SEGMENTS} segments")


def check_missing(image: Image.Image, limits: ImageLimits) -> None:
    """Raise ``InvalidImageError`` if too many rows of a truncated JPEG are missing.

    ``image`` must already be decoded. The rows at its end that contain only values in `GREY`, which
    the decoder fills in, count as missing; ``limits.max_missing`` is the allowed fraction.
    """
    width, height = image.size
    rows = height
    while rows > 0:
        above = max(0, rows - 64)
        samples = np.asarray(image.crop((0, above, width, rows))).reshape(rows - above, -1)
        present = np.flatnonzero(~np.isin(samples, GREY).all(axis=1))
        if present.size:
            rows = above + int(present[-1]) + 1
            break
        rows = above
    limits.check_missing("JPEG", (height - rows) / height)
