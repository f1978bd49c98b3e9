"""The payload of each codec, checked against its files."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from blurhash_rs import blurhash_decode
from numpy.typing import NDArray
from PIL import Image

from thumbstream_models.evaluate import metrics
from thumbstream_models.evaluate.baselines import (
    BASELINES,
    avif,
    blurhash,
    jpeg,
    jpeg2000,
    jpegxl,
    thumbhash,
    webp,
)

BUDGETS = (32, 64, 128, 256)
LIMIT = max(BUDGETS)


def picture(seed: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Smooth shapes with a little noise."""
    rng = np.random.default_rng(seed)
    shapes = Image.fromarray(rng.integers(40, 216, (4, 4, 3), np.uint8))
    smooth = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return np.asarray((smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255), np.uint8)


def save(pixels: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(32, 32), (16, 32), (32, 20), (7, 32), (32, 1)])
def test_codings_are_pictures_within_the_limit(name: str, shape: tuple[int, int]) -> None:
    pixels = picture(1, *shape)
    codings = list(BASELINES[name].codings(pixels, BUDGETS))
    assert codings
    for coding in codings:
        assert coding.pixels.shape == pixels.shape
        assert coding.pixels.dtype == np.uint8
        assert 0 < coding.payload <= min(LIMIT, coding.file)


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000", "webp", "avif", "jpegxl"])
def test_more_bytes_increase_quality(name: str) -> None:
    pixels = picture(2)
    codings = list(BASELINES[name].codings(pixels, BUDGETS))
    best = [
        max(float(metrics.ssim(pixels, c.pixels)) for c in codings if c.payload <= budget)
        for budget in (128, 256)
    ]
    assert 0.3 < best[0] < best[1]


def test_jpeg_payload_excludes_constant_headers() -> None:
    free = set()
    for quality in (5, 30, 60, 90):
        data = save(picture(3), "JPEG", quality=quality, subsampling="4:4:4")
        free.add(len(data) - jpeg.Jpeg().payload(data, {"optimize": False}))
    assert len(free) == 1
    # SOI, JFIF, two DQT, SOF, four DHT, SOS, EOI as the standard lays them out.
    assert free == {2 + 18 + 2 * 69 + 19 + 2 * 33 + 2 * 183 + 14 + 2}


def test_jpeg_payload_includes_optimized_tables() -> None:
    data = save(picture(3), "JPEG", quality=50, optimize=True)
    parts = list(jpeg.segments(data))
    tables = sum(len(body) for marker, body in parts if marker == 0xC4)
    scan = sum(len(body) for marker, body in parts if marker == 0xDA)
    assert tables >= 4 * 17
    assert jpeg.Jpeg().payload(data, {"optimize": True}) == tables + scan
    assert jpeg.Jpeg().payload(data, {"optimize": False}) == scan


def test_jpeg2000_payload_excludes_constant_headers() -> None:
    options = {"no_jp2": True, "irreversible": True, "mct": 1, "num_resolutions": 4}
    free = set()
    for rate in (8, 16, 30):
        data = save(picture(4), "JPEG2000", quality_layers=[rate], **options)
        assert data[-2:] == b"\xff\xd9"
        free.add(len(data) - jpeg2000.packet_bytes(data))
    assert len(free) == 1


def test_jpeg2000_packets_start_after_the_sod_marker() -> None:
    data = save(picture(4), "JPEG2000", no_jp2=True, quality_layers=[16])
    packets = jpeg2000.packet_bytes(data)
    assert data[-packets - 4 : -packets - 2] == b"\xff\x93"


def test_webp_payload_is_the_frame() -> None:
    for quality in (0, 40, 95):
        setting = {"quality": quality, "sns_strength": 0, "filter_strength": 60}
        data = webp.WebP().encode(picture(5), setting)
        free = len(data) - webp.WebP().payload(data, {})
        assert free - (12 + 8 + 10) in (0, 1)  # RIFF, chunk header, frame start; padding
        assert webp.chunk(data, b"VP8 ")[3:6] == b"\x9d\x01\x2a"


def test_one_segment_makes_webp_smaller() -> None:
    setting = {"quality": 5, "sns_strength": 50, "filter_strength": 60}
    ours = webp.WebP().encode(picture(5), setting)
    assert len(ours) < len(save(picture(5), "WEBP", quality=5, method=6))


def test_every_avif_quantizer_has_a_quality() -> None:
    settings = list(next(avif.Avif().series(picture(6), 64)))
    # libavif: quantizer = ((100 - quality) * 63 + 50) / 100, rounded down
    quantizers = [((100 - setting["quality"]) * 63 + 50) // 100 for setting in settings]
    assert quantizers == list(range(63, -1, -1))


@pytest.mark.parametrize(("shape", "header"), [((32, 32), 4), ((16, 32), 4), ((21, 32), 6)])
def test_jpeg_xl_payload_is_the_frame(shape: tuple[int, int], header: int) -> None:
    for distance in (1.0, 8.0, 25.0):
        data = jpegxl.JpegXl().encode(picture(9, *shape), {"effort": 7, "distance": distance})
        assert data[:2] == b"\xff\x0a"
        assert jpegxl.header_bytes(data) == header
        assert jpegxl.JpegXl().payload(data, {}) == len(data) - header
        assert jpegxl.JpegXl().decode(data).shape == (*shape, 3)


def test_rejects_jpeg_xl_with_other_metadata() -> None:
    # Square, 8 * (3 + 1) pixels a side, and a zero where default metadata have a one.
    with pytest.raises(ValueError, match="metadata"):
        jpegxl.header_bytes(bytes.fromhex("ff0a 4704 0000"))


def test_avif_payload_is_the_frame() -> None:
    data = save(picture(6), "AVIF", quality=50, speed=8)
    av1 = avif.box(data, b"mdat")
    assert len(av1) > avif.frame_bytes(av1) > len(av1) - 24
    # Temporal delimiter (free), sequence header of 2 bytes (free), frame of 3 bytes (charged).
    assert avif.frame_bytes(bytes.fromhex("1200 0a02ffff 3203aabbcc")) == 3
    # An OBU extension byte, and a length in two bytes of base 128.
    assert avif.frame_bytes(bytes.fromhex("3600 8101") + bytes(129)) == 129


def hashed() -> Iterator[tuple[NDArray[np.uint8], str]]:
    y, x = np.mgrid[0:24, 0:32]
    wide = np.stack([x * x * 3 + y * 7, x * 11 + y * y, x * y * 5 + 17], -1).astype(np.uint8)
    yield wide, "1e08060d8402526240515763a33886672f6b5d7fc3"
    yield wide.transpose(1, 0, 2), "1e08060d0430734266063128a5752865db6f725cf3"


def test_thumbhash_matches_other_implementations() -> None:
    # Made with thumbhash-python 1.0.1.
    for pixels, expected in hashed():
        assert thumbhash.encode(pixels).hex() == expected


@pytest.mark.parametrize("shape", [(32, 32), (32, 12), (9, 32)])
def test_thumbhash_decodes_to_a_blurred_copy(shape: tuple[int, int]) -> None:
    pixels = picture(7, *shape)
    decoded = thumbhash.decode(thumbhash.encode(pixels), *shape)
    assert np.abs(decoded.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 12
    assert float(metrics.psnr(pixels, decoded)) > 17


def test_thumbhash_of_a_square_is_24_bytes() -> None:
    assert len(thumbhash.encode(picture(8))) == 24


def test_thumbhash_of_a_flat_picture() -> None:
    plain = np.full((32, 32, 3), 77, np.uint8)
    decoded = thumbhash.decode(thumbhash.encode(plain), 32, 32)
    assert np.abs(decoded.astype(int) - 77).max() <= 4


# From blurhash-python 1.2.2, another implementation, of the wide picture above.
BLURHASHES = {
    (1, 1): "00HB[0",
    (4, 3): "LDHB[0OQHbKaROEeHvNHiIVuU$yP",
    (9, 9): (
        "|DHB[0OQHbKaGPIqF=O%RPROEeHvNHGSR7t2#prsiIVuU$yPb[rKtRw]nVXxZ,v%Pyi{n7O?wOWDXwRR"
        "t}Tvmur@TbnTaO-ztMOmZERDt7t6RRWAZhV]hrcCP7tPt1n5o@.4nRcnTtRnb@R7r^t2NDocRVZqoym:"
        "aKotog"
    ),
    (2, 7): "t6HB[0F,Mc0{hyQ;YCU~T*Mz^?y5UvM#",
}


def test_blurhash_matches_another_implementation() -> None:
    wide, _ = next(hashed())
    codings = list(blurhash.BlurHash().codings(wide, [512]))
    assert len(codings) == blurhash.MAX_COMPONENTS**2
    for (across, down), text in BLURHASHES.items():
        coding = codings[(across - 1) * blurhash.MAX_COMPONENTS + down - 1]
        expected = blurhash_decode(text, wide.shape[1], wide.shape[0])
        assert (coding.payload, coding.file) == (len(text) - 1, len(text))
        np.testing.assert_array_equal(coding.pixels, np.asarray(expected))


def test_blurhash_of_one_component_is_the_mean() -> None:
    plain = np.full((32, 32, 3), (10, 120, 240), np.uint8)
    first = next(blurhash.BlurHash().codings(plain, [512]))
    assert first.file == 6
    assert np.abs(first.pixels.astype(int) - plain).max() <= 1
