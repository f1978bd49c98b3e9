"""What Pillow does not bound, or misreads, inside PNG, JPEG and AVIF containers.

* PNG text chunks and colour profiles are compressed: a few kilobytes may inflate to megabytes. Text
  is never needed here, so it is cut out before Pillow sees it; a profile that inflates beyond its
  bound is cut out likewise, which costs the profile and not the picture. So is every profile after
  the first: a file has one, and thousands that are just small enough take minutes to inflate.
* A progressive JPEG may repeat scans that are ten bytes long and cost a pass over the picture each.
* The boxes that describe an AVIF may name 65,535 parts and more, and the decoder looks each of them
  up among all: three megabytes keep it busy for ten seconds.
* The transparent colour of a PNG is given in the depth of the file, while Pillow has already
  brought the samples to 8 bits.
"""

from __future__ import annotations

import re
import zlib

from PIL import ImageFile

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

PNG_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})

PNG_CHUNK_OVERHEAD = 12
"""Length, type and CRC around the data of a chunk, bytes."""

MAX_ICC_BYTES = 1 << 20
"""Longest inflated profile in a PNG, bytes: the bound above which Pillow would refuse the file."""

MAX_JPEG_SCANS = 100
"""Encoders write about 10; the format has no bound, and each scan is a pass over the picture."""

_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker that is not a stuffed byte and not a restart: what ends entropy-coded data.

Of fill bytes before it the last one is enough; a pattern for all would try them again from each.
"""

_SOS, _EOI, _SOI = 0xDA, 0xD9, 0xD8

MAX_AVIF_BOXES = 256 << 10
"""Longest description of an AVIF, bytes: of 4,096 tiles it has 180 KB, of one picture 300 bytes."""

AVIF_DESCRIPTIONS = frozenset({b"meta", b"moov"})

_COLOUR_KEY_SCALE = {"L;2": 255 // 3, "L;4": 255 // 15}
"""Factor that brings a grey sample of 2 or 4 bits to 8 bits."""


def without_png_bombs(source: bytes) -> bytes:
    """The PNG file ``source`` without text and all but one small profile; unchanged if it has none.

    Orientation in an ``eXIf`` chunk stays; what old tools hid in text chunks is lost, as it is in
    browsers. Damage is left for the decoder to find.
    """
    kept: list[bytes] = []
    profiles = 0
    start = position = len(PNG_SIGNATURE)
    while position + PNG_CHUNK_OVERHEAD <= len(source):
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
