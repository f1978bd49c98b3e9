"""Picture files of every format, generated: what Pillow does not write is written here."""

from __future__ import annotations

import base64
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class File(NamedTuple):
    """A generated picture file."""

    name: str
    data: bytes


def picture(width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """(H, W, 3): four colored quarters with a gradient over them."""
    y, x = np.mgrid[0:height, 0:width]
    colors = np.array([[(220, 30, 30), (30, 180, 60)], [(40, 60, 220), (240, 220, 40)]], float)
    quarters = colors[(y >= height // 2).astype(int), (x >= width // 2).astype(int)]
    shade = 0.6 + 0.4 * (x / width)[..., None]
    return np.rint(quarters * shade).astype(np.uint8)


RGB = picture()
GREY = RGB[..., 1]
ALPHA = np.linspace(0, 255, 96).astype(np.uint8)[None].repeat(64, axis=0)


def saved(pixels: Any, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, form, **options)
    return out.getvalue()


# EXIF, XMP, ICC


def exif(orientation: int, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    value = struct.pack(order + ("HH" if kind == 3 else "I"), orientation, *([0] * (kind == 3)))
    return head + struct.pack(order + "HHI", 0x112, kind, count) + value + bytes(4)


def xmp(orientation: int) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation'
        b'="%d"/></rdf:RDF></x:xmpmeta>' % orientation
    )


def s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(s15, values))


def profile(gamma: float, *, wide: bool, more: dict[bytes, bytes] | None = None) -> bytes:
    """A display profile: Display P3 or sRGB primaries with a gamma, and ``more`` tags."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    primaries = (
        [(0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)]
        if wide
        else [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139)]
    )
    tags = {b"wtpt": xyz(0.9642, 1, 0.8249)}
    tags |= {c + b"XYZ": xyz(*p) for c, p in zip((b"r", b"g", b"b"), primaries, strict=True)}
    tags |= {c + b"TRC": curve for c in (b"r", b"g", b"b")}
    tags |= more or {}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + s15(0.9642) + s15(1) + s15(0.8249)
    content = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(content)) + content[4:]


PROFILES = {
    f"{'p3' if wide else '709'}-{gamma}": profile(gamma, wide=wide)
    for gamma in (1.0, 1.8, 2.2)
    for wide in (False, True)
}


# JPEG


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def with_segment(file: bytes, marker: int, content: bytes) -> bytes:
    return file[:2] + segment(marker, content) + file[2:]


def jpegs() -> Iterator[File]:
    for quality, sampling in itertools.product((40, 95), (0, 1, 2)):
        yield File(
            f"q{quality}-{sampling}", saved(RGB, "JPEG", quality=quality, subsampling=sampling)
        )
    plain = saved(RGB, "JPEG", quality=95)
    yield File("grey", saved(GREY, "JPEG", quality=95))
    yield File("progressive", saved(RGB, "JPEG", quality=95, progressive=True))
    yield File("restarts", saved(RGB, "JPEG", quality=95, restart_marker_blocks=2))
    yield File("rgb", saved(RGB, "JPEG", quality=95, keep_rgb=True))
    yield File("cmyk", saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95))
    yield File("odd", saved(RGB[:61, :83], "JPEG", quality=95))
    for orientation, order in itertools.product(range(10), "<>"):
        data = with_segment(plain, 0xE1, b"Exif\0\0" + exif(orientation, order))
        yield File(f"exif-{orientation}-{'le' if order == '<' else 'be'}", data)
    yield File("exif-long-type", with_segment(plain, 0xE1, b"Exif\0\0" + exif(6, kind=4)))
    for orientation in (3, 6, 8):
        marker = b"http://ns.adobe.com/xap/1.0/\0"
        yield File(f"xmp-{orientation}", with_segment(plain, 0xE1, marker + xmp(orientation)))
    both = with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6))
    yield File("xmp-6-exif-3", with_segment(both, 0xE1, b"Exif\0\0" + exif(3)))
    yield File(
        "exif-twice",
        with_segment(with_segment(plain, 0xE1, b"Exif\0\0" + exif(6)), 0xE1, b"Exif\0\0" + exif(3)),
    )
    for name, icc in PROFILES.items():
        yield File(f"icc-{name}", saved(RGB, "JPEG", quality=95, icc_profile=icc))
    yield File("no-end", plain[:-2])
    yield File("no-end-progressive", saved(RGB, "JPEG", quality=95, progressive=True)[:-2])
    for missing in (3, 10, 40):
        yield File(f"cut-{missing}", plain[:-missing])
    yield File("end-twice", plain + b"\xff\xd9")
    yield File("tail", plain + b"tail")
    yield File("comment", with_segment(plain, 0xFE, b"comment" * 99))
    yield File(
        "mpo",
        saved(RGB, "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (96, 64))]),
    )


# PNG


def chunk(kind: bytes, content: bytes, *, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + content) ^ damaged
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_rows(samples: NDArray[Any], depth: int) -> bytes:
    """Samples (H, W) or (H, W, channels) of ``depth`` bits, with filter bytes, compressed."""
    height = len(samples)
    if depth == 16:
        rows = np.ascontiguousarray(samples.astype(">u2")).reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    return np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()


def png(samples: NDArray[Any], depth: int = 8, kind: int = 2, *extra: bytes) -> bytes:
    """A PNG file; ``extra`` chunks stand before the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(png_rows(samples, depth))
    return b"".join(
        [SIGNATURE, chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


def interlaced(samples: NDArray[np.uint8]) -> bytes:
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    rows = b"".join(png_rows(samples[y::down, x::right], 8) for x, y, right, down in passes)
    body = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(body)


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(*points: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(p * 100_000) for p in points)))


CHRM_709 = chrm(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
CHRM_P3 = chrm(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
CHRM_2020 = chrm(0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)


MDCV_2000 = chunk(b"mDCV", bytes(16) + struct.pack(">II", 20_000_000, 50))


def control(sequence: int, width: int, height: int, left: int, top: int) -> bytes:
    fields = struct.pack(">IIIIIHHBB", sequence, width, height, left, top, 1, 10, 0, 0)
    return chunk(b"fcTL", fields)


def apng(
    default: NDArray[np.uint8], frames: list[tuple[NDArray[np.uint8], int, int]], *, first: bool
) -> bytes:
    """``first``: the default picture is the first frame."""
    height, width, channels = default.shape
    kind = 6 if channels == 4 else 2
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [SIGNATURE, chunk(b"IHDR", header)]
    parts.append(chunk(b"acTL", struct.pack(">II", len(frames) + first, 0)))
    sequence = 0
    if first:
        parts.append(control(0, width, height, 0, 0))
        sequence = 1
    parts.append(chunk(b"IDAT", zlib.compress(png_rows(default, 8))))
    for pixels, left, top in frames:
        parts.append(control(sequence, pixels.shape[1], pixels.shape[0], left, top))
        body = zlib.compress(png_rows(pixels, 8))
        for start in range(0, len(body), 200):
            sequence += 1
            parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + body[start : start + 200]))
        sequence += 1
    return b"".join([*parts, chunk(b"IEND", b"")])


def pngs() -> Iterator[File]:
    yield from png_kinds()
    yield from png_colors()
    for orientation, order in itertools.product(range(1, 9), "<>"):
        data = png(RGB, 8, 2, chunk(b"eXIf", exif(orientation, order)))
        yield File(f"exif-{orientation}-{'le' if order == '<' else 'be'}", data)
    yield File("interlaced", interlaced(RGB))
    for kind, content in {
        b"gAMA": struct.pack(">I", 100_000),
        b"cICP": bytes([9, 16, 0, 1]),
        b"iCCP": b"p\0\0" + zlib.compress(PROFILES["p3-1.0"]),
        b"eXIf": exif(6),
        b"tRNS": struct.pack(">HHH", *RGB[0, 0]),
        b"tEXt": b"a\0b",
        b"pHYs": bytes(9),
        b"sBIT": b"\x08\x08\x08",
        b"bKGD": bytes(6),
        b"tIME": bytes(7),
    }.items():
        yield File(f"crc-{kind.decode()}", png(RGB, 8, 2, chunk(kind, content, damaged=True)))
    yield from apngs()


def png_kinds() -> Iterator[File]:
    for depth in (1, 2, 4, 8, 16):
        top = 2**depth - 1
        grey = np.rint(GREY / 255.0 * top).astype(np.uint16)
        yield File(f"grey-{depth}", png(grey, depth, 0))
        key = struct.pack(">H", grey[10, 10])
        yield File(f"grey-{depth}-key", png(grey, depth, 0, chunk(b"tRNS", key)))
        if depth <= 8:
            colors = np.random.default_rng(depth).integers(0, 256, (top + 1, 3), np.uint8)
            palette = chunk(b"PLTE", colors.tobytes())
            yield File(f"palette-{depth}", png(grey, depth, 3, palette))
            alphas = chunk(b"tRNS", bytes(range(0, 256, max(1, 255 // (top + 1))))[: top // 2 + 1])
            yield File(f"palette-{depth}-alpha", png(grey, depth, 3, palette, alphas))
    two_colors = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0]))
    for length in (0, 1, 5, 6, 7, 256, 257):
        transparent = chunk(b"tRNS", (struct.pack(">H", GREY[10, 10]) * 129)[:length])
        yield File(f"grey-8-{length}", png(GREY, 8, 0, transparent))
        yield File(f"rgb-8-{length}", png(np.dstack([GREY] * 3), 8, 2, transparent))
        yield File(f"palette-1-{length}", png(GREY >> 7, 1, 3, two_colors, transparent))
    deep_alpha = np.dstack([GREY, ALPHA]).astype(np.uint16)
    yield File("grey-alpha-8", png(deep_alpha, 8, 4))
    yield File("grey-alpha-16", png(deep_alpha * 257, 16, 4))
    rgba = np.dstack([RGB, ALPHA]).astype(np.uint16)
    yield File("rgb-8", png(RGB, 8, 2))
    yield File("rgb-16", png(RGB.astype(np.uint16) * 257, 16, 2))
    yield File("rgba-8", png(rgba, 8, 6))
    yield File("rgba-16", png(rgba * 257, 16, 6))
    flat = RGB.copy()
    flat[:32, :48] = (10, 20, 30)
    yield File("rgb-8-key", png(flat, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30))))
    key = struct.pack(">HHH", 2570, 5140, 7710)
    for missing in (0.02, 0.04):
        rows = png(RGB, 8, 2)
        yield File(f"cut-{missing}", rows[: round(len(rows) * (1 - missing))])
    yield File("rgb-16-key", png(flat.astype(np.uint16) * 257, 16, 2, chunk(b"tRNS", key)))


def png_colors() -> Iterator[File]:
    for gamma, name in itertools.product((1.0, 0.45455, 0.55, 0.7, 0.3), ("", "709", "p3", "2020")):
        points = {"": b"", "709": CHRM_709, "p3": CHRM_P3, "2020": CHRM_2020}[name]
        yield File(f"gama-{gamma}-{name}", png(RGB, 8, 2, gama(gamma), points))
    yield File("chrm-alone", png(RGB, 8, 2, CHRM_P3))
    yield File("srgb-gama", png(RGB, 8, 2, chunk(b"sRGB", b"\0"), gama(1.0)))
    yield File("gama-0", png(RGB, 8, 2, chunk(b"gAMA", bytes(4))))
    yield File("gama-grey", png(GREY, 8, 0, gama(1.0)))
    yield File("gama-rgba", png(np.dstack([RGB, ALPHA]), 8, 6, gama(1.0)))
    yield File("gama-16", png(RGB.astype(np.uint16) * 257, 16, 2, gama(1.0)))
    for primaries, transfer in itertools.product((1, 9, 12), (1, 4, 8, 13, 14, 16, 18)):
        fields = bytes([primaries, transfer, 0, 1])
        yield File(f"cicp-{primaries}-{transfer}", png(RGB, 8, 2, chunk(b"cICP", fields)))
    for primaries, transfer in (
        (2, 2),
        (4, 13),
        (5, 13),
        (6, 6),
        (8, 13),
        (11, 17),
        (22, 13),
        (1, 5),
        (1, 7),
    ):
        fields = bytes([primaries, transfer, 0, 1])
        yield File(f"cicp-{primaries}-{transfer}", png(RGB, 8, 2, chunk(b"cICP", fields)))
    hdr = chunk(b"cICP", bytes([9, 16, 0, 1]))
    yield File("cicp-grey", png(GREY, 8, 0, hdr))
    yield File("cicp-rgba", png(np.dstack([RGB, ALPHA]), 8, 6, hdr))
    yield File("cicp-16", png(RGB.astype(np.uint16) * 257, 16, 2, hdr))
    yield File("cicp-gama", png(RGB, 8, 2, chunk(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)))
    for name, icc in PROFILES.items():
        content = b"p\0\0" + zlib.compress(icc)
        yield File(f"icc-{name}", png(RGB, 8, 2, chunk(b"iCCP", content)))
    content = b"p\0\0" + zlib.compress(PROFILES["p3-1.0"])
    yield File("icc-gama", png(RGB, 8, 2, gama(0.3), chunk(b"iCCP", content)))
    for peak in (300, 600, 1000, 4000):
        light = chunk(b"cLLI", struct.pack(">II", peak * 10_000, 100_000))
        display = chunk(b"mDCV", bytes(16) + struct.pack(">II", peak * 10_000, 50))
        for transfer in (16, 18):
            code = chunk(b"cICP", bytes([9, transfer, 0, 1]))
            yield File(f"clli-{peak}-{transfer}", png(RGB, 8, 2, code, light))
            yield File(f"mdcv-{peak}-{transfer}", png(RGB, 8, 2, code, display))
            yield File(f"clli-mdcv-{peak}-{transfer}", png(RGB, 8, 2, code, light, MDCV_2000))
    for transfer in (13, 16, 18):
        tag = b"cicp" + bytes(4) + bytes([12, transfer, 0, 1])
        icc = zlib.compress(profile(2.2, wide=True, more={b"cicp": tag}))
        yield File(f"icc-tag-{transfer}", png(RGB, 8, 2, chunk(b"iCCP", b"p\0\0" + icc)))
        yield File(f"icc-tag-grey-{transfer}", png(GREY, 8, 0, chunk(b"iCCP", b"p\0\0" + icc)))
    yield File("icc-cicp", png(RGB, 8, 2, hdr, chunk(b"iCCP", content)))


def apngs() -> Iterator[File]:
    other = np.full((64, 96, 3), 200, np.uint8)
    part = RGB[:20, :30]
    yield File("apng-first", apng(RGB, [(other, 0, 0)], first=True))
    yield File("apng-later", apng(other, [(RGB, 0, 0)], first=False))
    yield File("apng-later-2", apng(other, [(RGB, 0, 0), (other, 0, 0)], first=False))
    yield File("apng-part", apng(other, [(part, 40, 30)], first=False))
    yield File("apng-part-2", apng(other, [(part, 40, 30), (other, 0, 0)], first=False))
    rgba = np.dstack([RGB, ALPHA])
    yield File("apng-rgba", apng(rgba * 0, [(rgba, 0, 0)], first=False))
    yield File("apng-rgba-part", apng(rgba * 0, [(rgba[:20, 60:90], 9, 30)], first=False))


# GIF


def gif(
    width: int,
    height: int,
    frames: list[tuple[int, int, Image.Image]],
    *,
    transparent: int | None = None,
    disposal: int = 0,
    local: bool = False,
    background: int = 0,
) -> bytes:
    """A GIF file of (left, top, picture in mode P of 4 colors)."""
    palette = bytes((220, 30, 30, 30, 180, 60, 40, 60, 220, 240, 220, 40))
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x11 if local else 0x91, background, 0)
    out += b"" if local else palette
    for left, top, image in frames:
        flags = disposal << 2 | (transparent is not None)
        out += b"!\xf9\4" + struct.pack("<BHB", flags, 5, transparent or 0) + b"\0"
        out += b"," + struct.pack("<HHHHB", left, top, *image.size, 0x81 if local else 0)
        out += palette if local else b""
        encoded = saved(image, "GIF")
        start = encoded.index(b",") + 10
        if encoded[start - 1] & 0x80:
            start += 3 << (encoded[start - 1] & 7) + 1
        out += encoded[start : encoded.rindex(b";")]
    return out + b";"


def gifs() -> Iterator[File]:
    indices = np.zeros((64, 96), np.uint8)
    indices[:32, 48:], indices[32:, :48], indices[32:, 48:] = 1, 2, 3
    whole = Image.fromarray(indices, "P")
    whole.putpalette(bytes((220, 30, 30, 30, 180, 60, 40, 60, 220, 240, 220, 40)))
    part = whole.crop((20, 10, 70, 50))
    for local, disposal in itertools.product((False, True), range(4)):
        name = f"{'local' if local else 'global'}-{disposal}"
        options: dict[str, Any] = {"local": local, "disposal": disposal}
        yield File(f"whole-{name}", gif(96, 64, [(0, 0, whole)], **options))
        yield File(f"part-{name}", gif(96, 64, [(30, 20, part)], **options))
        yield File(f"part-{name}-key", gif(96, 64, [(30, 20, part)], transparent=1, **options))
        two = [(30, 20, part), (0, 0, whole)]
        yield File(f"animated-{name}", gif(96, 64, two, **options))
    yield File("whole-key", gif(96, 64, [(0, 0, whole)], transparent=2))
    yield File("background", gif(96, 64, [(30, 20, part)], background=3))
    yield File("outside", gif(60, 40, [(0, 0, whole)]))
    yield File("outside-offset", gif(60, 40, [(30, 20, part)]))
    yield File("outside-animated", gif(60, 40, [(30, 20, part), (0, 0, part)]))
    yield File("key-outside", gif(96, 64, [(0, 0, whole)], transparent=200))
    yield File("interlaced", saved(Image.fromarray(RGB).quantize(32), "GIF", interlace=1))
    yield File("many", saved(Image.fromarray(RGB), "GIF"))


# WebP


def webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def u24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def webp_file(width: int, height: int, flags: int, *chunks: bytes) -> bytes:
    head = webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(width - 1) + u24(height - 1))
    body = b"WEBP" + head + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_frame(image: Image.Image, left: int, top: int) -> bytes:
    still = saved(image, "WEBP", lossless=True)
    place = u24(left // 2) + u24(top // 2) + u24(image.width - 1) + u24(image.height - 1)
    start = still.index(b"VP8L")
    return webp_chunk(b"ANMF", place + u24(100) + b"\2" + still[start:])


def webps() -> Iterator[File]:
    rgba = np.dstack([RGB, ALPHA])
    for quality in (50, 90):
        yield File(f"lossy-{quality}", saved(RGB, "WEBP", quality=quality))
        yield File(f"lossy-alpha-{quality}", saved(rgba, "WEBP", quality=quality))
    yield File("lossless", saved(RGB, "WEBP", lossless=True))
    yield File("lossless-alpha", saved(rgba, "WEBP", lossless=True))
    yield File("xmp-6", saved(RGB, "WEBP", lossless=True, xmp=xmp(6)))
    for name, icc in PROFILES.items():
        yield File(f"icc-{name}", saved(RGB, "WEBP", lossless=True, icc_profile=icc))
    part = Image.fromarray(RGB[:30, :40])
    control_chunk = webp_chunk(b"ANIM", b"\xff\0\xff\xff\0\0")
    for alpha in (0, 0x10):
        yield File(
            f"part-{alpha}", webp_file(96, 64, 2 | alpha, control_chunk, webp_frame(part, 40, 20))
        )
        frames = [webp_frame(part, 40, 20), webp_frame(Image.fromarray(RGB), 0, 0)]
        yield File(f"parts-{alpha}", webp_file(96, 64, 2 | alpha, control_chunk, *frames))
        whole = webp_frame(Image.fromarray(RGB), 0, 0)
        yield File(f"whole-{alpha}", webp_file(96, 64, 2 | alpha, control_chunk, whole, frames[0]))


# AVIF


def avif(pixels: Any = RGB, **options: Any) -> bytes:
    return saved(pixels, "AVIF", **{"quality": 95, "subsampling": "4:4:4"} | options)


TEN_BIT_AVIF = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAD5bWV0YQAAAAAAAAAvaGRscgAAAAAAAAAAcGljdAAA"
    "AAAAAAAAAAAAAFBpY3R1cmVIYW5kbGVyAAAAAA5waXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAASEA"
    "AACOAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGppcHJwAAAAS2lwY28AAAAUaXNw"
    "ZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMKCgoAAAAMYXYxQ4EATAAAAAATY29scm5jbHgAAQANAAaAAAAAF2lw"
    "bWEAAAAAAAAAAQABBAECgwQAAACWbWRhdAoNAAAAAy3/xq+dAQ0GhDJ9EACOAQAAAPOAQLROxcNmvA57gJuG2QeU"
    "2n3AnoQBFQqTETg6+gRcqP3dRW9AKg/j8w33ywm0URLXS8a5z2TWIczP1BwQGO3WPdJEdSmtLkZRWuKMSM52TOSz"
    "qMhC1xNcQ3i/O6kEf6/MMAKD5AWQiESyhZe13g26hXPhmJA="
)
"""Four flat quarters with the colors of `picture`, 4:2:0, 10 bits, full range; from SVT-AV1."""


def with_nclx(file: bytes, primaries: int, transfer: int, matrix: int = 6) -> bytes:
    at = file.index(b"colrnclx") + 8
    return file[:at] + struct.pack(">HHH", primaries, transfer, matrix) + file[at + 6 :]


def without_nclx(file: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF file whose color is declared by the header of its AV1 stream alone."""
    old = struct.unpack_from(">HH", file, file.index(b"colrnclx") + 8)
    start = file.index(b"mdat")
    head = int.from_bytes(file[start : start + 40], "big")
    codes = old[0] << 8 | old[1]  # they need not begin with a byte there
    shift = next(shift for shift in range(304, -1, -1) if head >> shift & 0xFFFF == codes)
    head += ((primaries << 8 | transfer) - codes) << shift
    file = file[:start] + head.to_bytes(40, "big") + file[start + 40 :]
    return file.replace(b"colrnclx", b"freenclx")


def with_property(file: bytes, kind: bytes, content: bytes) -> bytes:
    """Add a property to the only item of an AVIF file that Pillow wrote."""
    box = struct.pack(">I", len(content) + 8) + kind + content
    properties = file.index(b"ipco") - 4
    end = properties + int.from_bytes(file[properties : properties + 4], "big")
    count, at = 0, properties + 8
    while at < end:
        count, at = count + 1, at + int.from_bytes(file[at : at + 4], "big")
    association = file.index(b"ipma") - 4
    entries = association + 18  # one item: count, id, then how many properties it has
    last = entries + 1 + file[entries]
    out = bytearray(file)
    essential = 0x80 if kind in (b"clap", b"irot", b"imir") else 0
    out[last:last] = bytes([essential | (count + 1)])
    out[entries] += 1
    out[end:end] = box
    for name, more in (
        (b"ipma", 1),
        (b"ipco", len(box)),
        (b"iprp", len(box) + 1),
        (b"meta", len(box) + 1),
    ):
        start = out.index(name) - 4
        length = int.from_bytes(out[start : start + 4], "big") + more
        out[start : start + 4] = struct.pack(">I", length)
    place = out.index(b"iloc") + 4  # version 0, sizes 4 and 4, one item of one extent
    offset = place + 4 + 2 + 2 + 2 + 2 + 2
    moved = int.from_bytes(out[offset : offset + 4], "big") + len(box) + 1
    out[offset : offset + 4] = struct.pack(">I", moved)
    return bytes(out)


def clap(width: int, height: int, left: int, top: int, whole: tuple[int, int] = (96, 64)) -> bytes:
    """Doubled numerators keep offsets of half a pixel."""
    x, y = 2 * left + width - whole[0], 2 * top + height - whole[1]
    return struct.pack(">IIIIiIiI", width, 1, height, 1, x, 2, y, 2)


def avifs() -> Iterator[File]:
    yield File("rgb", avif())
    opaque_or_clear = np.where(ALPHA > 127, 255, 0).astype(np.uint8)
    yield File("rgba", avif(np.dstack([RGB, opaque_or_clear]), quality=100))
    yield File("grey", avif(GREY, subsampling="4:0:0"))
    yield File("420", avif(subsampling="4:2:0"))
    yield File("422", avif(subsampling="4:2:2"))
    plain = avif()
    for primaries, transfer in itertools.product((1, 2, 9, 12), (1, 2, 4, 6, 8, 13, 14, 16, 18)):
        yield File(f"nclx-{primaries}-{transfer}", with_nclx(plain, primaries, transfer))
        yield File(f"av1-{primaries}-{transfer}", without_nclx(plain, primaries, transfer))
    yield File("10-bit", TEN_BIT_AVIF)
    yield File("10-bit-pq", with_nclx(TEN_BIT_AVIF, 9, 16))
    hdr = with_nclx(plain, 9, 16)
    for peak in (300, 600, 4000):
        content = struct.pack(">HH", peak, 100)
        yield File(f"clli-{peak}", with_property(hdr, b"clli", content))
        content = bytes(16) + struct.pack(">II", peak * 10_000, 50)
        yield File(f"mdcv-{peak}", with_property(hdr, b"mdcv", content))
    for name, icc in PROFILES.items():
        yield File(f"icc-{name}", avif(icc_profile=icc))
    for orientation in range(1, 9):
        yield File(f"turned-{orientation}", avif(exif=exif(orientation)))
    yield File("xmp-6", avif(xmp=xmp(6)))
    yield File("clap", with_property(plain, b"clap", clap(48, 32, 0, 0)))
    yield File("clap-wide", with_property(plain, b"clap", clap(96, 30, 0, 0)))
    yield File("clap-odd", with_property(plain, b"clap", clap(45, 31, 0, 0)))
    yield File("clap-center", with_property(plain, b"clap", clap(48, 32, 24, 16)))
    yield File("clap-end", with_property(plain, b"clap", clap(48, 32, 48, 32)))
    yield File("clap-too-large", with_property(plain, b"clap", clap(100, 64, 0, 0)))
    turned = with_property(plain, b"clap", clap(48, 32, 0, 0))
    yield File("clap-turned", with_property(turned, b"irot", b"\1"))
    yield File("irot-2", with_property(plain, b"irot", b"\2"))
    yield File("imir-0", with_property(plain, b"imir", b"\0"))
    yield File("imir-1", with_property(plain, b"imir", b"\1"))


# BMP


def bmp(
    rows: bytes,
    bits: int,
    *,
    width: int = 96,
    height: int = 64,
    header: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
) -> bytes:
    info = struct.pack(
        "<IiiHHIIiiII",
        header,
        width,
        height,
        1,
        bits,
        compression,
        len(rows),
        0,
        0,
        len(palette) // 4,
        0,
    )
    fields = struct.pack(f"<{len(masks)}I", *masks)
    info = (info + fields).ljust(header, b"\0") if header > 40 else info + fields
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def packed(masks: tuple[int, ...], pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    value = np.zeros(pixels.shape[:2], np.uint64)
    for channel, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            top = mask >> shift
            value |= np.rint(pixels[..., channel] / 255 * top).astype(np.uint64) << np.uint64(shift)
    return value.astype(np.uint32)


LAYOUTS_32 = {
    "xrgb": (0xFF0000, 0xFF00, 0xFF, 0),
    "argb": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "abgr": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "rgba": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "swapped": (0xFF00, 0xFF0000, 0xFF, 0),
    "10-bit": (0x3FF00000, 0xFFC00, 0x3FF, 0),
    "10-bit-alpha": (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
    "narrow": (0xF000, 0xF00, 0xF0, 0),
    "no-blue": (0xFF0000, 0xFF00, 0, 0),
}
LAYOUTS_16 = {
    "565": (0xF800, 0x7E0, 0x1F, 0),
    "555": (0x7C00, 0x3E0, 0x1F, 0),
    "1555": (0x7C00, 0x3E0, 0x1F, 0x8000),
    "4444": (0xF00, 0xF0, 0xF, 0xF000),
    "444": (0xF00, 0xF0, 0xF, 0),
    "bgr565": (0x1F, 0x7E0, 0xF800, 0),
    "swapped": (0x7E0, 0xF800, 0x1F, 0),
}


def bmps() -> Iterator[File]:
    yield File("24", saved(RGB, "BMP"))
    yield File("cut-24", saved(RGB, "BMP")[:-2000])
    yield File("cut-palette", saved(Image.fromarray(RGB).quantize(16), "BMP")[:-600])
    yield File("grey", saved(GREY, "BMP"))
    yield File("1", saved(Image.fromarray(GREY).convert("1"), "BMP"))
    yield File("palette", saved(Image.fromarray(RGB).quantize(16), "BMP"))
    rgba = np.dstack([RGB, ALPHA])
    for name, layout in LAYOUTS_32.items():
        for header in (40, 52, 56, 108, 124):
            if header < 56 and layout[3]:
                continue
            masks = layout if header >= 56 else layout[:3]
            rows = packed(layout, rgba[::-1]).astype("<u4").tobytes()
            yield File(
                f"32-{name}-{header}", bmp(rows, 32, header=header, compression=3, masks=masks)
            )
    for name, layout in LAYOUTS_16.items():
        for header in (40, 56, 108):
            if header < 56 and layout[3]:
                continue
            masks = layout if header >= 56 else layout[:3]
            rows = packed(layout, rgba[::-1]).astype("<u2").tobytes()
            yield File(
                f"16-{name}-{header}", bmp(rows, 16, header=header, compression=3, masks=masks)
            )
    argb = LAYOUTS_32["argb"]
    for header in (40, 56, 108, 124):
        rows = packed(argb, rgba[::-1]).astype("<u4").tobytes()
        yield File(f"32-plain-{header}", bmp(rows, 32, header=header))
    rows = packed(argb, rgba[::-1]).astype("<u4").tobytes()
    yield File("32-alphabitfields", bmp(rows, 32, compression=6, masks=argb))
    for opacity in (0, 255):
        even = np.dstack([RGB, np.full_like(GREY, opacity)])
        rows = packed(argb, even[::-1]).astype("<u4").tobytes()
        yield File(f"32-alpha-{opacity}", bmp(rows, 32, header=108, compression=3, masks=argb))
    rows = packed(argb, rgba).astype("<u4").tobytes()
    yield File("32-top-down", bmp(rows, 32, header=108, height=-64, compression=3, masks=argb))
    rows = packed(LAYOUTS_16["555"], RGB[::-1]).astype("<u2").tobytes()
    yield File("16-plain", bmp(rows, 16))
    odd = (
        np.pad(packed(LAYOUTS_16["565"], RGB[::-1, :95]), ((0, 0), (0, 1))).astype("<u2").tobytes()
    )
    yield File("16-odd", bmp(odd, 16, width=95, compression=3, masks=LAYOUTS_16["565"][:3]))
    yield from bmp_headers()
    yield from runs()


COLORS = ((220, 30, 30), (30, 180, 60), (40, 60, 220), (240, 220, 40))
PALETTE = bytes(value for color in COLORS for value in (*color[::-1], 0))
QUARTERS = np.kron(np.arange(4, dtype=np.uint8).reshape(2, 2), np.ones((32, 48), np.uint8))
"""(64, 96): indices of `COLORS`."""


def bmp_headers() -> Iterator[File]:
    """Every header, with rows from the bottom and from the top."""
    nibbles = QUARTERS[::-1, ::2] << 4 | QUARTERS[::-1, 1::2]
    bgr = RGB[..., ::-1]
    words = packed(LAYOUTS_16["555"], RGB[::-1]).astype("<u2").tobytes()
    argb = LAYOUTS_32["argb"]
    deep = packed(argb, np.dstack([RGB, ALPHA])[::-1]).astype("<u4").tobytes()
    for header in (40, 64, 108, 124):
        masks = argb if header >= 56 else ()
        yield File(f"8-{header}", bmp(QUARTERS[::-1].tobytes(), 8, header=header, palette=PALETTE))
        top_down = bmp(QUARTERS.tobytes(), 8, header=header, height=-64, palette=PALETTE)
        yield File(f"8-top-{header}", top_down)
        yield File(f"4-{header}", bmp(nibbles.tobytes(), 4, header=header, palette=PALETTE))
        yield File(f"24-{header}", bmp(bgr[::-1].tobytes(), 24, header=header))
        yield File(f"24-top-{header}", bmp(bgr.tobytes(), 24, header=header, height=-64))
        yield File(f"16-{header}", bmp(words, 16, header=header))
        yield File(f"32-masks-{header}", bmp(deep, 32, header=header, masks=masks))
    bits = np.packbits(QUARTERS[::-1] & 1, axis=1).tobytes()
    yield File("1-bit", bmp(bits, 1, palette=PALETTE[:8]))
    grey = bytes(value for level in (10, 90, 150, 250) for value in (level, level, level, 0))
    yield File("8-grey", bmp(QUARTERS[::-1].tobytes(), 8, palette=grey))


def runs() -> Iterator[File]:
    """Run-length coding: also early ends, skipped pixels, and runs beyond the row."""
    full, few = PALETTE.ljust(1024, b"\0"), PALETTE.ljust(64, b"\0")
    rows_8 = {
        "whole": b"\x30\2\x30\3\0\0" * 32 + b"\x30\0\x30\1\0\0" * 32,
        "early": b"\x30\2\x30\3\0\0" * 40,
        "short": b"\x30\2\0\0" * 64,
        "delta": b"\x30\2\0\2\x10\5\x20\1\0\0" + b"\x30\1\0\0" * 58,
        "literal": (b"\0\x30" + b"\1" * 48 + b"\x30\3\0\0") * 64,
        "literal-odd": (b"\0\x2f" + b"\1" * 47 + b"\0\x31\3\0\0") * 64,
        "one-line": b"\x30\2\x30\3" * 64,
        "beyond": b"\x80\2\0\0" * 64,
    }
    for name, rows in rows_8.items():
        yield File(f"rle8-{name}", bmp(rows + b"\0\1", 8, compression=1, palette=full))
    yield File("rle8-no-end", bmp(rows_8["whole"], 8, compression=1, palette=full))
    rows_4 = {
        "whole": b"\x30\x22\x30\x33\0\0" * 32 + b"\x30\x00\x30\x11\0\0" * 32,
        "literal": (b"\0\x30" + b"\x12" * 24 + b"\x30\x33\0\0") * 64,
        "literal-odd": (b"\0\x2d" + b"\x12" * 23 + b"\0\x33\x33\0\0") * 64,
    }
    for name, rows in rows_4.items():
        yield File(f"rle4-{name}", bmp(rows + b"\0\1", 4, compression=2, palette=few))


GENERATORS: dict[str, Callable[[], Iterator[File]]] = {
    "jpg": jpegs,
    "png": pngs,
    "gif": gifs,
    "webp": webps,
    "avif": avifs,
    "bmp": bmps,
}


def files() -> Iterator[File]:
    """Every generated file, with its extension in its name."""
    for extension, generate in GENERATORS.items():
        for name, data in generate():
            yield File(f"{name}.{extension}", data)
