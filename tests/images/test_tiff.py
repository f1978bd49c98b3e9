"""TIFF: samples of every depth, byte order and compression; what its directory may hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from thumbstream.errors import InvalidImageError, TooManyPixelsError
from thumbstream.images import ImageLimits, reduce_to_grid, thumbnail

Centers = Callable[..., list[list[int]]]
Near = Callable[..., bool]

WIDTH, HEIGHT = 64, 48
LEFT, RIGHT = 62, 187
"""Levels of the halves of `HALVES`."""

HALVES = np.full((HEIGHT, WIDTH), LEFT / 255)
HALVES[:, WIDTH // 2 :] = RIGHT / 255

SHORT, LONG, RATIONAL, BYTE = 3, 4, 5, 1
FORMATS = {SHORT: "H", LONG: "I", RATIONAL: "II", BYTE: "B"}

Tag = tuple[int, int, Sequence[int]]


def tiff(tags: Sequence[Tag], data: bytes = b"", order: str = "<", big: bool = False) -> bytes:
    """A file of one directory; ``data`` begins at byte 16."""
    word, count_format, entry = ("Q", "Q", "HHQ") if big else ("I", "H", "HHI")
    start = 16 + len(data) + len(data) % 2
    values_at = start + struct.calcsize("=" + count_format) + len(tags) * (20 if big else 12)
    values_at += 8 if big else 4
    directory, values = struct.pack(order + count_format, len(tags)), b""
    for tag, kind, numbers in sorted(tags):
        value = struct.pack(f"{order}{len(numbers)}{FORMATS[kind][0]}", *numbers)
        count = len(numbers) // len(FORMATS[kind])
        if len(value) > struct.calcsize("=" + word):
            offset = values_at + len(values)
            values += value + bytes(len(value) % 2)
            value = struct.pack(order + word, offset)
        directory += struct.pack(order + entry, tag, kind, count)
        directory += value.ljust(struct.calcsize("=" + word), b"\0")
    directory += bytes(8 if big else 4)
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    return head.ljust(16, b"\0") + data + bytes(len(data) % 2) + directory + values


def grey(
    samples: NDArray[Any],
    bits: int,
    *,
    order: str = "<",
    kind: int = 1,
    white_is_zero: bool = False,
    compression: int = 1,
    predictor: int = 1,
    more: Sequence[Tag] = (),
    rows: int = HEIGHT,
) -> bytes:
    """Samples (H, W) of ``bits`` bits and SampleFormat ``kind``, in strips of ``rows`` rows."""
    strips = []
    for top in range(0, HEIGHT, rows):
        strip = encoded(samples[top : top + rows], bits, order, kind, predictor)
        strips.append(zlib.compress(strip) if compression == 8 else strip)
    offsets = np.cumsum([16] + [len(strip) for strip in strips])[:-1].tolist()
    tags: list[Tag] = [
        (256, SHORT, [WIDTH]),
        (257, SHORT, [HEIGHT]),
        (258, SHORT, [bits]),
        (259, SHORT, [compression]),
        (262, SHORT, [0 if white_is_zero else 1]),
        (273, LONG, offsets),
        (277, SHORT, [1]),
        (278, SHORT, [rows]),
        (279, LONG, [len(strip) for strip in strips]),
        (317, SHORT, [predictor]),
        (339, SHORT, [kind]),
        *more,
    ]
    return tiff(tags, b"".join(strips), order)


def encoded(samples: NDArray[Any], bits: int, order: str, kind: int, predictor: int) -> bytes:
    if bits in (8, 16, 32, 64):
        letter = {1: "u", 2: "i", 3: "f"}[kind]
        stored = samples.astype(f"{order}{letter}{bits // 8}")
        if predictor == 2:
            whole = stored.view(f"{order}u{bits // 8}").astype(f"=u{bits // 8}")
            whole[:, 1:] -= whole[:, :-1].copy()
            stored = whole.astype(f"{order}u{bits // 8}")
        if predictor == 3:
            planes = stored.astype(f">f{bits // 8}").view(np.uint8)
            planes = planes.reshape(len(samples), -1, bits // 8).transpose(0, 2, 1)
            rows = np.ascontiguousarray(planes).reshape(len(samples), -1)
            rows[:, 1:] -= rows[:, :-1].copy()
            return rows.tobytes()
        return stored.tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    packed = samples.astype(np.uint64)[..., None] >> shifts.astype(np.uint64) & np.uint64(1)
    return np.packbits(packed.astype(np.uint8).reshape(len(samples), -1), axis=1).tobytes()


def halves(data: bytes) -> list[int]:
    pixels = thumbnail(data, 32).pixels
    assert pixels.shape == (24, 32, 3)
    assert (np.ptp(pixels, axis=-1) == 0).all()
    return [int(pixels[12, 8, 0]), int(pixels[12, 24, 0])]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10, 12, 14, 16, 24, 32])
def test_grey_of_every_depth(bits: int, compression: int, order: str) -> None:
    top = 2**bits - 1
    samples = np.rint(HALVES * top)
    expected = [round(np.rint(v / 255 * top) / top * 255) for v in (LEFT, RIGHT)]
    for white_is_zero in (False, True):
        stored = top - samples if white_is_zero else samples
        data = grey(
            stored, bits, order=order, compression=compression, white_is_zero=white_is_zero, rows=20
        )
        assert np.abs(np.subtract(halves(data), expected)).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_floating_point_of_every_width(bits: int, compression: int, order: str) -> None:
    options: dict[str, Any] = {"kind": 3, "order": order, "compression": compression}
    assert np.abs(np.subtract(halves(grey(HALVES, bits, **options)), [LEFT, RIGHT])).max() <= 1
    data = grey(1 - HALVES, bits, white_is_zero=True, **options)
    assert np.abs(np.subtract(halves(data), [LEFT, RIGHT])).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("bits", "kind", "predictor"), [(16, 1, 2), (32, 1, 2), (32, 3, 2), (32, 3, 3), (64, 3, 3)]
)
def test_predictors(bits: int, kind: int, predictor: int, order: str) -> None:
    samples = HALVES if kind == 3 else np.rint(HALVES * (2**bits - 1))
    options: dict[str, Any] = {"kind": kind, "order": order, "predictor": predictor}
    found = halves(grey(samples, bits, compression=8, **options))
    assert np.abs(np.subtract(found, [LEFT, RIGHT])).max() <= 1


@pytest.mark.parametrize("order", "<>")
def test_signed_integers_are_stretched(order: str) -> None:
    for bits in (16, 32):
        samples = np.where(HALVES < 0.5, -20_000, 20_000)
        assert halves(grey(samples, bits, kind=2, order=order)) == [0, 255]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("bits", "kind"), [(16, 1), (32, 1), (32, 3)])
def test_color_and_alpha_of_deep_samples(bits: int, kind: int, order: str, near: Near) -> None:
    top = 1 if kind == 3 else 2**bits - 1
    color = np.array([220, 30, 60, 128]) / 255 * top
    for channels in (3, 4):
        samples = np.broadcast_to(color[:channels], (HEIGHT, WIDTH, channels))
        letter = "f" if kind == 3 else "u"
        body = samples.astype(f"{order}{letter}{bits // 8}").tobytes()
        tags: list[Tag] = [
            (256, SHORT, [WIDTH]),
            (257, SHORT, [HEIGHT]),
            (258, SHORT, [bits] * channels),
            (262, SHORT, [2]),
            (273, LONG, [16]),
            (277, SHORT, [channels]),
            (278, SHORT, [HEIGHT]),
            (279, LONG, [len(body)]),
            (339, SHORT, [kind] * channels),
        ]
        if channels == 4:
            tags.append((338, SHORT, [2]))
        pixels = thumbnail(tiff(tags, body, order), 32, alpha=True).pixels
        assert pixels.shape == (24, 32, channels)
        assert near(pixels[5, 5], [220, 30, 60, 128][:channels], 1)


PIXEL = {"rgb": [0, 1, 2], "rgba": [0, 1, 2, 3], "grey": [0], "grey-alpha": [0, 3]}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("kind", PIXEL)
@pytest.mark.parametrize(("bits", "form"), [(4, 1), (8, 1), (12, 1), (16, 1), (32, 1), (32, 3)])
def test_planes_and_every_kind_of_alpha(
    kind: str, extra: int, compression: int, order: str, bits: int, form: int, near: Near
) -> None:
    top = 1 if form == 3 else 2**bits - 1
    channels = PIXEL[kind]
    pixel = np.array([220, 30, 60, 128])[channels] / 255
    if form == 1:
        pixel = np.rint(pixel * top)
    shown = pixel / top * 255
    has_alpha = channels[-1] == 3
    if has_alpha and extra == 1:  # premultiplied
        shown[:-1] = np.minimum(shown[:-1] * 255 / shown[-1], 255)
    if has_alpha and extra == 0:
        shown = shown[:-1]
    if len(shown) < 3:
        shown = np.concatenate([shown[:1]] * 3 + [shown[1:]])
    samples = np.broadcast_to(pixel, (HEIGHT, WIDTH, len(channels)))
    for planes in (1, 2):
        chunky = [samples.reshape(HEIGHT, -1)]
        parts = chunky if planes == 1 else [samples[..., c] for c in range(len(channels))]
        strips = [encoded(part, bits, order, form, 1) for part in parts]
        strips = [zlib.compress(strip) for strip in strips] if compression == 8 else strips
        tags: list[Tag] = [
            (256, SHORT, [WIDTH]),
            (257, SHORT, [HEIGHT]),
            (258, SHORT, [bits] * len(channels)),
            (259, SHORT, [compression]),
            (262, SHORT, [1 if "grey" in kind else 2]),
            (273, LONG, np.cumsum([16] + [len(strip) for strip in strips])[:-1].tolist()),
            (277, SHORT, [len(channels)]),
            (278, SHORT, [HEIGHT]),
            (279, LONG, [len(strip) for strip in strips]),
            (284, SHORT, [planes]),
            (339, SHORT, [form] * len(channels)),
        ]
        if has_alpha:
            tags.append((338, SHORT, [extra]))
        found = thumbnail(tiff(tags, b"".join(strips), order), 32, alpha=True).pixels[5, 5]
        assert near(found, np.rint(shown), 2)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("scale", [1, 257])
@pytest.mark.parametrize("bits", [4, 8])
def test_color_map_of_8_and_16_bits(bits: int, scale: int, order: str) -> None:
    size = 1 << bits
    colors = np.zeros((3, size), int)
    colors[:, 1], colors[:, 2] = (220, 30, 60), (10, 200, 250)
    samples = np.where(HALVES < 0.5, 1, 2)
    body = encoded(samples, bits, order, 1, 1)
    tags: list[Tag] = [
        (256, SHORT, [WIDTH]),
        (257, SHORT, [HEIGHT]),
        (258, SHORT, [bits]),
        (262, SHORT, [3]),
        (273, LONG, [16]),
        (278, SHORT, [HEIGHT]),
        (279, LONG, [len(body)]),
        (320, SHORT, (scale * colors).ravel().tolist()),
    ]
    pixels = thumbnail(tiff(tags, body, order), 32).pixels
    assert pixels[12, 8].tolist() == [220, 30, 60]
    assert pixels[12, 24].tolist() == [10, 200, 250]


@pytest.mark.parametrize(("bits", "white_is_zero"), [(12, False), (16, False), (16, True)])
def test_opened_by_pillow(bits: int, white_is_zero: bool) -> None:
    samples = np.rint(HALVES * (2**bits - 1))
    stored = 2**bits - 1 - samples if white_is_zero else samples
    data = grey(stored, bits, white_is_zero=white_is_zero)
    with Image.open(io.BytesIO(data)) as image:
        pixels = reduce_to_grid(image, 32).pixels
    assert np.array_equal(pixels, thumbnail(data, 32).pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_orientation(orientation: int, deep: bool) -> None:
    data = grey(
        np.rint(HALVES * (65535 if deep else 255)),
        16 if deep else 8,
        white_is_zero=deep,
        more=[(274, SHORT, [orientation])],
    )
    found = thumbnail(data, 32)
    assert (found.width, found.height) == ((64, 48) if orientation < 5 else (48, 64))


def rgb(more: Sequence[Tag] = (), *, big: bool = False, order: str = "<", **changed: Any) -> bytes:
    body = changed.pop("body", bytes(range(256)) * 36)
    tags: dict[int, Tag] = {
        256: (256, SHORT, [WIDTH]),
        257: (257, SHORT, [HEIGHT]),
        258: (258, SHORT, [8, 8, 8]),
        262: (262, SHORT, [2]),
        273: (273, LONG, [16]),
        277: (277, SHORT, [3]),
        278: (278, SHORT, [HEIGHT]),
        279: (279, LONG, [len(body)]),
    }
    tags |= {tag[0]: tag for tag in more}
    return tiff([tag for tag in tags.values() if tag[2]], body, order, big)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tags_that_are_not_needed_change_nothing(big: bool, order: str) -> None:
    plain = thumbnail(rgb(), 32).pixels
    more: list[Tag] = [
        (700, BYTE, [60] * 500),
        (34665, LONG, [8]),
        (33432, BYTE, [65] * 30),
        (50000, RATIONAL, [1, 2] * 5000),
    ]
    assert np.array_equal(thumbnail(rgb(more, big=big, order=order), 32).pixels, plain)


def test_arrays_of_millions_are_refused_or_ignored() -> None:
    plain = thumbnail(rgb(), 32).pixels
    data = rgb([(274, RATIONAL, [1, 1] * 400_000)])
    assert np.array_equal(thumbnail(data, 32).pixels, plain)
    with pytest.raises(InvalidImageError, match=r"tag 273 .* 400000 values"):
        thumbnail(rgb([(273, LONG, [16] * 400_000)]), 32)
    with pytest.raises(InvalidImageError, match="more than 1000 tags"):
        thumbnail(rgb([(60_000 - n, SHORT, [1]) for n in range(2000)]), 32)


def test_strips_that_share_their_bytes_are_refused() -> None:
    strip = zlib.compress(bytes(WIDTH * 3))
    more: list[Tag] = [
        (259, SHORT, [8]),
        (278, SHORT, [1]),
        (273, LONG, [16] * HEIGHT),
        (279, LONG, [len(strip)] * HEIGHT),
    ]
    with pytest.raises(InvalidImageError, match="share"):
        thumbnail(rgb(more, body=strip), 32)


def tiles(width: int, height: int, side: tuple[int, int]) -> bytes:
    return tiff(
        [
            (256, LONG, [width]),
            (257, LONG, [height]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [8]),
            (262, SHORT, [2]),
            (277, SHORT, [3]),
            (322, LONG, [side[0]]),
            (323, LONG, [side[1]]),
            (324, LONG, [16]),
            (325, LONG, [8]),
        ],
        bytes(16),
    )


def test_tiles_far_larger_than_the_picture_are_refused() -> None:
    with pytest.raises(InvalidImageError, match="far larger"):
        thumbnail(tiles(30_000, 1600, (16, 30_000)), 32)
    with pytest.raises(TooManyPixelsError):
        thumbnail(tiles(10, 10, (20_000, 20_000)), 32)
    with pytest.raises(InvalidImageError, match="more than 65536"):
        thumbnail(tiles(20_000, 2000, (16, 16)), 32)
    with pytest.raises(InvalidImageError, match="no size"):
        thumbnail(tiles(10, 10, (0, 16)), 32)


@pytest.mark.parametrize("compression", [9, 34676, 34712, 50001, 50002])
def test_other_compressions_are_refused(compression: int) -> None:
    with pytest.raises(InvalidImageError, match=f"compression {compression}"):
        thumbnail(rgb([(259, SHORT, [compression])]), 32)


def test_libtiff_prints_nothing(
    capfd: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    for compression in (3, 5, 7, 8, 32773, 34925, 50000):
        body = rng.bytes(3000)
        data = rgb([(259, SHORT, [compression])], body=body)
        with pytest.raises(InvalidImageError):
            thumbnail(data, 32)
    assert capfd.readouterr() == ("", "")


def test_scans_of_jpeg_in_tiff_are_counted() -> None:
    out = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(out, "JPEG")
    jpeg = out.getvalue()
    scan = jpeg.index(b"\xff\xda")
    repeated = jpeg[:scan] + jpeg[scan:-2] * 50 + jpeg[-2:]
    more: list[Tag] = [(259, SHORT, [7]), (262, SHORT, [6])]
    with pytest.raises(InvalidImageError, match="scans"):
        thumbnail(rgb(more, body=repeated), 32)
    assert thumbnail(rgb(more, body=jpeg), 32).pixels.shape == (24, 32, 3)


def test_pictures_above_the_limit_of_pillow_warn_of_nothing(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    thumbnail(rgb(), 32, ImageLimits(max_pixels=10_000))
    assert not recwarn.list


@pytest.mark.parametrize("samples", [0, 7, 65_535])
def test_number_of_samples_is_limited(samples: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidImageError, match=f"{samples} samples"):
        thumbnail(rgb([(277, SHORT, [samples])]), 32)
    assert not caplog.records


def test_cut_directory_is_refused() -> None:
    with pytest.raises(InvalidImageError):
        thumbnail(b"II*\0", 32)
    with pytest.raises(InvalidImageError):
        thumbnail(b"MM\0*\xff\xff\xff\xff", 32)
