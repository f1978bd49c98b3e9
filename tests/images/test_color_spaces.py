"""Color spaces without an ICC profile: CICP in PNG and AVIF, gamma and chromaticities in PNG.

The expected values are what Chromium draws; `compare_chromium` compares many more.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import picture_files as files
import pytest
from numpy.typing import NDArray
from PIL import Image

from thumbstream.images import color_space, reduce_to_grid, thumbnail
from thumbstream.images.formats import av1, isobmff

Centers = Callable[..., list[list[int]]]
Near = Callable[..., bool]
Colors = tuple[tuple[int, int, int], ...]

PLAIN: Colors = ((220, 30, 30), (30, 180, 60), (40, 60, 220), (240, 220, 40))
LINEAR: Colors = ((239, 96, 96), (96, 219, 133), (110, 133, 239), (248, 239, 110))

QUARTERS = np.kron(np.array(PLAIN, np.uint8).reshape(2, 2, 3), np.ones((32, 48, 1), np.uint8))
"""(64, 96, 3)."""

PNG_CICP: dict[tuple[int, int], Colors] = {
    (1, 13): PLAIN,
    (2, 2): PLAIN,
    (2, 13): PLAIN,
    (1, 8): LINEAR,
    (12, 13): ((240, 0, 0), (0, 183, 31), (34, 61, 229), (244, 219, 0)),
    (6, 13): ((214, 44, 28), (53, 177, 59), (48, 67, 221), (238, 219, 35)),
    (9, 14): ((255, 0, 0), (0, 186, 0), (0, 46, 229), (255, 216, 0)),
    (1, 4): ((221, 24, 24), (24, 181, 57), (35, 57, 221), (240, 221, 35)),
    (1, 5): ((212, 8, 8), (8, 165, 36), (17, 36, 212), (237, 212, 17)),
    (9, 16): ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 174, 0)),
    (1, 16): ((255, 1, 1), (2, 248, 18), (2, 6, 255), (255, 206, 1)),
    (12, 16): ((255, 0, 0), (0, 251, 0), (1, 5, 255), (255, 195, 0)),
    (9, 18): ((255, 0, 0), (0, 170, 0), (0, 38, 212), (255, 194, 0)),
}
AVIF_CICP: dict[tuple[int, int], Colors] = {
    (1, 13): PLAIN,
    (1, 1): PLAIN,
    (2, 2): PLAIN,
    (1, 6): PLAIN,
    (1, 8): LINEAR,
    (12, 13): ((241, 0, 0), (0, 183, 28), (30, 62, 228), (244, 220, 0)),
    (9, 14): ((255, 0, 0), (0, 190, 9), (0, 60, 230), (255, 219, 0)),
    (9, 16): ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 178, 0)),
    (9, 18): ((255, 0, 0), (0, 170, 0), (0, 40, 211), (255, 197, 0)),
}
GAMMA: dict[tuple[float, bytes], Colors] = {
    (1.0, b""): LINEAR,
    (0.55, b""): ((227, 39, 39), (39, 193, 76), (52, 76, 227), (243, 227, 52)),
    (0.45455, b""): PLAIN,
    (1.0, files.CHRM_P3): ((255, 83, 90), (0, 222, 124), (104, 134, 247), (250, 239, 83)),
    (0.45455, files.CHRM_2020): ((255, 0, 0), (0, 192, 0), (0, 55, 232), (255, 219, 0)),
}


def cicp(*fields: int) -> bytes:
    return files.chunk(b"cICP", bytes(fields))


@pytest.mark.parametrize(("primaries", "transfer"), PNG_CICP)
def test_cicp_of_png(centres: Centers, near: Near, primaries: int, transfer: int) -> None:
    data = files.png(QUARTERS, 8, 2, cicp(primaries, transfer, 0, 1))
    assert near(centres(thumbnail(data, 32).pixels), PNG_CICP[primaries, transfer], 2)


@pytest.mark.parametrize(("primaries", "transfer"), AVIF_CICP)
def test_cicp_of_avif(centres: Centers, near: Near, primaries: int, transfer: int) -> None:
    data = files.with_nclx(files.avif(QUARTERS, quality=100), primaries, transfer)
    assert near(centres(thumbnail(data, 32).pixels), AVIF_CICP[primaries, transfer], 3)


@pytest.mark.parametrize(("primaries", "transfer"), AVIF_CICP)
def test_cicp_in_the_header_of_av1_alone(
    centres: Centers, near: Near, primaries: int, transfer: int
) -> None:
    plain = files.avif(QUARTERS, quality=100)
    data = files.without_nclx(plain, primaries, transfer)
    assert near(centres(thumbnail(data, 32).pixels), AVIF_CICP[primaries, transfer], 3)
    unspecified = files.with_nclx(data.replace(b"freenclx", b"colrnclx"), 2, 2)
    assert near(centres(thumbnail(unspecified, 32).pixels), PLAIN, 3)


def test_damaged_header_of_av1_declares_nothing() -> None:
    stream = isobmff.primary_data(files.avif())
    assert av1.color_codes(stream) == (1, 13)
    for end in range(10):
        assert av1.color_codes(stream[:end]) is None
    assert av1.color_codes(bytes(100)) is None
    assert av1.color_codes(b"\x0a\xff\xff\xff\xff") is None
    rng = np.random.default_rng(3)
    for _ in range(2000):
        av1.color_codes(b"\x0a\x20" + rng.bytes(32))


@pytest.mark.parametrize("transfer", [13, 16])
def test_avif_of_10_bits(centres: Centers, near: Near, transfer: int) -> None:
    data = files.with_nclx(files.TEN_BIT_AVIF, 9 if transfer == 16 else 1, transfer)
    expected = AVIF_CICP[9, 16] if transfer == 16 else PLAIN
    assert near(centres(thumbnail(data, 32).pixels), expected, 4)


@pytest.mark.parametrize(("gamma", "chromaticities"), GAMMA)
def test_gamma_of_png(centres: Centers, near: Near, gamma: float, chromaticities: bytes) -> None:
    data = files.png(QUARTERS, 8, 2, files.gama(gamma), chromaticities)
    assert near(centres(thumbnail(data, 32).pixels), GAMMA[gamma, chromaticities], 2)


def test_gamma_of_an_opened_png(centres: Centers, near: Near) -> None:
    data = files.png(QUARTERS, 8, 2, files.gama(1.0))
    with Image.open(io.BytesIO(data)) as image:
        assert near(centres(reduce_to_grid(image, 32).pixels), LINEAR, 2)


@pytest.mark.parametrize(
    "chunks",
    [
        (files.CHRM_P3,),
        (files.chunk(b"sRGB", b"\0"), files.gama(1.0)),
        (files.chunk(b"gAMA", bytes(4)),),
        (files.chunk(b"gAMA", b"\0\1"),),
        (cicp(1, 13, 0, 1), files.gama(1.0)),
        (cicp(77, 13, 0, 1),),
        (cicp(1, 77, 0, 1),),
        (cicp(9, 16),),
    ],
)
def test_color_chunks_that_change_nothing(
    centres: Centers, near: Near, chunks: tuple[bytes, ...]
) -> None:
    data = files.png(QUARTERS, 8, 2, *chunks)
    assert near(centres(thumbnail(data, 32).pixels), PLAIN, 1)


def test_cicp_before_icc_before_gamma(centres: Centers, near: Near) -> None:
    icc = files.chunk(b"iCCP", b"p\0\0" + zlib.compress(files.PROFILES["709-1.0"]))
    data = files.png(QUARTERS, 8, 2, files.gama(0.2), icc)
    assert near(centres(thumbnail(data, 32).pixels), LINEAR, 2)
    data = files.png(QUARTERS, 8, 2, icc, cicp(1, 13, 0, 1))
    assert near(centres(thumbnail(data, 32).pixels), PLAIN, 1)


@pytest.mark.parametrize("kind", [0, 4, 6])
def test_hdr_in_every_kind_of_png(kind: int) -> None:
    grey = np.full((16, 16, 1), 148, np.uint8)  # 203 cd/m2: half of the linear range
    samples = np.concatenate([grey] * (3 if kind == 6 else 1), axis=-1)
    if kind:
        samples = np.concatenate([samples, np.full_like(grey, 128)], axis=-1)
    data = files.png(samples, 8, kind, cicp(9, 16, 0, 1))
    pixels = thumbnail(data, 8, alpha=True).pixels
    assert abs(pixels[..., :3].astype(int) - 188).max() <= 2
    if kind:
        assert abs(pixels[..., 3].astype(int) - 128).max() <= 1


PQ_LEVELS = (96, 112, 128, 144, 160, 176, 192, 208, 224, 240)
PQ_OF_PEAK = {
    400: (88, 121, 163, 214, 249, 255, 255, 255, 255, 255),
    1000: (70, 98, 132, 175, 213, 237, 255, 255, 255, 255),
    2000: (70, 98, 132, 175, 207, 223, 238, 252, 255, 255),
    4000: (70, 98, 132, 175, 202, 214, 226, 238, 250, 255),
}


def levels_of(data: bytes) -> NDArray[np.int64]:
    pixels = thumbnail(data, 80).pixels.astype(int)
    assert (np.ptp(pixels, axis=-1) <= 1).all()
    return pixels[4, 4::8, 0]


@pytest.mark.parametrize("peak", PQ_OF_PEAK)
def test_peak_of_hdr(peak: int) -> None:
    samples = np.repeat(np.array(PQ_LEVELS, np.uint8), 8)[None, :, None].repeat(8, 0).repeat(3, 2)
    light = struct.pack(">II", peak * 10_000, 400 * 10_000)
    display = bytes(16) + struct.pack(">II", peak * 10_000, 50)
    hdr = cicp(9, 16, 0, 1)
    for chunks in (
        (hdr, files.chunk(b"cLLI", light)),
        (hdr, files.chunk(b"mDCV", display)),
        (hdr, files.chunk(b"mDCV", bytes(24)), files.chunk(b"cLLI", light)),
    ):
        found = levels_of(files.png(samples, 8, 2, *chunks))
        assert np.abs(found - PQ_OF_PEAK[peak]).max() <= 2
    plain = files.with_nclx(files.avif(samples, quality=100), 9, 16)
    found = levels_of(files.with_property(plain, b"clli", struct.pack(">HH", peak, 400)))
    assert np.abs(found - PQ_OF_PEAK[peak]).max() <= 6
    found = levels_of(files.with_property(plain, b"mdcv", display))
    assert np.abs(found - PQ_OF_PEAK[1000]).max() <= 6
    found = levels_of(files.png(samples, 8, 2, hdr))
    assert np.abs(found - PQ_OF_PEAK[1000]).max() <= 2


@pytest.mark.parametrize("transfer", [13, 16, 18])
def test_code_points_in_a_profile_are_followed(transfer: int) -> None:
    samples = np.repeat(np.array(PQ_LEVELS, np.uint8), 8)[None, :, None].repeat(8, 0).repeat(3, 2)
    tag = b"cicp" + bytes(4) + bytes([12, transfer, 0, 1])
    icc = files.profile(2.2, wide=True, more={b"cicp": tag})
    found = levels_of(files.png(samples, 8, 2, files.chunk(b"iCCP", b"p\0\0" + zlib.compress(icc))))
    expected = levels_of(files.png(samples, 8, 2, cicp(12, transfer, 0, 1)))
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("space", [(p, t) for p in color_space.PRIMARIES for t in (8, 13, 16, 18)])
def test_white_stays_neutral_and_black_black(space: tuple[int, int]) -> None:
    found = color_space.from_cicp(*space, video_is_srgb=False)
    assert found is not None
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    grey = color_space.to_srgb(np.stack([levels] * 3, axis=-1)[None], found)[0].astype(int)
    assert (np.ptp(grey, axis=-1) <= 2).all()
    assert grey[0].max() == 0
    assert grey[-1].min() >= 253
    assert (np.diff(grey[:, 1]) >= 0).all()


def test_chromaticities_on_one_line_are_ignored() -> None:
    points = files.chrm(0.3127, 0.329, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
    data = files.png(QUARTERS, 8, 2, files.gama(0.5), points)
    assert thumbnail(data, 32).pixels.shape == (21, 32, 3)
