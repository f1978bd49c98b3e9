"""The iterative codec with small untrained models of every family of the paper."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_folders import entry
from codec_pictures import Pixels, photo_like
from codec_systems import SYSTEMS, System, system_folder

from thumbstream.codec.base import FAMILIES, Codec, open_codec
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import psnr, ssim
from thumbstream.errors import ArtifactError, BitstreamError

SHAPES = [(8, 8), (32, 32), (21, 32), (24, 40), (40, 3)]
STOPPING = [name for name, system in SYSTEMS.items() if system.cell_stops]
TARGETS = ("psnr:16", "psnr:19", "ssim:0.3", "ssim:0.5", "psnr:99")
Open = Callable[[str], Codec]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Open:
    """The codec of a small system, by name."""
    folder = tmp_path_factory.mktemp("systems")
    codecs = {
        name: open_codec(system_folder(folder / name, system), device="cpu")
        for name, system in SYSTEMS.items()
    }
    return codecs.__getitem__


def half_flat(seed: int, height: int = 32, width: int = 32) -> Pixels:
    """A photograph with a flat sky, so that some cells need few bits."""
    pixels = photo_like(seed, height, width)
    pixels[: height // 2] = pixels[: height // 2].mean((0, 1))
    return pixels


def test_every_family_is_tested() -> None:
    """The lapped family has its own tests."""
    assert {system.family for system in SYSTEMS.values()} | {"lapped"} == set(FAMILIES)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prefixes_decode(opened: Open, name: str, shape: tuple[int, int]) -> None:
    """Every prefix is a picture: one by one, in one pass, and with ``max_bytes``."""
    codec, pixels = opened(name), photo_like(3, *shape)
    stream = codec.encode(pixels)
    lengths = range(1, len(stream) + 1)
    for n, x_hat in zip(lengths, codec.decode_prefixes(stream, lengths), strict=True):
        np.testing.assert_array_equal(x_hat, codec.decode(stream[:n]))
        assert n < 3 or x_hat.shape == pixels.shape
        assert codec.encode(pixels, max_bytes=n) == stream[:n]


@pytest.mark.parametrize("name", SYSTEMS)
def test_complete_streams_determine_every_code(opened: Open, name: str) -> None:
    codec, system = opened(name), SYSTEMS[name]
    pixels = photo_like(1, 24, 40)
    stream = codec.encode(pixels)
    found = codec.decode_codes(stream)
    assert found.codes.shape == (system.iterations, system.planes, 3, 5)
    assert (found.decoded_count, found.stopped) == (found.codes.size, 0)
    first, last = codec.decode_prefixes(stream, [3, len(stream)])
    assert psnr(pixels, last) > psnr(pixels, first)
    np.testing.assert_array_equal(codec.decode(stream + b"tail"), last)


def test_equivalent_systems_decode_identically(opened: Open) -> None:
    """Additive with gains or one-shot with state, shared or not: here with the same bases."""
    pixels = photo_like(2, 32, 32)
    decoded = [
        opened(name).decode(opened(name).encode(pixels)).astype(int)
        for name, system in SYSTEMS.items()
        if system.iterations > 1
    ]
    assert len(decoded) == 6
    for other in decoded[1:]:
        assert np.abs(other - decoded[0]).mean() < 0.05


@pytest.mark.parametrize("name", SYSTEMS)
def test_rejects_decreasing_lengths(opened: Open, name: str) -> None:
    codec = opened(name)
    stream = codec.encode(photo_like(0, 8, 8))
    assert list(codec.decode_prefixes(stream, [])) == []
    twice = list(codec.decode_prefixes(stream, [4, 4]))
    np.testing.assert_array_equal(*twice)
    with pytest.raises(ValueError, match="must not decrease"):
        list(codec.decode_prefixes(stream, [5, 4]))
    with pytest.raises(BitstreamError):
        list(codec.decode_prefixes(stream, [0, 4]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_any_bytes_give_a_picture_or_an_error(opened: Open, name: str) -> None:
    codec, rng = opened(name), random.Random(name)
    valid = [codec.encode(photo_like(i, *shape)) for i, shape in enumerate(SHAPES[:4])]
    pictures = 0
    for _ in range(150):
        stream = bytearray(rng.choice(valid))
        for _ in range(rng.randint(1, 3)):
            stream[rng.randrange(len(stream))] = rng.randrange(256)
        cut = bytes(stream[: rng.randint(1, len(stream))]) + rng.randbytes(rng.randint(0, 3))
        try:
            x_hat = codec.decode(cut)
        except BitstreamError:
            continue
        pictures += 1
        assert x_hat.dtype == np.uint8
        assert x_hat.shape[2] == 3
    assert pictures > 50


@pytest.mark.parametrize("name", SYSTEMS)
def test_threads_do_not_interfere(opened: Open, name: str) -> None:
    codec = opened(name)
    pictures = [photo_like(i, *shape) for i, shape in enumerate(SHAPES)] * 3
    one_by_one = [codec.encode(pixels) for pixels in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(codec.encode, pictures)) == one_by_one


# Targets


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("text", TARGETS)
def test_quality_targets(opened: Open, name: str, text: str) -> None:
    """The result reaches the target, and no shorter prefix of the plain stream does."""
    codec, target, pixels = opened(name), Target.parse(text), half_flat(1)
    plain = codec.encode(pixels)
    stream = codec.encode(pixels, target=target)
    lengths = range(3, len(plain) + 1)
    reaching = [
        n
        for n, x_hat in zip(lengths, codec.decode_prefixes(plain, lengths), strict=True)
        if target.reached(pixels, x_hat)
    ]
    if reaching:
        assert target.reached(pixels, codec.decode(stream))
        assert len(stream) <= reaching[0]
        assert name in STOPPING or stream == plain[: reaching[0]]
    elif not target.reached(pixels, codec.decode(stream)):
        assert stream == plain


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 16, 30, 50, 10**6])
def test_byte_targets(opened: Open, name: str, size: int) -> None:
    codec, pixels = opened(name), half_flat(2)
    stream = codec.encode(pixels, target=Target("bytes", size))
    plain = codec.encode(pixels, max_bytes=size)
    assert 0 < len(stream) <= size
    if name in STOPPING and size >= 3:
        assert psnr(pixels, codec.decode(stream)) >= psnr(pixels, codec.decode(plain))
    else:
        assert stream == plain


@pytest.mark.parametrize("name", STOPPING)
def test_early_stops_help_if_cells_differ(opened: Open, name: str) -> None:
    """Fewer bytes for the same quality, and higher quality in the same bytes."""
    codec, pictures = opened(name), [half_flat(i) for i in range(4)]
    target = Target("psnr", 21)
    plain = [codec.encode(pixels) for pixels in pictures]
    truncated = [
        next(
            n for n in range(3, len(stream) + 1) if target.reached(pixels, codec.decode(stream[:n]))
        )
        for pixels, stream in zip(pictures, plain, strict=True)
    ]
    found = [codec.encode(pixels, target=target) for pixels in pictures]
    assert sum(map(len, found)) < 0.97 * sum(truncated)
    assert any(codec.decode_codes(stream).stopped for stream in found)


@pytest.mark.parametrize("name", STOPPING)
def test_every_prefix_of_a_stream_with_stops(opened: Open, name: str) -> None:
    codec, pixels = opened(name), half_flat(3, 32, 24)
    stream = codec.encode(pixels, target=Target("bytes", 30))
    assert codec.decode_codes(stream).stopped
    lengths = range(1, len(stream) + 1)
    for n, x_hat in zip(lengths, codec.decode_prefixes(stream, lengths), strict=True):
        np.testing.assert_array_equal(x_hat, codec.decode(stream[:n]))


@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.parametrize("text", ["psnr:20", "ssim:0.4", "bytes:25"])
def test_streams_with_stops_contain_true_codes(opened: Open, name: str, text: str) -> None:
    """Also codes that the last bytes happen to determine; none follow the end."""
    codec = opened(name)
    for seed in range(4):
        pixels = half_flat(seed)
        plain = codec.decode_codes(codec.encode(pixels)).codes
        found = codec.decode_codes(codec.encode(pixels, target=Target.parse(text)))
        known = np.abs(found.codes) == 1
        np.testing.assert_array_equal(found.codes[known], plain[: len(found.codes)][known])
        assert np.count_nonzero(known) == found.decoded_count


def test_max_bytes_and_a_target_exclude_each_other(opened: Open) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        opened("tiny-fc-lstm").encode(half_flat(0), max_bytes=9, target=Target("ssim", 0.5))


def test_ssim_ignores_padding(opened: Open) -> None:
    """A target is met in its own measure."""
    codec, pixels = opened("tiny-fc-residual"), half_flat(1)
    stream = codec.encode(pixels, target=Target("ssim", 0.5))
    assert ssim(pixels, codec.decode(stream)) >= 0.5


# Contradictory folders


def spoilt(folder: Path, system: System, change: Callable[[Path, dict[str, Any]], None]) -> Path:
    system_folder(folder, system)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder, manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def without(name: str) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, manifest: manifest["files"].pop(name)


def as_weights(weights: str) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, manifest: manifest.update(weights=weights)


def swapped(folder: Path, manifest: dict[str, Any]) -> None:
    data = (folder / "analysis-02.onnx").read_bytes()
    (folder / "synthesis-02.onnx").write_bytes(data)
    manifest["files"]["synthesis-02.onnx"] = entry(data)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tiny-fc-residual", without("analysis-05.onnx")),
        ("tiny-fc-residual", without("synthesis-00.onnx")),
        ("tiny-fc-residual", as_weights("shared")),
        ("tiny-fc-residual", swapped),
        ("tiny-fc-lstm", as_weights("per_stage")),
        ("tiny-fc-lstm", lambda folder, manifest: manifest["states"].update(synthesis=[])),
        ("tiny-conv-residual", without("entropy.npz")),
    ],
)
def test_rejects_contradictory_folders(
    tmp_path: Path, name: str, change: Callable[[Path, dict[str, Any]], None]
) -> None:
    with pytest.raises(ArtifactError):
        open_codec(spoilt(tmp_path / name, SYSTEMS[name], change), device="cpu")


def test_detects_a_change_in_any_stage(tmp_path: Path) -> None:
    folder = system_folder(tmp_path / "small", SYSTEMS["tiny-conv-residual"])
    data = bytearray((folder / "synthesis-03.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "synthesis-03.onnx").write_bytes(data)
    with pytest.raises(
        ArtifactError, match=r"synthesis-03\.onnx: (SHA-256 mismatch|length differs)"
    ):
        open_artifact(folder)
