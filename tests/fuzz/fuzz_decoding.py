"""Target `streams`: any bytes give a picture or a `BitstreamError`; every model family reads them.

Everything is read to the last symbol that the bytes determine. One stream in `DRAWN` is drawn by
its network, too: networks are no parsers, and cost a hundred times as much.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from thumbstream.codec.bitstream import Header, parse_header, write_header
from thumbstream.errors import BitstreamError, UnknownModelError
from thumbstream.models import installed_models

LONGEST = 256
"""Bytes of an input."""
SMALL = 16
"""Pixels of the longest side: two or four cells read as a thousand do."""
DRAWN = 32
WORDS = tuple(
    bytes(word)
    for word in (
        *((first,) for first in (0x00, 0x1E, 0x3F, 0x5D, 0x7E, 0x95, 0x96, 0xA0, 0xA3, 0xC0, 0xC3)),
        *((first, second) for first in (0xE0, 0xE1, 0xE3) for second in range(9)),
    )
)
"""Beginnings of headers of every published bitstream."""


def check(data: bytes) -> bool:
    """Hold the invariant for a stream; whether it was a picture."""
    try:
        header = parse_header(data)
    except BitstreamError:
        return False
    assert 1 <= header.length <= len(data)
    assert 1 <= min(header.width, header.height) <= max(header.width, header.height) <= 256
    _is_written_the_same(data)
    if max(header.width, header.height) > SMALL:
        return False
    try:
        codec = installed_models("cpu").codec_for_stream(data)
    except UnknownModelError:
        return False
    try:
        facts = codec.inspect(data)
    except BitstreamError:
        assert header.alpha, "only alpha is beyond a model that reads this bitstream"
        assert not codec.alpha
        return False
    assert (facts["width"], facts["height"]) == (header.width, header.height)
    if zlib.crc32(data) % DRAWN == 0:
        pixels = codec.decode(data)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (header.height, header.width, 3 + header.alpha)
    return True


def mended(data: bytes) -> bytes:
    """``data`` as it is."""
    return data


def seeds() -> Iterator[tuple[str, bytes]]:
    """Streams of made-up pictures of every published model, whole and of two shapes."""
    y, x = np.mgrid[0:11, 0:16]
    ramp = np.stack([15 * x, 20 * y, 8 * (x + y)], axis=-1).astype(np.uint8)
    faded = np.dstack([ramp, (15 * x).astype(np.uint8)])
    for name in installed_models().installed:
        codec = installed_models("cpu").load(name)
        yield f"{name}-cell", codec.encode(np.ascontiguousarray(ramp[:8, :8]))[:96]
        yield f"{name}-wide", codec.encode(ramp)[:96]
        if codec.alpha:
            yield f"{name}-alpha", codec.encode(faded)[:96]


def _is_written_the_same(data: bytes) -> None:
    """A whole header is the one that `write_header` gives for what it says."""
    header = parse_header(data)
    if header.bitstream_id is None or _is_cut(data, header):
        return
    again = write_header(
        header.bitstream_id,
        header.width,
        header.height,
        alpha=header.alpha,
        aspect=header.exact_aspect,
    )
    assert again == data[: header.length]


def _is_cut(data: bytes, header: Header) -> bool:
    """Whether the header goes on after ``data``."""
    try:
        return parse_header(data + b"\0").length > header.length
    except BitstreamError:  # the next byte would belong to an impossible shape
        return True
