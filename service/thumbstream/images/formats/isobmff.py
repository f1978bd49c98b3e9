"""Reads the metadata boxes of an ISO base media file (AVIF or HEIC) about its primary picture."""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction

from thumbstream.errors import InvalidImageError
from thumbstream.images.color_space import RgbSpace, from_cicp
from thumbstream.images.formats import av1
from thumbstream.images.source import Box

MAX_DESCRIPTION = 256 << 10
"""Greatest total length, in bytes, of the metadata boxes of a file (see `description_bytes`). A
picture of 4,096 tiles needs 180 KB, a single picture 300 bytes. The limit is needed because the
decoder's time is quadratic in the number of items: 3 MB of metadata take ten seconds."""

MAX_EXTENTS = 1 << 16
"""Most items and extents (pieces of their data) together; a picture of 4,096 tiles has 8,194. The
limit is needed because 6 bytes may declare 65,535 empty extents, for which the decoder allocates
1 MB."""

MAX_BOXES = 10_000
"""Most boxes on one level of nesting; ordinary files have about 10."""

MAX_HEADER = 4096
"""Most bytes of a picture's data that are searched for the header of its AV1 stream."""

_DESCRIPTIONS = frozenset({b"meta", b"moov"})

_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"])
_AVIF_BRANDS = frozenset([b"avif", b"avis"])


def is_heic(data: bytes) -> bool:
    """Return whether the file type box of ``data`` lists a brand of HEIC and none of AVIF.

    All listed brands count, because HEIC and AVIF files may have the same major brand.
    """
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))}
    return bool(brands & _HEIC_BRANDS) and not brands & _AVIF_BRANDS


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start of the content, end of the box) for each box in ``data[start:end]``.

    The positions are offsets in ``data``. Raises ``InvalidImageError`` after `MAX_BOXES` boxes.
    """
    for number in itertools.count():
        if start + 8 > end:
            return
        if number == MAX_BOXES:
            raise InvalidImageError(f"the file has more than {MAX_BOXES} boxes")
        length = int.from_bytes(data[start : start + 4], "big")
        header = 8
        if length == 1:  # the true length follows, as 64 bits
            length = int.from_bytes(data[start + 8 : start + 16], "big")
            header = 16
        left = end - start
        length = left if length == 0 else min(max(length, header), left)  # 0: to the end
        yield data[start + 4 : start + 8], min(start + header, end), start + length
        start += length


def check_description(data: bytes, form: str) -> None:
    """Raise ``InvalidImageError`` if the metadata of a file of format ``form`` are too large."""
    if description_bytes(data) > MAX_DESCRIPTION:
        raise InvalidImageError(
            f"the {form} file is described in more than {MAX_DESCRIPTION} bytes"
        )
    total = 0
    for content in _location_boxes(data):
        with contextlib.suppress(IndexError):  # damage is for the decoder to judge
            for _, _, extents in _locations(content):
                total += 1 + len(extents)
                if total > MAX_EXTENTS:
                    raise InvalidImageError(f"the {form} file has more than {MAX_EXTENTS} extents")


def _location_boxes(data: bytes) -> Iterator[bytes]:
    """Yield the content of each ``iloc`` box, of the picture and of the tracks of an animation."""
    parents = {b"moov", b"trak", b"meta"}
    stack = [(0, len(data))]
    while stack:
        for kind, start, end in boxes(data, *stack.pop()):
            if kind == b"iloc":
                yield data[start:end]
            elif kind in parents:
                stack.append((start + 4 if kind == b"meta" else start, end))


def description_bytes(data: bytes) -> int:
    """Return the total content length of the top-level ``meta`` and ``moov`` boxes, in bytes.

    These two types of boxes contain all metadata. Their contents are not parsed.
    """
    return sum(
        end - start for kind, start, end in boxes(data, 0, len(data)) if kind in _DESCRIPTIONS
    )


def hide_exif(data: bytes) -> bytes:
    """Return the file with its EXIF item renamed, so that Pillow does not parse the EXIF data.

    The EXIF data are not needed: orientation is defined by the boxes ``irot`` and ``imir`` (ISO
    23008-12), not by EXIF.
    """
    for kind, start, end in _meta(data):
        if kind == b"iinf" and b"Exif" in data[start:end]:
            return data[:start] + data[start:end].replace(b"Exif", b"exif") + data[end:]
    return data


def primary_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (type, content) for each property box of the primary item.

    Returns an empty list if the boxes that define them are missing. Raises struct.error or
    IndexError if these boxes are damaged.
    """
    found = {kind: (start, end) for kind, start, end in _meta(data)}
    if b"pitm" not in found or b"iprp" not in found:
        return []
    item = _primary_item(data, found[b"pitm"][0])
    properties: list[tuple[bytes, bytes]] = []
    indices: list[int] = []
    for kind, inner, inner_end in boxes(data, *found[b"iprp"]):
        if kind == b"ipco":
            properties = [(k, data[s:e]) for k, s, e in boxes(data, inner, inner_end)]
        elif kind == b"ipma":
            indices += _associations(data[inner:inner_end], item)
    return [properties[index - 1] for index in indices if 0 < index <= len(properties)]


def _meta(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"meta":
            yield from boxes(data, start + 4, end)
            return


def _associations(content: bytes, item: int) -> list[int]:
    """Return the property indices, from 1, that an ``ipma`` box associates with ``item``.

    ``content`` is the content of the box, ``item`` the id of an item.
    """
    id_format = ">H" if content[0] == 0 else ">I"
    wide = bool(content[3] & 1)
    (entries,) = struct.unpack_from(">I", content, 4)
    position = 8
    for _ in range(entries):
        (entry,) = struct.unpack_from(id_format, content, position)
        position += struct.calcsize(id_format)
        count = content[position]
        position += 1
        width = 2 if wide else 1
        if entry == item:
            mask = 0x7FFF if wide else 0x7F
            fields = content[position : position + count * width]
            return [
                int.from_bytes(fields[i : i + width], "big") & mask
                for i in range(0, len(fields), width)
            ]
        position += count * width
    return []


def color(properties: list[tuple[bytes, bytes]], stream: bytes = b"") -> RgbSpace | None:
    """Return the color space of the first ``colr`` box with CICP code points.

    Without such a box, the code points in the AV1 ``stream`` count. Returns None if there are none
    either, or if the code points are unspecified or unknown.
    """
    codes = av1.color_codes(stream)
    for kind, content in properties:
        if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 10:
            codes = struct.unpack_from(">HH", content, 4)
            break
    return codes and from_cicp(*codes, video_is_srgb=True, peak=_peak(properties))


def primary_data(data: bytes) -> bytes:
    """Return the beginning of the primary item's data, at most `MAX_HEADER` bytes.

    Returns no bytes if the item is not stored in one piece outside the metadata. Raises
    struct.error or IndexError if the boxes that locate it are damaged.
    """
    found = {kind: (start, end) for kind, start, end in _meta(data)}
    if b"pitm" not in found or b"iloc" not in found:
        return b""
    item = _primary_item(data, found[b"pitm"][0])
    start, end = found[b"iloc"]
    for number, in_file, extents in _locations(data[start:end]):
        if number == item and in_file and len(extents) == 1:
            ((position, length),) = extents
            return data[position : position + min(length or MAX_HEADER, MAX_HEADER)]
    return b""


def _primary_item(data: bytes, start: int) -> int:
    return int.from_bytes(data[start + 4 : start + (6 if data[start] == 0 else 8)], "big")


def _locations(content: bytes) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Yield each item of an ``iloc`` box: its id, whether it is outside the metadata, its extents.

    An extent is (offset in the file, length); a length of 0 means to the end of the file. Raises
    IndexError if the box is cut off.
    """
    version = content[0]
    offset_size, length_size = content[4] >> 4, content[4] & 15
    base_size, index_size = content[5] >> 4, content[5] & 15 if version else 0
    id_size = 4 if version == 2 else 2
    position = 6

    def read(size: int) -> int:
        nonlocal position
        position += size
        if position > len(content):
            raise IndexError
        return int.from_bytes(content[position - size : position], "big")

    for _ in range(read(id_size)):
        item = read(id_size)
        in_file = version == 0 or read(2) & 15 == 0  # construction_method
        read(2)  # data_reference_index
        base = read(base_size)
        extents = [(read(index_size), read(offset_size), read(length_size)) for _ in range(read(2))]
        yield item, in_file, [(base + offset, length) for _, offset, length in extents]


def _peak(properties: list[tuple[bytes, bytes]]) -> float:
    """Return the luminance of the brightest color from the ``clli`` box, in cd/m2, or 0.

    Like browsers, this ignores the luminance of the mastering display in these formats.
    """
    content = next((content for kind, content in properties if kind == b"clli"), b"")
    return float(int.from_bytes(content[:2], "big"))


def clean_aperture(properties: list[tuple[bytes, bytes]], width: int, height: int) -> Box | None:
    """Return the part of a ``width`` x ``height`` picture that the ``clap`` box declares visible.

    Returns None if there is no ``clap`` box, if it is invalid, or if the visible part does not
    begin at the top left corner. Browsers ignore such boxes as well and show the full picture.
    """
    content = next((content for kind, content in properties if kind == b"clap"), b"")
    if len(content) < 32:
        return None
    values = struct.unpack(">IIIIiIiI", content[:32])
    if 0 in values[1::2]:
        return None
    wide, high, x, y = (Fraction(n, d) for n, d in zip(values[::2], values[1::2], strict=True))
    if (
        wide.denominator != 1
        or high.denominator != 1
        or not (0 < wide <= width and 0 < high <= height)
    ):
        return None
    if x != (wide - width) / 2 or y != (high - height) / 2:
        return None
    return 0, 0, int(wide), int(high)
