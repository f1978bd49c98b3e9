"""Color profiles: followed if they fit, otherwise ignored, never fatal."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from thumbstream.images import icc, reduce_to_grid, thumbnail, to_srgb

Save = Callable[..., bytes]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile, ICC version 2, by hand: published profiles may not be copied."""
    table = struct.pack(">I", len(tags))
    body = b""
    offset = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249)
    content = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(content)) + content[4:]


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + s15(x) + s15(y) + s15(z)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


D50 = xyz(0.9642, 1.0, 0.8249)

TAGS = {
    # The primaries of sRGB, adapted to D50, with red and blue exchanged.
    b"rXYZ": xyz(0.1431, 0.0606, 0.7139),
    b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
    b"bXYZ": xyz(0.4361, 0.2225, 0.0139),
    b"rTRC": gamma(2.2),
    b"gTRC": gamma(2.2),
    b"bTRC": gamma(2.2),
    b"wtpt": D50,
}
SWAPPED = profile(b"RGB ", TAGS)

LINEAR_GREY = profile(b"GRAY", {b"kTRC": gamma(1.0), b"wtpt": D50})


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_rgb_profile_is_followed(
    quarters: Image.Image,
    save: Save,
    centres: Callable[..., list[list[int]]],
    near: Callable[..., bool],
    format_: str,
) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    found = centres(thumbnail(save(quarters, format_, icc_profile=SWAPPED, **options), 32).pixels)
    exchanged = [(40, 30, 220), (60, 180, 20), (200, 50, 30), (120, 120, 120)]
    assert near(found, exchanged, 10)


def test_grey_profile_is_followed(
    grey_quarters: Image.Image,
    save: Save,
    centres: Callable[..., list[list[int]]],
    near: Callable[..., bool],
) -> None:
    found = centres(thumbnail(save(grey_quarters, "PNG", icc_profile=LINEAR_GREY), 32).pixels)
    # sRGB's transfer curve of 80/255 and of 160/255.
    assert near(found, [(0,) * 3, (151,) * 3, (206,) * 3, (255,) * 3], 2)


def test_grey_under_an_rgb_profile(grey_quarters: Image.Image, save: Save) -> None:
    result = thumbnail(save(grey_quarters, "PNG", icc_profile=SWAPPED), 32).pixels.astype(int)
    assert np.ptp(result, axis=2).max() <= 1
    plain = thumbnail(save(grey_quarters, "PNG"), 32).pixels
    assert np.abs(result - plain).max() <= 8


def test_profile_of_a_reduced_jpeg_is_followed(
    photo_like: Callable[..., np.ndarray], save: Save
) -> None:
    data = save(Image.fromarray(photo_like(1024, 768)), "JPEG", quality=92, icc_profile=SWAPPED)
    drafted = thumbnail(data, 32).pixels
    whole = reduce_to_grid(Image.open(io.BytesIO(data)), 32).pixels
    assert np.abs(drafted.astype(int) - whole).mean() < 1


def test_cmyk_follows_its_profile(
    quarters: Image.Image, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A CMYK profile is too long to write by hand: check that the transform would be used.
    calls: list[tuple[bytes | None, str]] = []
    monkeypatch.setattr(to_srgb, "_transform", lambda icc, mode: calls.append((icc, mode)))
    thumbnail(save(quarters.convert("CMYK"), "TIFF", icc_profile=b"press"), 32)
    assert calls[0] == (b"press", "CMYK")


def test_srgb_changes_nothing(photo_like: Callable[..., np.ndarray], save: Save) -> None:
    picture = Image.fromarray(photo_like(200, 150))
    marked = thumbnail(save(picture, "PNG", icc_profile=SRGB), 64).pixels
    assert np.array_equal(marked, thumbnail(save(picture, "PNG"), 64).pixels)
    assert to_srgb._transform(SRGB, "RGB") is None
    assert to_srgb._transform(SWAPPED, "RGB") is not None


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"garbage",
        SWAPPED[:100],
        SWAPPED[:200],
        SWAPPED[:128] + b"\xff" * 400,
        LINEAR_GREY,
        SWAPPED.replace(b"RGB ", b"CMYK"),
        SWAPPED.replace(b"RGB ", b"Lab "),
        SWAPPED.replace(b"acsp", b"nope"),
        SWAPPED + bytes(icc.MAX_PROFILE_BYTES),
    ],
)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_unusable_profile_is_ignored(
    quarters: Image.Image, save: Save, broken: bytes, format_: str
) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    found = thumbnail(save(quarters, format_, icc_profile=broken, **options), 32).pixels
    assert np.array_equal(found, thumbnail(save(quarters, format_, **options), 32).pixels)


def test_mutated_profiles_are_never_fatal(quarters: Image.Image, rng: np.random.Generator) -> None:
    for source in (SWAPPED, LINEAR_GREY, SRGB):
        for _ in range(150):
            mutated = bytearray(source)
            for _ in range(int(rng.integers(1, 12))):
                mutated[int(rng.integers(len(mutated)))] = int(rng.integers(256))
            quarters.info["icc_profile"] = bytes(mutated)
            assert reduce_to_grid(quarters, 8).pixels.shape == (6, 8, 3)


def test_oversized_compressed_profile_is_ignored(quarters: Image.Image, save: Save) -> None:
    bomb = zlib.compress(bytes(200 << 20))
    plain = save(quarters, "PNG")
    data = b"bomb\0\0" + bomb
    chunk = (
        struct.pack(">I", len(data))
        + b"iCCP"
        + data
        + struct.pack(">I", zlib.crc32(b"iCCP" + data))
    )
    result = thumbnail(plain[:33] + chunk + plain[33:], 32)
    assert np.array_equal(result.pixels, thumbnail(plain, 32).pixels)


def test_profile_is_followed_with_alpha() -> None:
    """Colors equal those of the opaque picture; alpha is not converted."""
    picture = Image.new("RGB", (64, 64), (200, 60, 20))
    layered = picture.convert("RGBA")
    layered.putalpha(Image.linear_gradient("L").resize((64, 64)).point(lambda v: max(16, v)))
    picture.info["icc_profile"] = layered.info["icc_profile"] = SWAPPED
    expected = reduce_to_grid(picture, 32).pixels
    found = reduce_to_grid(layered, 32, alpha=True).pixels
    assert expected[0, 0, 2] > 150 > expected[0, 0, 0]
    weight = found[..., 3:] / 255
    assert np.abs((found[..., :3].astype(float) - expected) * weight).max() <= 2
    assert found[0, 0, 3] < 20 < 240 < found[-1, 0, 3]


# What a profile may hold.


def test_only_needed_tags_are_kept() -> None:
    more = profile(b"RGB ", TAGS | {b"desc": b"desc" + bytes(90), b"D2B0": b"mpet" + bytes(20)})
    trimmed = icc.trim_profile(more)
    assert trimmed is not None
    assert b"desc" not in trimmed[128 : 132 + 12 * 9]
    assert b"D2B0" not in trimmed[128 : 132 + 12 * 9]
    assert struct.unpack_from(">I", trimmed, 128) == (7,)
    picture = Image.new("RGB", (16, 16), (200, 90, 30))
    for content in (SWAPPED, more, trimmed):
        picture.info["icc_profile"] = content
        assert reduce_to_grid(picture, 8).pixels[0, 0].tolist() == [24, 90, 201]


def lut(kind: bytes, inputs: int, outputs: int, points: int, length: int) -> bytes:
    if kind in (b"mft1", b"mft2"):
        head = kind + bytes(4) + bytes([inputs, outputs, points, 0]) + bytes(36)
        head += struct.pack(">HH", 256, 256) if kind == b"mft2" else b""
        return head.ljust(length, b"\0")
    head = kind + bytes(4) + bytes([inputs, outputs, 0, 0]) + struct.pack(">5I", 0, 0, 0, 32, 0)
    return (head + bytes([points] * inputs).ljust(16, b"\0") + b"\1\0\0\0").ljust(length, b"\0")


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        (b"A2B0", b"mpet" + bytes(100)),
        (b"A2B0", lut(b"mft1", 3, 3, 33, 9999)),
        (b"A2B0", lut(b"mft2", 3, 3, 33, 200_000)),
        (b"A2B0", lut(b"mft2", 5, 3, 2, 200_000)),
        (b"A2B0", lut(b"mft1", 4, 3, 255, 200_000)),
        (b"A2B0", lut(b"mAB ", 3, 3, 255, 200_000)),
        (b"A2B0", lut(b"mAB ", 15, 3, 2, 200_000)),
        (b"A2B0", lut(b"mAB ", 3, 3, 2, 40)),
        (b"rTRC", b"curv" + bytes(4) + struct.pack(">I", 1000) + bytes(50)),
        (b"rTRC", b"curv"),
        (b"wtpt", b"text" + bytes(90)),
    ],
)
def test_tables_beyond_their_tag_cost_the_profile(tag: bytes, content: bytes) -> None:
    assert icc.trim_profile(profile(b"RGB ", TAGS | {tag: content})) is None


def test_tables_within_their_tag_are_kept() -> None:
    for content in (
        lut(b"mft1", 3, 3, 9, 9999),
        lut(b"mft2", 3, 3, 9, 9999),
        lut(b"mAB ", 3, 3, 9, 9999),
    ):
        assert icc.trim_profile(profile(b"RGB ", TAGS | {b"A2B0": content})) is not None


def test_tags_may_share_all_of_their_bytes_and_not_a_part() -> None:
    def moved(tag: bytes, offset: int) -> bytes:
        at = SWAPPED.index(tag) + 4
        return SWAPPED[:at] + struct.pack(">I", offset) + SWAPPED[at + 4 :]

    (first,) = struct.unpack_from(">I", SWAPPED, SWAPPED.index(b"rTRC") + 4)
    assert icc.trim_profile(moved(b"gTRC", first)) is not None
    assert icc.trim_profile(moved(b"gTRC", first + 4)) is None
    assert icc.trim_profile(moved(b"gTRC", 140)) is None
    assert icc.trim_profile(moved(b"gTRC", len(SWAPPED) - 4)) is None


def test_number_of_tags_is_limited() -> None:
    more = {b"%04d" % n: b"text" + bytes(8) for n in range(icc.MAX_TAGS)}
    assert icc.trim_profile(profile(b"RGB ", TAGS | more)) is None
    assert icc.trim_profile(profile(b"RGB ", TAGS | dict(list(more.items())[:80]))) is not None
    assert icc.trim_profile(b"") is None
    assert icc.trim_profile(SWAPPED[:131]) is None
