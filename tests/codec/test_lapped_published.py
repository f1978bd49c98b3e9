"""Published weights of the lapped family: quality, prefixes, transparency, effort."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from codec_pictures import PICTURES, Pixels, cut_out, photo_like, real_pictures
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped.codec import LappedCodec
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.quality import psnr, ssim
from thumbstream.models import installed_models

ROOT = Path(__file__).resolve().parents[2]
ZOO = ROOT / "models" / "zoo"
SAMPLES = ROOT / "service" / "thumbstream" / "web" / "samples"
MODELS = [
    name
    for name in installed_models().installed
    if installed_models().manifest(name)["family"] == "lapped"
]
SHAPES = [(32, 32), (32, 21), (8, 32), (1, 8), (40, 64), (256, 3)]
"""Height, width."""
LARGEST_FALL_DB = 0.02
"""Largest decrease of the mean PSNR of a set from one byte to the next."""
LEAST_RISE_DB = 8.0
LONGEST = 320
"""Longest prefix that is measured, in bytes."""
REAL_SET = 100


@pytest.fixture(scope="module", params=MODELS)
def codec(request: pytest.FixtureRequest) -> LappedCodec:
    return LappedCodec(open_artifact(ZOO / request.param), device="cpu")


def synthetic_pictures() -> list[Pixels]:
    sizes = [(32, 32), (24, 32), (32, 21), (32, 32)]
    return [photo_like(100 + i, *sizes[i % 4]) for i in range(40)]


SETS = {"synthetic": synthetic_pictures}
if os.environ.get(PICTURES):
    SETS["real"] = lambda: real_pictures(32, REAL_SET)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_mean_quality_never_falls(codec: LappedCodec, name: str) -> None:
    """At every byte; also on real pictures if `PICTURES` is set."""
    curves = []
    for pixels in SETS[name]():
        stream = codec.encode(pixels, max_bytes=LONGEST)
        assert len(stream) == LONGEST
        x_hats = np.stack(list(codec.decode_prefixes(stream, range(1, LONGEST + 1))))
        curves.append(psnr(pixels, x_hats))
    quality = np.mean(curves, axis=0).tolist()
    falls = {n: a - b for n, (a, b) in enumerate(pairwise(quality), start=2)}
    worst = max(falls, key=falls.__getitem__)
    assert falls[worst] <= LARGEST_FALL_DB, f"byte {worst} costs {falls[worst]:.3f} dB"
    assert quality[-1] - quality[0] >= LEAST_RISE_DB


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prefixes_together_equal_single_ones(codec: LappedCodec, shape: tuple[int, int]) -> None:
    """The synthesis network gives the same results in batches and one by one."""
    stream = codec.encode(photo_like(3, *shape), max_bytes=200)
    header = parse_header(stream)
    assert (header.height, header.width) == shape
    assert header.length == (1 if max(shape) == 32 else 3 if max(shape) > 128 else 2)
    lengths = [1, 2, 3, *range(4, len(stream), 23), len(stream)]
    for n, x_hat in zip(lengths, codec.decode_prefixes(stream, lengths), strict=True):
        np.testing.assert_array_equal(x_hat, codec.decode(stream[:n]))


def test_transparency(codec: LappedCodec) -> None:
    pixels = cut_out(5, 32, 32)
    stream = codec.encode(pixels)
    assert parse_header(stream).alpha
    found = [codec.decode(stream[:n])[..., 3].astype(int) for n in (24, 64, 256)]
    errors = [float(np.abs(alpha - pixels[..., 3]).mean()) for alpha in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 8


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 256])
def test_the_analysis_network_improves_quality(codec: LappedCodec, size: int) -> None:
    """Streams of the default effort against those of the linear transform alone."""
    gains = []
    for pixels in synthetic_pictures():
        found = {
            effort: codec.decode(codec.encode(pixels, max_bytes=size, effort=effort))
            for effort in Effort
        }
        gains.append(ssim(pixels, found[Effort.DEFAULT]) - ssim(pixels, found[Effort.FAST]))
    assert np.mean(gains) > 0


@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 255), (0, 160, 0), (240, 130, 20)])
def test_flat_colours_cost_little(
    codec: LappedCodec, effort: Effort, colour: tuple[int, int, int]
) -> None:
    pixels = np.full((64, 64, 3), colour, np.uint8)
    stream = codec.encode(pixels, effort=effort)
    assert len(stream) < 256
    assert psnr(pixels, codec.decode(stream)) > 45


def test_adaptation_keeps_noise_below_its_raw_size(codec: LappedCodec) -> None:
    """The contexts know no noise: steps of many wrong predictions must not throw them far off."""
    pixels = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
    assert len(codec.encode(pixels)) < pixels.size / 2


@pytest.mark.parametrize("level", [0, 40, 128, 255])
def test_flat_grey_stays_grey(codec: LappedCodec, level: int) -> None:
    stream = codec.encode(np.full((32, 32, 3), level, np.uint8))
    assert codec.inspect(stream)["axis"] == 0
    for pixels in codec.decode_prefixes(stream, range(12, len(stream) + 1)):
        colours = pixels.mean((0, 1))
        assert colours.max() - colours.min() < 4


def parts(path: Path) -> list[NDArray[np.uint8]]:
    """A photograph and its quarters, squashed to 32 x 32."""
    with Image.open(path) as picture:
        image = picture.convert("RGB")
    (w, h), boxes = image.size, [(0, 0, 1, 1)]
    boxes += [(x, y, x + 0.5, y + 0.5) for x in (0, 0.5) for y in (0, 0.5)]
    scaled = [(w * left, h * top, w * right, h * below) for left, top, right, below in boxes]
    return [np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS, box)) for box in scaled]


def test_best_effort_is_better_in_the_same_bytes(codec: LappedCodec) -> None:
    """PSNR of prefixes of one stream rises, and SSIM, which the default gains first, stays."""
    lengths = (24, 32, 48, 64, 96, 128)
    pictures = [part for path in sorted(SAMPLES.glob("*.jpg")) for part in parts(path)]
    assert len(pictures) >= 12
    means = {}
    for effort in (Effort.DEFAULT, Effort.BEST):
        scores = []
        for pixels in pictures:
            stream = codec.encode(pixels, effort=effort)
            found = np.stack(list(codec.decode_prefixes(stream, lengths)))
            scores.append((ssim(pixels, found).mean(), psnr(pixels, found).mean()))
        means[effort] = np.mean(scores, 0)
    (best_ssim, best_psnr), (least_ssim, least_psnr) = means[Effort.BEST], means[Effort.DEFAULT]
    assert best_psnr > least_psnr
    assert best_ssim > least_ssim - 0.002
