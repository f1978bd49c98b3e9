"""What Pillow does not bound, or misreads, inside PNG, JPEG and AVIF containers.

* PNG text chunks and colour profiles are compressed: a few kilobytes may inflate to megabytes. Text
  is never needed here, so it is cut out before Pillow sees it; a profile that inflates beyond its
  bound is cut out likewise, which costs the profile and not the picture. So is every profile after
  the first: a file has one, and thousands that are just small enough take minutes to inflate.
* Pillow reads JPEG segments, PNG chunks, GIF blocks and run-length coded BMP in Python, a step at a
  time and under the interpreter's lock: millions of empty ones, in one file, cost half a minute and
  700 MB. All are counted first.
* A tile of a TIFF file may be far larger than the picture that it is cut to.
* A progressive JPEG may repeat scans that are ten bytes long and cost a pass over the picture each.
* The boxes that describe an AVIF may name 65,535 parts and more, and the decoder looks each of them
  up among all: three megabytes keep it busy for ten seconds.
* The transparent colour of a PNG is given in the depth of the file, while Pillow has already
  brought the samples to 8 bits.
"""

from __future__ import annotations

import re
import zlib

from PIL import ImageFile, TiffImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.limits import ImageLimits

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

PNG_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})

PNG_CHUNK_OVERHEAD = 12
"""Length, type and CRC around the data of a chunk, bytes."""

MAX_ICC_BYTES = 1 << 20
"""Longest inflated profile in a PNG, bytes: the bound above which Pillow would refuse the file."""

MAX_JPEG_SCANS = 100
"""Encoders write about 10; the format has no bound, and each scan is a pass over the picture."""

MAX_JPEG_SEGMENTS = 2000
"""Ahead of the first scan. Profiles, extended XMP and previews take hundreds in real files."""

MAX_JPEG_FILL = 64 * 1024
"""Bytes between these segments, all in all: padding that nobody needs, and damage."""

MAX_GIF_BLOCKS = 20_000
"""Ahead of the first frame, sub-blocks and stray bytes counted as well: 5 MB of comments."""

MAX_PNG_CHUNKS = 20_000
"""Encoders write 8 KiB and more into each."""

MAX_RLE_BYTES = 1 << 20
"""Longest run-length coded BMP: its decoder takes half a second for as much."""

_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker that is not a stuffed byte and not a restart: what ends entropy-coded data. Of the 0xFF
bytes that may stand before one, only the last is matched: ``+`` would take quadratic time."""

_SOS, _EOI, _SOI, _TEM = 0xDA, 0xD9, 0xD8, 0x01

_GIF_HEADER = 13
_GIF_FLAGS = 10
"""Where the header says whether, and how long, a palette follows it."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323

MAX_AVIF_BOXES = 256 << 10
"""Longest description of an AVIF, bytes: of 4,096 tiles it has 180 KB, of one picture 300 bytes."""

AVIF_DESCRIPTIONS = frozenset({b"meta", b"moov"})

_COLOUR_KEY_SCALE = {"L;2": 255 // 3, "L;4": 255 // 15}
"""Factor that brings a grey sample of 2 or 4 bits to 8 bits."""


def without_png_bombs(source: bytes) -> bytes:
    """The PNG file ``source`` without text and all but one small profile; unchanged if it has none.

    Orientation in an ``eXIf`` chunk stays; what old tools hid in text chunks is lost, as it is in
    browsers. Damage is left for the decoder to find. Raises ``InvalidImageError`` for more
    than `MAX_PNG_CHUNKS`.
    """
    kept: list[bytes] = []
    profiles = 0
    start = position = len(PNG_SIGNATURE)
    chunks = 0
    while position + PNG_CHUNK_OVERHEAD <= len(source):
        chunks += 1
        if chunks > MAX_PNG_CHUNKS:
            raise InvalidImageError(f"the PNG file has more than {MAX_PNG_CHUNKS} chunks")
        length = int.from_bytes(source[position : position + 4], "big")
        kind = source[position + 4 : position + 8]
        end = position + PNG_CHUNK_OVERHEAD + length
        data = slice(position + 8, position + 8 + length)
        profiles += kind == b"iCCP"
        if kind in PNG_TEXT or (
            kind == b"iCCP" and (profiles > 1 or not _is_small_profile(source[data]))
        ):
            kept.append(source[start:position])
            start = end
        position = end
    if not kept:
        return source
    return b"".join((PNG_SIGNATURE, *kept, source[start:]))


def _is_small_profile(chunk: bytes) -> bool:
    """Whether an ``iCCP`` chunk (name, 0, method, zlib stream) is sound and within the bound."""
    _, _, rest = chunk.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(rest[1:], MAX_ICC_BYTES)
    except zlib.error:
        return False
    return rest[:1] == b"\0" and not inflater.unconsumed_tail


def check_jpeg_head(source: bytes) -> None:
    """Raises ``InvalidImageError`` if too much stands ahead of the first scan."""
    fill = 0
    position = len(b"\xff\xd8")
    for _ in range(MAX_JPEG_SEGMENTS):
        reach = position + MAX_JPEG_FILL + 3
        found = _JPEG_MARKER.search(source, position, reach)
        fill += (found.end() - 2 if found else min(reach, len(source))) - position
        if fill > MAX_JPEG_FILL:
            raise InvalidImageError("the JPEG file has too much between its segments")
        if found is None or found[1][0] in (_SOS, _EOI):
            return
        position = found.end()
        if found[1][0] not in (_SOI, _TEM):
            position += int.from_bytes(source[position : position + 2], "big")
    raise InvalidImageError(f"the JPEG file has more than {MAX_JPEG_SEGMENTS} segments")


def check_gif_head(source: bytes) -> None:
    """Raises ``InvalidImageError`` if too much stands ahead of the first frame."""
    flags = source[_GIF_FLAGS : _GIF_FLAGS + 1] or b"\0"
    position = _GIF_HEADER + (3 << (flags[0] & 7) + 1 if flags[0] & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_GIF_BLOCKS):
        if position >= len(source):
            return
        value = source[position]
        if in_extension:  # a sub-block: its length, then so many bytes; none ends the extension
            position += 1 + value
            in_extension = value != 0
        elif value == ord("!"):
            position += 2
            in_extension = True
        elif value in b",;":  # a frame, or the end
            return
        else:
            position += 1
    raise InvalidImageError(f"the GIF file has more than {MAX_GIF_BLOCKS} blocks")


def check_decoding(image: ImageFile.ImageFile, length: int, limits: ImageLimits) -> None:
    """Hold what decoding would cost beyond the picture's size against the limits.

    ``image`` is opened and not decoded, ``length`` the bytes of its file. Raises ``IngestError``.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = (image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_LENGTH, 0))
        if all(isinstance(side, int) for side in tile):
            limits.check_size(*tile)
    if length > MAX_RLE_BYTES and any(tile[0] == "bmp_rle" for tile in image.tile):
        raise InvalidImageError(
            f"a run-length coded BMP file may have {MAX_RLE_BYTES} bytes, and this has {length}"
        )


def jpeg_scans(source: bytes) -> int:
    """Scans of the first picture in the JPEG file ``source``, counted by its markers."""
    scans = 0
    position = 0
    while found := _JPEG_MARKER.search(source, position):
        marker = found[1][0]
        position = found.end()
        if marker == _EOI:
            break
        if marker == _SOI:
            continue
        scans += marker == _SOS
        position += int.from_bytes(source[position : position + 2], "big")
    return scans


def avif_boxes(source: bytes) -> int:
    """Bytes of the boxes that describe the AVIF file ``source``; what they say is not read."""
    described = position = 0
    while position + 8 <= len(source):
        length = int.from_bytes(source[position : position + 4], "big")
        if length == 1:  # the true length follows, as 64 bits
            length = int.from_bytes(source[position + 8 : position + 16], "big")
        left = len(source) - position
        length = left if length == 0 else min(max(length, 8), left)  # 0: to the end
        if source[position + 4 : position + 8] in AVIF_DESCRIPTIONS:
            described += length
        position += length
    return described


def mend_colour_key(image: ImageFile.ImageFile) -> None:
    """Bring the transparent colour of a PNG that is not decoded yet to the depth of its samples."""
    key = image.info.get("transparency")
    if key is None or not image.tile:
        return
    raw_mode = str(image.tile[0].args)
    if isinstance(key, tuple):
        shift = 8 if raw_mode.startswith("RGB;16") else 0
        image.info["transparency"] = tuple((value >> shift) & 0xFF for value in key)
    elif isinstance(key, int) and image.mode == "L":
        image.info["transparency"] = key * _COLOUR_KEY_SCALE.get(raw_mode, 1) & 0xFF
