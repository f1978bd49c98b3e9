"""Reads, checks and rewrites the directory of a TIFF file: the list of its tags.

A hostile directory can be very slow: Pillow reads every value of every tag in Python, and libtiff
decodes a strip or tile as often as the directory refers to it. So this module reads the directory,
limits the number of values, checks that strips and tiles fit the length of the file, and writes a
new directory with only the tags that decoding needs.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import NamedTuple

from thumbstream.errors import InvalidImageError
from thumbstream.images.formats.jpeg import check_embedded
from thumbstream.images.limits import ImageLimits

MAX_ENTRIES = 1000
"""Most tags in a directory."""

MAX_PARTS = 1 << 16
"""Most strips or tiles: more than twice the rows of the tallest picture that is allowed."""

MAX_PADDING = 2
"""Most pixels of all tiles together, divided by the greatest number of pixels of a picture."""

MAX_SAMPLES = 6
"""Most samples of a pixel."""

MAX_VALUES = 3 << 16
"""Most values of a tag with numbers, except offsets and lengths of strips or tiles: the length of
the longest color map."""

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANES, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, FORMAT = 284, 317, 320, 338, 339
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
JPEG_TABLES, ICC_PROFILE = 347, 34675

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
"""Values of the tag `PHOTOMETRIC`."""
UNSIGNED, SIGNED, FLOATING = 1, 2, 3
"""Values of the tag `FORMAT`."""
SEPARATE = 2
"""Value of the tag `PLANES` if each sample of a pixel is in a separate plane."""

NONE, LZW, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA, ZSTD = 1, 5, 7, 8, 32773, 32946, 34925, 50000
LOSSLESS = frozenset({NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD})
_FAX = frozenset({2, 3, 4})
_OLD_JPEG = 6
COMPRESSIONS = LOSSLESS | _FAX | {_OLD_JPEG, JPEG}

_PARTS = frozenset({STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES})
_BYTES = frozenset({JPEG_TABLES, ICC_PROFILE})
_RATIONALS = frozenset({529, 532})
"""Tags for YCbCr coefficients (529), and for reference black and white (532)."""
_COMPRESSION_OPTIONS = frozenset({292, 293, 512, 513, 514, 515, 519, 520, 521})
_NEEDED = (
    frozenset({WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES, ROWS_PER_STRIP})
    | frozenset({PLANES, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, FORMAT, TILE_WIDTH, TILE_LENGTH})
    | frozenset({530, 531})
    | (_PARTS | _BYTES | _RATIONALS | _COMPRESSION_OPTIONS)
)

_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_FORMATS = {1: "B", 2: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "II", 6: "b", _UNDEFINED: "B"}
_FORMATS |= {8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Code of each supported type of values -> its format in the notation of `struct`."""

Tags = dict[int, tuple[int, ...] | bytes]


class Parts(NamedTuple):
    """The layout of the parts of a picture, which are either strips or tiles."""

    offsets_tag: int
    """The tag with the offset of each part: `STRIP_OFFSETS` or `TILE_OFFSETS`."""
    bytes_tag: int
    """The tag with the length of each part: `STRIP_BYTES` or `TILE_BYTES`."""
    width: int
    height: int
    number: int
    """The number of parts in all planes together."""

    def rows_of(self, index: int, height: int) -> int:
        """Return the rows of part ``index`` in a picture of ``height`` rows.

        Only the last strip of a plane may have fewer rows than the other parts.
        """
        if self.offsets_tag == TILE_OFFSETS:
            return self.height
        rows = math.ceil(height / self.height)
        return min(self.height, height - index % rows * self.height)


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a TIFF file: its orientation, and the tags that decoding needs."""

    data: bytes
    """The content of the file."""
    order: str
    """Byte order as in `struct`: ``<`` is little-endian, ``>`` big-endian."""
    tags: Tags

    def integer(self, tag: int, default: int) -> int:
        """Return the first value of ``tag``, or ``default`` if it is missing."""
        values = self.tags.get(tag)
        return int(values[0]) if values else default

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return all values of ``tag``, or ``default`` if it is missing."""
        values = self.tags.get(tag)
        return tuple(values) if values else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels, as the tags declare them; 0 if missing."""
        return self.integer(WIDTH, 0), self.integer(LENGTH, 0)

    @property
    def is_tiled(self) -> bool:
        """Whether the picture is stored in tiles, not in strips."""
        return TILE_OFFSETS in self.tags

    @property
    def is_separate(self) -> bool:
        """Whether each sample of a pixel is in a separate plane."""
        return self.integer(PLANES, 1) == SEPARATE and self.integer(SAMPLES, 1) > 1


def read_directory(data: bytes) -> Directory:
    """Read the first directory of the TIFF file ``data``.

    Raises ``InvalidImageError`` if the file is cut off, or has too many tags or values.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        entry_format, value_bytes = (order + "HHQ", 8) if big else (order + "HHI", 4)
        position = start + (8 if big else 2)
        if count > MAX_ENTRIES:
            raise InvalidImageError(f"the TIFF file has more than {MAX_ENTRIES} tags")
        tags: Tags = {}
        for _ in range(count):
            tag, kind, length = struct.unpack_from(entry_format, data, position)
            position += struct.calcsize(entry_format)
            if tag not in tags and (tag in _NEEDED or tag == ORIENTATION):
                tags |= _read_value(data, order, tag, kind, length, position, value_bytes)
            position += value_bytes
    except struct.error as error:
        raise InvalidImageError("the TIFF file is cut off") from error
    return Directory(data, order, tags)


def _read_value(
    data: bytes, order: str, tag: int, kind: int, length: int, position: int, value_bytes: int
) -> Tags:
    if kind not in _FORMATS or length == 0 or (tag == ORIENTATION and length != 1):
        return {}
    if tag not in _BYTES and length > (MAX_PARTS if tag in _PARTS else MAX_VALUES):
        raise InvalidImageError(f"tag {tag} of the TIFF file has {length} values")
    form = f"{length * len(_FORMATS[kind])}{_FORMATS[kind][0]}"
    size = struct.calcsize("=" + form)
    if size > value_bytes:
        (position,) = struct.unpack_from(order + ("Q" if value_bytes == 8 else "I"), data, position)
    if position + size > len(data):
        if tag == ICC_PROFILE:
            return {}
        raise InvalidImageError("the TIFF file is cut off")
    if tag in _BYTES:
        return {tag: data[position : position + size]}
    return {tag: struct.unpack_from(order + form, data, position)}


def check_directory(directory: Directory, limits: ImageLimits) -> None:
    """Raise ``IngestError`` if the picture is too big, not supported, or too slow to decode.

    Also removes the tags of tiles from a directory with strips, or the tags of strips otherwise,
    and shortens the remaining offsets and lengths to the number of strips or tiles.
    """
    width, height = directory.size
    if width <= 0 or height <= 0:
        raise InvalidImageError("the TIFF file has no size")
    limits.check_size(width, height)
    compression = directory.integer(COMPRESSION, NONE)
    if compression not in COMPRESSIONS:
        raise InvalidImageError(f"compression {compression} of TIFF is not supported")
    samples = directory.integer(SAMPLES, 1)
    if not 1 <= samples <= MAX_SAMPLES:
        raise InvalidImageError(f"TIFF with {samples} samples for each pixel is not supported")
    if not directory.is_separate:
        directory.tags.pop(PLANES, None)  # of one sample, it confuses Pillow
    parts = _parts_of(directory, limits)
    for tag in _PARTS & directory.tags.keys():
        if tag in (parts.offsets_tag, parts.bytes_tag):
            directory.tags[tag] = directory.tags[tag][: parts.number]
        else:
            del directory.tags[tag]
    _check_data(directory, parts, compression)


def _parts_of(directory: Directory, limits: ImageLimits) -> Parts:
    width, height = directory.size
    if STRIP_OFFSETS in directory.tags or not directory.is_tiled:
        offsets_tag, bytes_tag = STRIP_OFFSETS, STRIP_BYTES
        part = width, min(height, max(1, directory.integer(ROWS_PER_STRIP, height)))
    else:
        offsets_tag, bytes_tag = TILE_OFFSETS, TILE_BYTES
        part = directory.integer(TILE_WIDTH, 0), directory.integer(TILE_LENGTH, 0)
        if min(part) <= 0:
            raise InvalidImageError("the tiles of the TIFF file have no size")
        limits.check_size(*part)
    columns, rows = math.ceil(width / part[0]), math.ceil(height / part[1])
    if columns * part[0] * rows * part[1] > MAX_PADDING * limits.max_pixels:
        raise InvalidImageError("the tiles of the TIFF file are far larger than the picture")
    planes = directory.integer(SAMPLES, 1) if directory.is_separate else 1
    if columns * rows * planes > MAX_PARTS:
        raise InvalidImageError(f"the TIFF file has more than {MAX_PARTS} strips or tiles")
    return Parts(offsets_tag, bytes_tag, *part, columns * rows * planes)


def _check_data(directory: Directory, parts: Parts, compression: int) -> None:
    data = directory.data
    lengths = directory.integers(parts.bytes_tag)
    if sum(lengths) > len(data):
        raise InvalidImageError("strips or tiles of the TIFF file share their bytes")
    for index, offset in enumerate(directory.integers(parts.offsets_tag)):
        if compression == NONE:  # lengths are often declared wrongly, and not needed
            length = _stored_bytes(directory, parts.width, parts.rows_of(index, directory.size[1]))
        else:
            length = lengths[index] if index < len(lengths) else 1
        if offset + length > len(data):
            raise InvalidImageError("the TIFF file is cut off")
        if compression == JPEG:
            check_embedded(data[offset : offset + length])


def _stored_bytes(directory: Directory, width: int, height: int) -> int:
    """Return the bytes of an uncompressed strip or tile of ``width`` x ``height`` pixels.

    Returns 1 for YCbCr, whose colors may be subsampled.
    """
    if directory.integer(PHOTOMETRIC, WHITE_IS_ZERO) == YCBCR:
        return 1
    samples = 1 if directory.is_separate else directory.integer(SAMPLES, 1)
    return math.ceil(width * samples * directory.integer(BITS, 1) / 8) * height


def rewritten(directory: Directory) -> bytes:
    """Return the file ``directory.data`` with ``directory`` as its only directory.

    The new directory has no ICC profile and no orientation.
    """
    data, order, tags = directory.data, directory.order, directory.tags
    entries = []
    values = b""
    start = len(data) + len(data) % 2
    needed = sorted(tag for tag in tags if tag in _NEEDED and tag != ICC_PROFILE)
    after = start + 2 + 12 * len(needed) + 4
    for tag in needed:
        kind, count, value = _encoded(tag, tags[tag], order)
        if len(value) > 4:
            offset = after + len(values)
            values += value + bytes(len(value) % 2)
            value = struct.pack(order + "I", offset)
        entries.append(struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0"))
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    count_field = struct.pack(order + "H", len(entries))
    return b"".join(
        [header, data[8:], bytes(len(data) % 2), count_field, *entries, bytes(4), values]
    )


def _encoded(tag: int, values: tuple[int, ...] | bytes, order: str) -> tuple[int, int, bytes]:
    """Return the type, the number of values and the encoded values of a tag."""
    if isinstance(values, bytes):
        return _UNDEFINED, len(values), values
    if tag == COLOR_MAP and max(values) < 256:
        values = tuple(257 * value for value in values)  # of 8 bits, as some programs write it
    if not all(0 <= value < 1 << 32 for value in values):
        raise InvalidImageError(f"tag {tag} of the TIFF file is out of range")
    if tag in _RATIONALS:
        return _RATIONAL, len(values) // 2, struct.pack(f"{order}{len(values)}I", *values)
    kind, form = (_SHORT, "H") if max(values) < 1 << 16 else (_LONG, "I")
    return kind, len(values), struct.pack(f"{order}{len(values)}{form}", *values)
