"""TIFF: a new directory is written with the tags that pixels need, once their values are checked.

Pillow reads every tag in Python, however many values it has, and hands the file to libtiff, which
reads strips and tiles as often as they are named. Samples that Pillow has no mode for, such as 12
or 32 bits, floating point or deep samples of which 0 is white, are decoded as bytes and put
together here.
"""

from __future__ import annotations

import ctypes
import io
import math
import struct
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from thumbstream.errors import InvalidImageError, TooManyPixelsError
from thumbstream.images.formats.jpeg import check_embedded
from thumbstream.images.levels import Levels, levels_of_range
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Source

MAX_ENTRIES = 1000
"""Tags of a directory."""

MAX_PARTS = 1 << 16
"""Strips or tiles: a strip for each row of the highest picture is less than half of that."""

MAX_PADDING = 2
"""Pixels of all tiles, in relation to the limit on pixels of the picture."""

MAX_DEEP_BYTES = 8
"""Bytes of samples that are put together here, for each pixel that the limits allow."""

MAX_VALUES = 3 << 16
"""Values of any other tag: the longest color map."""

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, FORMAT = 284, 317, 320, 338, 339
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
JPEG_TABLES, ICC_PROFILE = 347, 34675

_PARTS = frozenset({STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES})
_BYTES = frozenset({JPEG_TABLES, ICC_PROFILE})
_FAX_OPTIONS = frozenset({292, 293})
_OLD_JPEG = frozenset({512, 513, 514, 515, 519, 520, 521})
_YCBCR = frozenset({529, 530, 531, 532})
_NEEDED = (
    frozenset({WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES, ROWS_PER_STRIP})
    | frozenset({PLANAR, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, FORMAT, TILE_WIDTH, TILE_LENGTH})
    | (_PARTS | _BYTES | _FAX_OPTIONS | _OLD_JPEG | _YCBCR)
)

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SBYTE, _UNDEFINED = 1, 2, 3, 4, 5, 6, 7
_FORMATS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "II", _UNDEFINED: "B", 13: "I"}
_FORMATS |= {_ASCII: "B", _SBYTE: "b", 8: "h", 9: "i", 16: "Q", 17: "q", 18: "Q"}

_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, 8, 32773
_LOSSLESS = frozenset({_NONE, _LZW, _DEFLATE, 32946, _PACKBITS, 34925, 50000})
_COMPRESSIONS = _LOSSLESS | {2, 3, 4, 6, _JPEG}
"""With CCITT fax, old JPEG and JPEG; 34925 is LZMA, 50000 Zstandard."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR_COLOR = 0, 1, 2, 6
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SEPARATE_PLANES = 2

BAND_PIXELS = 1 << 18
"""Samples converted at a time."""

Tags = dict[int, tuple[int, ...] | bytes]


def open_tiff(data: bytes, limits: ImageLimits) -> Source:
    """Open a TIFF file. Raises ``IngestError``."""
    _silence_libtiff()
    order, tags = _read_directory(data)
    _check(data, tags, limits)
    layout = _deep_layout(tags, order)
    profile = tags.get(ICC_PROFILE)
    color = profile if isinstance(profile, bytes) else None
    orientation = _integer(tags, ORIENTATION, 1)
    if layout is not None:
        size = _integer(tags, WIDTH, 0) * _integer(tags, LENGTH, 0)
        if size * layout.samples * layout.bits > 8 * MAX_DEEP_BYTES * limits.max_pixels:
            raise TooManyPixelsError("the picture has too many pixels for the depth of its samples")
        return Source(_decode_deep(data, tags, order, layout), color, orientation)
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(_rewritten(data, tags, order)))
    limits.check_size(*image.size)
    # Otherwise Pillow compares the size with its own limit for the whole process.
    image.im = Image.core.new(image.mode, image.size)  # type: ignore[attr-defined]
    return Source(image, color, orientation)


def _integer(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag)
    return int(values[0]) if values else default


def _integers(tags: Tags, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    values = tags.get(tag)
    return tuple(values) if values else default


def _read_directory(data: bytes) -> tuple[str, Tags]:
    """Byte order and the needed tags, with the orientation, of the first directory."""
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
    return order, tags


def _read_value(
    data: bytes, order: str, tag: int, kind: int, length: int, position: int, value_bytes: int
) -> Tags:
    if kind not in _FORMATS or length == 0:
        return {}
    form = f"{length * len(_FORMATS[kind])}{_FORMATS[kind][0]}"
    size = struct.calcsize("=" + form)
    if tag == ORIENTATION and length != 1:
        return {}
    if tag not in _BYTES and length > (MAX_PARTS if tag in _PARTS else MAX_VALUES):
        raise InvalidImageError(f"tag {tag} of the TIFF file has {length} values")
    if size > value_bytes:
        (position,) = struct.unpack_from(order + ("Q" if value_bytes == 8 else "I"), data, position)
    if position + size > len(data):
        if tag == ICC_PROFILE:
            return {}
        raise InvalidImageError("the TIFF file is cut off")
    if tag in _BYTES:
        return {tag: data[position : position + size]}
    return {tag: struct.unpack_from(order + form, data, position)}


class _Parts(NamedTuple):
    """Strips or tiles."""

    offsets_tag: int
    bytes_tag: int
    width: int
    height: int
    number: int

    def rows_of(self, index: int, height: int) -> int:
        """Rows of a part, in a picture of ``height``; the last strip may be shorter."""
        if self.offsets_tag == TILE_OFFSETS:
            return self.height
        rows = math.ceil(height / self.height)
        return min(self.height, height - index % rows * self.height)


def _check(data: bytes, tags: Tags, limits: ImageLimits) -> None:
    """Raises ``IngestError`` for what would cost more than the size of the picture says."""
    width, height = _integer(tags, WIDTH, 0), _integer(tags, LENGTH, 0)
    if width <= 0 or height <= 0:
        raise InvalidImageError("the TIFF file has no size")
    limits.check_size(width, height)
    compression = _integer(tags, COMPRESSION, _NONE)
    if compression not in _COMPRESSIONS:
        raise InvalidImageError(f"compression {compression} of TIFF is not supported")
    parts = _parts_of(tags, width, height, limits)
    for tag in _PARTS & tags.keys():
        if tag in (parts.offsets_tag, parts.bytes_tag):
            tags[tag] = tags[tag][: parts.number]
        else:
            del tags[tag]
    _check_data(data, tags, parts, height)


def _parts_of(tags: Tags, width: int, height: int, limits: ImageLimits) -> _Parts:
    if STRIP_OFFSETS in tags or TILE_OFFSETS not in tags:
        offsets_tag, bytes_tag = STRIP_OFFSETS, STRIP_BYTES
        part = width, min(height, max(1, _integer(tags, ROWS_PER_STRIP, height)))
    else:
        offsets_tag, bytes_tag = TILE_OFFSETS, TILE_BYTES
        part = _integer(tags, TILE_WIDTH, 0), _integer(tags, TILE_LENGTH, 0)
        if min(part) <= 0:
            raise InvalidImageError("the tiles of the TIFF file have no size")
        limits.check_size(*part)
    columns, rows = math.ceil(width / part[0]), math.ceil(height / part[1])
    if columns * part[0] * rows * part[1] > MAX_PADDING * limits.max_pixels:
        raise InvalidImageError("the tiles of the TIFF file are far larger than the picture")
    number = columns * rows
    if _integer(tags, PLANAR, 1) == _SEPARATE_PLANES:
        number *= _integer(tags, SAMPLES, 1)
    if number > MAX_PARTS:
        raise InvalidImageError(f"the TIFF file has more than {MAX_PARTS} strips or tiles")
    return _Parts(offsets_tag, bytes_tag, *part, number)


def _check_data(data: bytes, tags: Tags, parts: _Parts, height: int) -> None:
    offsets = _integers(tags, parts.offsets_tag, ())
    lengths = _integers(tags, parts.bytes_tag, ())
    if sum(lengths) > len(data):
        raise InvalidImageError("strips or tiles of the TIFF file share their bytes")
    compression = _integer(tags, COMPRESSION, _NONE)
    for index, offset in enumerate(offsets):
        if compression == _NONE:  # lengths are often declared wrongly, and not needed
            length = _stored_bytes(tags, parts.width, parts.rows_of(index, height))
        else:
            length = lengths[index] if index < len(lengths) else 1
        if offset + length > len(data):
            raise InvalidImageError("the TIFF file is cut off")
        if compression == _JPEG:
            check_embedded(data[offset : offset + length])


def _stored_bytes(tags: Tags, width: int, height: int) -> int:
    """Bytes of an uncompressed strip or tile."""
    if _integer(tags, PHOTOMETRIC, _WHITE_IS_ZERO) == _YCBCR_COLOR:
        return 1  # colors may be subsampled
    separate = _integer(tags, PLANAR, 1) == _SEPARATE_PLANES
    samples = 1 if separate else _integer(tags, SAMPLES, 1)
    return math.ceil(width * samples * _integer(tags, BITS, 1) / 8) * height


class DeepLayout(NamedTuple):
    """How samples that Pillow has no mode for are stored."""

    samples: int
    """Of a pixel, alpha included."""
    bits: int
    format: int
    dtype: np.dtype[np.generic] | None
    """None: the samples are packed, most significant bit first."""
    color: bool
    alpha: bool
    white_is_zero: bool
    predictor: int


def _deep_layout(tags: Tags, order: str) -> DeepLayout | None:
    """The layout of what is decoded here; None for what Pillow decodes, or refuses."""
    photometric = _integer(tags, PHOTOMETRIC, _WHITE_IS_ZERO)
    samples = _integer(tags, SAMPLES, 1)
    bits = _integers(tags, BITS, (1,))
    formats = _integers(tags, FORMAT, (_UNSIGNED,))
    predictor = _integer(tags, PREDICTOR, 1)
    colors = 3 if photometric == _RGB else 1
    native = bits[0] in (1, 2, 4, 8) or (
        bits[0] == 16
        and formats[0] == _UNSIGNED
        and (photometric, samples) in ((_BLACK_IS_ZERO, 1), (_RGB, 3), (_RGB, 4))
    )
    if (
        native
        or photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        or samples not in (colors, colors + 1)
        or {*bits} != {bits[0]}
        or {*formats} != {formats[0]}
        or _integer(tags, COMPRESSION, _NONE) not in _LOSSLESS
        or (_integer(tags, PLANAR, 1) == _SEPARATE_PLANES and samples > 1)
        or predictor not in (1, 2, 3)
        or (predictor == 3 and TILE_OFFSETS in tags)
        or (TILE_OFFSETS in tags and bits[0] * samples * _integer(tags, TILE_WIDTH, 0) % 8)
    ):
        return None
    kinds = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}
    dtype = None
    if bits[0] in (16, 32, 64) and formats[0] in kinds:
        dtype = np.dtype(f"{order}{kinds[formats[0]]}{bits[0] // 8}")
    elif not (3 <= bits[0] <= 24 and formats[0] == _UNSIGNED and predictor == 1):
        return None
    extra = _integer(tags, EXTRA_SAMPLES, 0)
    return DeepLayout(
        samples,
        bits[0],
        formats[0],
        dtype,
        color=colors == 3,
        alpha=samples > colors and extra in (1, 2),
        white_is_zero=photometric == _WHITE_IS_ZERO,
        predictor=predictor,
    )


def _decode_deep(data: bytes, tags: Tags, order: str, layout: DeepLayout) -> Image.Image:
    """The picture in 8 bits: mode L, LA, RGB or RGBA."""
    width, height = _integer(tags, WIDTH, 0), _integer(tags, LENGTH, 0)
    as_bytes = tags | {
        WIDTH: (math.ceil(width * layout.samples * layout.bits / 8),),
        BITS: (8,),
        SAMPLES: (1,),
        FORMAT: (_UNSIGNED,),
        PHOTOMETRIC: (_BLACK_IS_ZERO,),
        PREDICTOR: (1,),
    }
    as_bytes.pop(EXTRA_SAMPLES, None)
    span = width
    if TILE_WIDTH in tags:
        span = _integer(tags, TILE_WIDTH, 0)
        as_bytes[TILE_WIDTH] = (span * layout.samples * layout.bits // 8,)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_rewritten(data, as_bytes, order))) as raw:
        raw.im = Image.core.new(raw.mode, raw.size)  # type: ignore[attr-defined]
        raw.load()
        rows = max(1, BAND_PIXELS // width)
        bands = [(top, min(height, top + rows)) for top in range(0, height, rows)]

        def samples_of(band: tuple[int, int]) -> NDArray[np.generic]:
            stored = np.asarray(raw.crop((0, band[0], raw.width, band[1])))
            return _samples(stored, layout, width, span)

        levels = _levels(layout, map(samples_of, bands))
        mode = ("RGB" if layout.color else "L") + ("A" if layout.alpha else "")
        image = Image.new(mode, (width, height))
        for band in bands:
            image.paste(_in_8_bits(samples_of(band), layout, levels), (0, band[0]))
    return image


def _samples(
    stored: NDArray[np.uint8], layout: DeepLayout, width: int, span: int
) -> NDArray[np.generic]:
    """(rows, width, samples) from rows of bytes. Predictors begin again every ``span`` pixels."""
    rows, count = len(stored), width * layout.samples
    if layout.dtype is None:
        return _unpacked(stored, layout.bits)[:, :count].reshape(rows, width, layout.samples)
    size = layout.dtype.itemsize
    if layout.predictor == 3:  # differences of bytes, sorted by their significance
        sums = np.empty_like(stored)
        for channel in range(layout.samples):
            sums[:, channel :: layout.samples] = np.cumsum(
                stored[:, channel :: layout.samples], axis=1, dtype=np.uint8
            )
        planes = sums.reshape(rows, size, count).transpose(0, 2, 1)
        values = np.ascontiguousarray(planes).view(layout.dtype.newbyteorder(">"))
        return values.reshape(rows, width, layout.samples)
    values = np.ascontiguousarray(stored[:, : count * size]).view(layout.dtype)
    values = values.reshape(rows, width, layout.samples)
    if layout.predictor == 2:
        whole = values.view(layout.dtype.str.replace("f", "u").replace("i", "u"))
        whole = whole.astype(f"=u{size}")
        for left in range(0, width, span):
            part = whole[:, left : left + span]
            part[:] = np.cumsum(part, axis=1, dtype=part.dtype)
        values = whole.view(layout.dtype.newbyteorder("="))
    return values


def _unpacked(stored: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """Samples of up to 24 bits, most significant bit first, from rows of bytes."""
    period = 8 // math.gcd(bits, 8)  # samples until one begins with a byte again
    block = period * bits // 8
    padded = np.pad(stored, ((0, 0), (0, -stored.shape[1] % block)))
    blocks = padded.reshape(len(stored), -1, block).astype(np.uint32)
    samples = np.empty((*blocks.shape[:2], period), np.uint32)
    for index in range(period):
        end = (index + 1) * bits
        first, last = index * bits // 8, (end - 1) // 8
        value = blocks[..., first]
        for byte in range(first + 1, last + 1):
            value = value << np.uint32(8) | blocks[..., byte]
        samples[..., index] = value >> np.uint32(8 * (last + 1) - end)
    samples &= np.uint32((1 << bits) - 1)
    return samples.reshape(len(stored), -1)


def _levels(layout: DeepLayout, bands: Iterable[NDArray[np.generic]]) -> Levels:
    if layout.format == _UNSIGNED and layout.bits <= 24:
        levels = Levels(0.0, 2.0**layout.bits - 1)
    else:
        low, high = np.inf, -np.inf
        for samples in bands:
            colors = samples[..., :3] if layout.color else samples[..., :1]
            finite = colors[np.isfinite(colors)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        levels = levels_of_range(
            low,
            high,
            floating=layout.format == _FLOAT,
            white=2.0**layout.bits - 1 if layout.format == _UNSIGNED else None,
        )
    return Levels(levels.white, levels.black) if layout.white_is_zero else levels


def _in_8_bits(samples: NDArray[np.generic], layout: DeepLayout, levels: Levels) -> Image.Image:
    colors = 3 if layout.color else 1
    scaled = levels.in_8_bits(samples[..., :colors])
    if layout.alpha:
        top = Levels(0.0, 1.0 if layout.format == _FLOAT else 2.0**layout.bits - 1)
        scaled = np.concatenate([scaled, top.in_8_bits(samples[..., colors:])], axis=-1)
    return Image.fromarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled)


def _rewritten(data: bytes, tags: Tags, order: str) -> bytes:
    """The file with a directory of the needed ones of ``tags`` at its end, in place of its own."""
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
    """Type, count and bytes of a tag."""
    if isinstance(values, bytes):
        return _UNDEFINED, len(values), values
    if tag == COLOR_MAP and max(values) < 256:
        values = tuple(257 * value for value in values)  # of 8 bits, as some programs write it
    if tag in (529, 532):
        return _RATIONAL, len(values) // 2, struct.pack(f"{order}{len(values)}I", *values)
    if not all(0 <= value < 1 << 32 for value in values):
        raise InvalidImageError(f"tag {tag} of the TIFF file is out of range")
    kind, form = (_SHORT, "H") if max(values) < 1 << 16 else (_LONG, "I")
    return kind, len(values), struct.pack(f"{order}{len(values)}{form}", *values)


@lru_cache(maxsize=1)
def _silence_libtiff() -> None:
    """Stop libtiff from printing; what it says about a file is in the exception as well.

    It prints to the standard error of the process, between the lines of a log. Pillow offers no way
    to stop that; its wheels have the library in a folder of their own.
    """
    site = Path(PIL.__file__).parent
    for folder, pattern in (
        (site.parent / "pillow.libs", "libtiff*"),
        (site / ".dylibs", "libtiff*"),
    ):
        for library in folder.glob(pattern):
            try:
                loaded = ctypes.CDLL(str(library))
                loaded.TIFFSetErrorHandler(None)
                loaded.TIFFSetWarningHandler(None)
            except (OSError, AttributeError):
                continue
