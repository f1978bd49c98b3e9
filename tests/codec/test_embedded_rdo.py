"""Rate-distortion optimization: what it improves, and what it must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_embedded import PLANES, embedded_folder, search_tables
from codec_folders import entry, open_manifest, write_manifest
from codec_pictures import Pixels, cut_out, photo_like, psnr

from thumbstream.codec.base import open_codec
from thumbstream.codec.embedded.codec import EmbeddedCodec
from thumbstream.codec.prefix_search import Target
from thumbstream.errors import ArtifactError

PICTURES = [photo_like(i, *shape) for i, shape in enumerate([(32, 32), (24, 32), (8, 8), (32, 21)])]
SIZES = (8, 16, 32, 64)


def opened(folder: Path, **options: Any) -> EmbeddedCodec:
    codec = open_codec(embedded_folder(folder, **options), device="cpu")
    assert isinstance(codec, EmbeddedCodec)
    return codec


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedCodec:
    return opened(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedCodec:
    return opened(tmp_path_factory.mktemp("searching"), search=True)


def test_optimized_streams_decode_as_others(plain: EmbeddedCodec, searching: EmbeddedCodec) -> None:
    """A decoder without the optimizer decodes them, complete and cut."""
    for pixels in (*PICTURES, cut_out(9, 16, 24)):
        stream = searching.encode(pixels)
        assert stream != plain.encode(pixels)
        assert plain.inspect(stream)["step"] is None
        for n in range(1, len(stream) + 1, 5):
            np.testing.assert_array_equal(plain.decode(stream[:n]), searching.decode(stream[:n]))
            assert searching.encode(pixels, max_bytes=n) == stream[:n]


def quality(codec: EmbeddedCodec, size: int, *, target: bool) -> float:
    total = 0.0
    for pixels in PICTURES:
        stream = codec.encode(pixels, **({"target": Target("bytes", size)} if target else {}))
        total += psnr(pixels, codec.decode(stream[:size]))
    return total / len(PICTURES)


@pytest.mark.parametrize("size", SIZES)
def test_optimizing_for_a_size_reduces_distortion(
    plain: EmbeddedCodec, searching: EmbeddedCodec, size: int
) -> None:
    nearest = quality(plain, size, target=True)
    assert nearest == quality(plain, size, target=False)
    assert quality(searching, size, target=True) > nearest
    assert quality(searching, size, target=True) >= quality(searching, size, target=False)


def test_optimizing_all_prefixes_reduces_distortion(
    plain: EmbeddedCodec, searching: EmbeddedCodec
) -> None:
    nearest = [quality(plain, size, target=False) for size in SIZES]
    found = [quality(searching, size, target=False) for size in SIZES]
    assert np.mean(found) > np.mean(nearest)


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5, 16, 10**6])
def test_target_in_bytes_is_met_exactly(searching: EmbeddedCodec, budget: int) -> None:
    for pixels in (PICTURES[3], cut_out(2, 16, 16)):
        stream = searching.encode(pixels, target=Target("bytes", budget))
        assert len(stream) == min(budget, len(stream))
        assert len(stream) <= budget
        assert searching.decode(stream).shape[2] == pixels.shape[2]
    everything = searching.encode(pixels, target=Target("bytes", 10**6))
    assert everything == searching.encode(pixels)


def test_quality_target(searching: EmbeddedCodec, plain: EmbeddedCodec) -> None:
    target = Target("psnr", 24)
    lengths = {
        name: sum(len(codec.encode(pixels, target=target)) for pixels in PICTURES)
        for name, codec in (("searching", searching), ("plain", plain))
    }
    assert lengths["searching"] < lengths["plain"]


def test_encoding_is_deterministic(searching: EmbeddedCodec) -> None:
    pixels: Pixels = PICTURES[0]
    for options in ({}, {"target": Target("bytes", 40)}):
        assert searching.encode(pixels, **options) == searching.encode(pixels.copy(), **options)


def test_only_named_planes_are_optimized(tmp_path: Path, plain: EmbeddedCodec) -> None:
    codec = opened_with(tmp_path, {**search_tables(), "everywhere": np.zeros(PLANES, np.bool_)})
    for pixels in PICTURES:
        assert codec.encode(pixels) == plain.encode(pixels)


def test_free_bits_never_increase_distortion(tmp_path: Path, plain: EmbeddedCodec) -> None:
    """Up to rounding and clipping of samples, which the optimizer ignores."""
    slopes = np.full(PLANES, 1e9, np.float32)
    codec = opened_with(tmp_path, {**search_tables(), "slopes": slopes})
    for pixels in PICTURES:
        found = psnr(pixels, codec.decode(codec.encode(pixels)))
        assert found > psnr(pixels, plain.decode(plain.encode(pixels))) - 0.05


def opened_with(folder: Path, tables: dict[str, np.ndarray]) -> EmbeddedCodec:
    embedded_folder(folder, search=True)
    np.savez(folder / "search.npz", **tables)
    manifest = open_manifest(folder)
    manifest["files"]["search.npz"] = entry((folder / "search.npz").read_bytes())
    write_manifest(folder, manifest)
    codec = open_codec(folder, device="cpu")
    assert isinstance(codec, EmbeddedCodec)
    return codec


@pytest.mark.parametrize(
    "change",
    [
        {"curvature": np.ones(11, np.float32)},
        {"slopes": np.ones(PLANES + 1, np.float32)},
        {"slopes": np.ones(PLANES)},
        {"everywhere": np.ones(PLANES, np.uint8)},
        {"more": np.ones(1, np.float32)},
    ],
    ids=["channels", "planes", "type", "flags", "more"],
)
def test_rejects_wrong_tables(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArtifactError, match="does not match the manifest"):
        opened_with(tmp_path, {**search_tables(), **change})


def test_rejects_wrong_network(tmp_path: Path) -> None:
    embedded_folder(tmp_path, search=True)
    data = (tmp_path / "synthesis.onnx").read_bytes()
    (tmp_path / "search.onnx").write_bytes(data)
    manifest = open_manifest(tmp_path)
    manifest["files"]["search.onnx"] = entry(data)
    write_manifest(tmp_path, manifest)
    with pytest.raises(ArtifactError, match="does not match the manifest"):
        open_codec(tmp_path)
