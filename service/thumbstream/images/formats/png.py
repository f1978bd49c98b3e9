"""Opens PNG files: passes only pixel data to Pillow, and of an animation only its first frame.

Other chunks are removed because Pillow reads chunks in Python, one at a time, and because a few
kilobytes of compressed text or ICC profile may inflate to megabytes. A chunk with a wrong checksum
is ignored if the picture can be shown without it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image, ImageChops, PngImagePlugin

from thumbstream.errors import InvalidImageError
from thumbstream.images.color_space import BT709, RgbSpace, from_cicp
from thumbstream.images.exif import read_orientation
from thumbstream.images.limits import ImageLimits
from thumbstream.images.source import Canvas, Color, Source

SIGNATURE = b"\x89PNG\r\n\x1a\n"

CHUNK_OVERHEAD = 12
"""Bytes of a chunk's length, type and CRC fields together."""

MAX_CHUNKS = 20_000
"""Most chunks of a file. Encoders write at least 8 KiB of pixel data into each chunk."""

MAX_ICC_BYTES = 1 << 20
"""Greatest length of an inflated ICC profile, in bytes."""

_USED = frozenset(
    [b"acTL", b"fcTL", b"cICP", b"cLLI", b"mDCV", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"]
)
"""Ancillary chunks that this module reads: the first intact one of each type before the pixels."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Color type -> samples of a pixel."""

_MIN_TRANSPARENCY = {0: 2, 2: 6, 3: 0}
"""Color type -> least length of a ``tRNS`` chunk; browsers ignore a shorter one."""

_MAX_TRANSPARENCY = 256
"""Greatest length of a ``tRNS`` chunk; browsers ignore a longer one."""

INTERLACED = (
    (0, 8, 0, 8),
    (4, 8, 0, 8),
    (0, 4, 4, 8),
    (2, 4, 0, 4),
    (0, 2, 2, 4),
    (1, 2, 0, 2),
    (0, 1, 1, 2),
)
"""(first column, step, first row, step) of each pass of an interlaced picture."""

_COLOR_TYPE = len(SIGNATURE) + 17
"""Position of the color type in the file: the first chunk, IHDR, has it after size and depth."""

_PIECE = 1 << 16

_GREY_KEY_SCALE = {"L;2": 255 // 3, "L;4": 255 // 15}
"""Pillow's raw mode -> the factor that scales a grey sample of 2 or 4 bits to 8 bits."""

SRGB_GAMMA = 1 / 2.2
GAMMA_TOLERANCE = 0.01


class Chunk(NamedTuple):
    """The type of a chunk and its extent in the file, including length, type and CRC."""

    kind: bytes
    start: int
    end: int

    @property
    def is_critical(self) -> bool:
        """Whether the chunk is needed to show the picture: its type begins in upper case."""
        return self.kind[:1].isupper()


def open_png(data: bytes, limits: ImageLimits) -> Source:
    """Open a PNG file. Raises ``IngestError`` if a check fails.

    Only a 16-bit RGB file with a transparent color is decoded at once.
    """
    chunks = list(read_chunks(data))
    data, truncated = _repaired(data, chunks, limits)
    if truncated:
        chunks = list(read_chunks(data))
    first_pixels = next((i for i, chunk in enumerate(chunks) if chunk.kind == b"IDAT"), len(chunks))
    used: dict[bytes, bytes] = {}
    for chunk in chunks[:first_pixels]:
        if chunk.kind in _USED and chunk.kind not in used and _is_intact(data, chunk):
            used[chunk.kind] = data[chunk.start + 8 : chunk.end - 4]
    canvas = None
    frame = _first_frame(data, chunks, first_pixels) if b"acTL" in used else None
    if frame is not None and b"fcTL" not in used:
        data, canvas = frame
        limits.check_size(canvas.width, canvas.height)
    else:
        data = strip_metadata(data, chunks)
    image: Image.Image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    limits.check_size(*image.size)
    key = image.info.get("transparency")
    if isinstance(key, tuple) and _raw_mode(image) == "RGB;16B":
        image = _with_deep_key(data, key)
    elif key is not None:
        image.info["transparency"] = transparency_key(image)
    return Source(
        image,
        color=_color(used),
        orientation=read_orientation(used.get(b"eXIf")),
        canvas=canvas if canvas is not None and canvas[:2] != image.size else None,
        truncated=truncated,
    )


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG file up to ``IEND``; the last one may extend beyond ``data``.

    Raises ``InvalidImageError`` after `MAX_CHUNKS` chunks.
    """
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + CHUNK_OVERHEAD > len(data):
            return
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        yield Chunk(kind, position, position + CHUNK_OVERHEAD + length)
        position += CHUNK_OVERHEAD + length
        if kind == b"IEND":
            return
    raise InvalidImageError(f"the PNG file has more than {MAX_CHUNKS} chunks")


def _repaired(data: bytes, chunks: list[Chunk], limits: ImageLimits) -> tuple[bytes, bool]:
    """Return the file with an end, and whether pixels are missing before it.

    Raises ``InvalidImageError`` if more than ``limits.max_missing`` of the pixel data are.
    """
    if not chunks or (chunks[-1].kind == b"IEND" and chunks[-1].end <= len(data)):
        return data, False
    header = data[chunks[0].start + 8 : chunks[0].end - 4]
    if chunks[0].kind != b"IHDR" or len(header) != 13:
        return data, False
    limits.check_size(*struct.unpack_from(">II", header))
    missing = _missing(data, chunks, header)
    if missing <= 0:
        return data, False
    limits.check_missing("PNG", missing)
    last = chunks[-1]
    if last.kind == b"IDAT" and last.end > len(data):
        data = data[: last.start] + _chunk(b"IDAT", data[last.start + 8 :])
    return data[: last.end] + _chunk(b"IEND", b""), True


def _missing(data: bytes, chunks: list[Chunk], header: bytes) -> float:
    """Return the fraction of the inflated pixel data that is missing; 0 if they are damaged."""
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    sizes = [(width, height)]
    if interlaced:
        sizes = [
            (-(-(width - left) // right), -(-(height - top) // down))
            for left, right, top, down in INTERLACED
        ]
    bits = depth * _CHANNELS.get(kind, 0)
    expected = sum((1 + -(-w * bits // 8)) * h for w, h in sizes if w > 0 and h > 0)
    inflater = zlib.decompressobj()
    inflated = 0
    try:
        for chunk in chunks:
            piece = data[chunk.start + 8 : chunk.end - 4] if chunk.kind == b"IDAT" else b""
            while piece and inflated < expected:
                inflated += len(inflater.decompress(piece, _PIECE))
                piece = inflater.unconsumed_tail
    except zlib.error:
        return 0.0
    return 1 - inflated / expected if expected else 0.0


def _is_intact(data: bytes, chunk: Chunk) -> bool:
    if chunk.end > len(data):
        return False
    checksum = int.from_bytes(data[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(data[chunk.start + 4 : chunk.end - 4]) == checksum


def _is_transparency(data: bytes, chunk: Chunk) -> bool:
    """Return whether ``chunk`` is a ``tRNS`` chunk that can be used."""
    if chunk.kind != b"tRNS" or not _is_intact(data, chunk):
        return False
    least = _MIN_TRANSPARENCY.get(data[_COLOR_TYPE], 0)
    return least <= chunk.end - chunk.start - CHUNK_OVERHEAD <= _MAX_TRANSPARENCY


def strip_metadata(data: bytes, chunks: list[Chunk]) -> bytes:
    """Return the file ``data`` with only its critical ``chunks`` and a usable ``tRNS`` chunk."""
    needed = [chunk for chunk in chunks if chunk.is_critical or _is_transparency(data, chunk)]
    if len(needed) == len(chunks):
        return data
    rest = data[chunks[-1].end :]
    return b"".join([SIGNATURE, *(data[chunk.start : chunk.end] for chunk in needed), rest])


def _first_frame(data: bytes, chunks: list[Chunk], pixels: int) -> tuple[bytes, Canvas] | None:
    """Return the first animation frame as a PNG file, and its position in the full picture.

    ``pixels`` is the index of the first ``IDAT`` chunk. Returns None if no valid frame follows the
    default picture, as when the default picture is the first frame.
    """
    control = next((i for i, c in enumerate(chunks) if i > pixels and c.kind == b"fcTL"), None)
    header = data[chunks[0].start + 8 : chunks[0].end - 4] if chunks else b""
    if control is None or len(header) != 13 or not _is_intact(data, chunks[control]):
        return None
    fields = data[chunks[control].start + 8 : chunks[control].end - 4]
    if len(fields) != 26:
        return None
    width, height, left, top = struct.unpack_from(">4I", fields, 4)
    whole_width, whole_height = struct.unpack_from(">2I", header)
    if not (width and height and left + width <= whole_width and top + height <= whole_height):
        return None
    parts = []
    for chunk in chunks[control + 1 :]:
        if chunk.kind != b"fdAT":
            break
        parts.append(data[chunk.start + 12 : chunk.end - 4])
    if not parts:
        return None
    tables = [
        chunk
        for chunk in chunks[:pixels]
        if (chunk.kind == b"PLTE" and _is_intact(data, chunk)) or _is_transparency(data, chunk)
    ]
    frame = [
        SIGNATURE,
        _chunk(b"IHDR", struct.pack(">2I", width, height) + header[8:]),
        *(data[chunk.start : chunk.end] for chunk in tables),
        _chunk(b"IDAT", b"".join(parts)),
        _chunk(b"IEND", b""),
    ]
    return b"".join(frame), Canvas(whole_width, whole_height, left, top)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _color(chunks: dict[bytes, bytes]) -> Color:
    """Return the color space of a file with these ``chunks`` (type -> content).

    The first usable one of ``cICP``, ``iCCP``, ``sRGB`` and ``gAMA`` defines it.
    """
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[2] == 0:
        space = from_cicp(cicp[0], cicp[1], video_is_srgb=False, peak=_peak(chunks))
        if space is not None:
            return space
    if b"iCCP" in chunks:
        profile = _inflate_profile(chunks[b"iCCP"])
        if profile is not None:
            return profile
    if b"sRGB" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(chunks[b"gAMA"], "big") / 100_000
    points = struct.unpack(">8I", chunks[b"cHRM"]) if len(chunks.get(b"cHRM", b"")) == 32 else None
    return gamma_space(gamma, [value / 100_000 for value in points] if points else None)


def _peak(chunks: dict[bytes, bytes]) -> float:
    """Return the luminance of the brightest color, in cd/m2, or 0 if the file declares none.

    This is the maximum of the content (``cLLI``), or else of the mastering display (``mDCV``).
    """
    if len(chunks.get(b"cLLI", b"")) == 8:
        return int.from_bytes(chunks[b"cLLI"][:4], "big") / 10_000
    if len(chunks.get(b"mDCV", b"")) == 24:
        return int.from_bytes(chunks[b"mDCV"][16:20], "big") / 10_000
    return 0.0


def color_of(info: dict[str | tuple[int, int], Any]) -> RgbSpace | None:
    """Return the color space of a PNG file from the gamma and chromaticities in Pillow's ``info``.

    Returns None for sRGB, and for any other file format. Ignores an ICC profile.
    """
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or not isinstance(gamma, float):
        return None
    return gamma_space(gamma, list(points) if points else None)


def gamma_space(gamma: float, chromaticities: list[float] | None) -> RgbSpace | None:
    """Return the color space of the chunks ``gAMA`` and ``cHRM``; None means sRGB.

    ``chromaticities`` has x and y of white, red, green and blue. As in browsers, a gamma close to
    that of sRGB means sRGB if there are no chromaticities.
    """
    if not 0 < gamma < 1000:
        return None
    if chromaticities is None:
        near = abs(gamma - SRGB_GAMMA) < GAMMA_TOLERANCE
        return None if near else RgbSpace(BT709, 1 / gamma)
    white, *primaries = zip(chromaticities[::2], chromaticities[1::2], strict=True)
    if not all(y > 0 and x + y <= 1 for x, y in (white, *primaries)):
        return RgbSpace(BT709, 1 / gamma)
    return RgbSpace((*primaries, white), 1 / gamma)


def _inflate_profile(content: bytes) -> bytes | None:
    """Return the ICC profile of an ``iCCP`` chunk, or None if it is damaged or too long.

    ``content`` has a name, a zero byte, the compression method (0), and a zlib stream.
    """
    _, _, rest = content.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_ICC_BYTES)
    except zlib.error:
        return None
    if rest[:1] != b"\0" or inflater.unconsumed_tail:
        return None
    return profile


def _with_deep_key(data: bytes, key: tuple[int, ...]) -> Image.Image:
    """Decode a 16-bit RGB file; pixels of the transparent color ``key`` get alpha 0.

    Pillow reduces samples to their high bytes, but colors must be compared in all 16 bits. So the
    file is decoded a second time, with the other byte order, to get the low bytes.
    """
    same = None
    for order, shift in (("L", 0), ("B", 8)):
        image = PngImagePlugin.PngImageFile(io.BytesIO(data))
        image.info.pop("transparency")
        image.tile = [tile._replace(args=f"RGB;16{order}") for tile in image.tile]
        image.load()
        for channel, value in zip(image.split(), key, strict=True):
            equal = channel.point([255 * (level == value >> shift & 0xFF) for level in range(256)])
            same = equal if same is None else ImageChops.darker(same, equal)
    assert same is not None
    image.putalpha(ImageChops.invert(same))
    return image


def _raw_mode(image: Image.Image) -> str:
    tile = getattr(image, "tile", None)
    return str(tile[0].args) if tile else ""


def transparency_key(image: Image.Image) -> object:
    """Return the transparency of an opened PNG; a transparent color is scaled to 8 bits.

    Pillow reduces samples to 8 bits, but leaves the transparent color in the depth of the file.
    After decoding, the depth is unknown. Then a color with a value above 255 counts as 16 bits, and
    a grey one as 2 or 4 bits if these are enough for it and for all pixels.
    """
    key = image.info.get("transparency")
    if not isinstance(image, PngImagePlugin.PngImageFile):
        return key
    raw_mode = _raw_mode(image)
    if isinstance(key, tuple):
        deep = raw_mode.startswith("RGB;16") or max(key) > 255
        return tuple((value >> (8 if deep else 0)) & 0xFF for value in key)
    if isinstance(key, int) and image.mode == "L":
        scale = _GREY_KEY_SCALE.get(raw_mode, 1) if raw_mode else _grey_scale(image, key)
        return key * scale & 0xFF
    return key


def _grey_scale(image: Image.Image, key: int) -> int:
    levels = [level for level, count in enumerate(image.histogram()) if count]
    for scale in _GREY_KEY_SCALE.values():
        if key * scale <= 255 and all(level % scale == 0 for level in levels):
            return scale
    return 1
