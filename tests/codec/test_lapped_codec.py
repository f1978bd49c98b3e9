"""The lapped codec with a small system: shapes, prefixes, transparency, hostile bytes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_folders import entry, open_manifest, write_manifest
from codec_lapped import PARAMS, arrays, lapped_folder, linear_tables, look_tables
from codec_pictures import Pixels, cut_out, photo_like, psnr
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.codec.base import open_codec
from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped import codec as lapped_codec
from thumbstream.codec.lapped import linear_codec
from thumbstream.codec.lapped.codec import LappedCodec
from thumbstream.codec.lapped.linear import LinearTransform, from_frequencies, to_frequencies
from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.lapped.params import LookTables
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.prefix_search import Target
from thumbstream.errors import ArtifactError, BitstreamError

SHAPES = [(32, 32), (8, 8), (8, 1), (1, 8), (24, 32), (32, 21), (40, 24), (17, 64)]
"""Height, width."""
SMALL = [(8, 8), (1, 8), (16, 11)]
quick = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lapped_folder(tmp_path_factory.mktemp("zoo") / "tiny-lapped")


@pytest.fixture(scope="module")
def codec(folder: Path) -> LappedCodec:
    codec = open_codec(folder, device="cpu")
    assert isinstance(codec, LappedCodec)
    return codec


@pytest.fixture(scope="module")
def linear(folder: Path) -> LinearCodec:
    return LinearCodec(open_artifact(folder))


def picture(shape: tuple[int, int], alpha: bool, seed: int = 0) -> Pixels:
    return cut_out(seed, *shape) if alpha else photo_like(seed, *shape)


with_and_without_alpha = pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (4, 3)])
def test_the_linear_transform_is_orthonormal(rows: int, columns: int) -> None:
    transform = LinearTransform(linear_tables())
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, PARAMS.channels, rows, columns)).astype(np.float32)
    again = transform.latents(transform.samples(transform.pixels(y)))
    np.testing.assert_allclose(again, y, atol=1e-5)
    np.testing.assert_allclose(from_frequencies(to_frequencies(y)), y, atol=1e-5)
    np.testing.assert_allclose(np.square(to_frequencies(y)).sum(), np.square(y).sum(), rtol=1e-5)


def test_lapping_mixes_four_pixels_on_each_side_of_an_edge() -> None:
    transform = LinearTransform(linear_tables())
    x = np.zeros((1, 3, 16, 16), np.float32)
    x[0, 0, 2, 11] = (
        1  # 3 pixels after the edge between the columns of cells, far from that of rows
    )
    cells = transform.samples(x).reshape(3, 8, 8, 2, 2)
    assert np.flatnonzero(np.abs(cells[0, 2, :, 0, 0]) > 1e-6).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(np.abs(cells[0, 2, :, 0, 1]) > 1e-6).tolist() == [0, 1, 2, 3]
    cells[0, 2] = 0
    assert not cells.any()


@with_and_without_alpha
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_round_trip(codec: LappedCodec, shape: tuple[int, int], alpha: bool) -> None:
    stream = codec.encode(picture(shape, alpha))
    header = parse_header(stream)
    assert (header.height, header.width, header.alpha) == (*shape, alpha)
    assert stream.startswith(write_header(codec.bitstream_id, *shape[::-1], alpha=alpha))
    x_hat = codec.decode(stream)
    assert x_hat.shape == (*shape, 3 + alpha)
    assert x_hat.dtype == np.uint8
    assert x_hat.flags.c_contiguous


@with_and_without_alpha
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_every_prefix_decodes(codec: LappedCodec, shape: tuple[int, int], alpha: bool) -> None:
    """One by one, in one pass, from the encoder's symbols, and with ``max_bytes``."""
    pixels = picture(shape, alpha)
    stream, encoded = codec.encode_with_decoder(pixels)
    lengths = [1, *range(1, len(stream) + 1), len(stream) + 5]
    known = encoded.decode_prefixes(stream, lengths)
    for n, x_hat, other in zip(lengths, codec.decode_prefixes(stream, lengths), known, strict=True):
        np.testing.assert_array_equal(x_hat, codec.decode(stream[:n]))
        np.testing.assert_array_equal(x_hat, other)
    for n in range(1, len(stream) + 3, 5):
        assert codec.encode(pixels, max_bytes=n) == stream[:n]


@pytest.mark.parametrize("batch_pixels", [1, 1 << 20])
def test_batch_size_has_no_influence(
    codec: LappedCodec, monkeypatch: pytest.MonkeyPatch, batch_pixels: int
) -> None:
    stream = codec.encode(picture((16, 11), True))
    lengths = range(1, len(stream) + 1, 3)
    expected = [codec.decode(stream[:n]) for n in lengths]
    monkeypatch.setattr(linear_codec, "BATCH_PIXELS", batch_pixels)
    for x_hat, other in zip(codec.decode_prefixes(stream, lengths), expected, strict=True):
        np.testing.assert_array_equal(x_hat, other)


def test_equal_prefixes_are_synthesized_once(
    codec: LappedCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, batches = codec.encode(photo_like(1, 8, 8)), []
    synthesize = LappedCodec._synthesize
    monkeypatch.setattr(
        LappedCodec,
        "_synthesize",
        lambda self, batch, grid: batches.append(len(batch)) or synthesize(self, batch, grid),
    )
    pictures = list(
        codec.decode_prefixes(stream + bytes(30), [len(stream)] * 5 + [len(stream) + 30])
    )
    assert sum(batches) == 1
    pictures[0][:] = 0  # each belongs to the caller
    assert pictures[1].any()


def test_prefixes_are_decoded_lazily(codec: LappedCodec) -> None:
    """A search that has found its prefix stops the decoding of the rest."""
    requested: list[int] = []

    class Lengths(list[int]):
        def __iter__(self) -> Any:
            for n in super().__iter__():
                requested.append(n)
                yield n

    stream = codec.encode(photo_like(2, 128, 128))
    next(codec.decode_prefixes(stream, list(range(3, 40))))
    found = codec._symbol_decoder(parse_header(stream), stream).prefixes(Lengths(range(3, 40)))
    next(codec._reconstruct(parse_header(stream), found))
    assert len(requested) < 20


def test_rejects_decreasing_lengths(codec: LappedCodec) -> None:
    with pytest.raises(ValueError, match="must not decrease"):
        next(codec.decode_prefixes(codec.encode(photo_like(1, 8, 8)), [4, 3]))


@with_and_without_alpha
def test_quality_rises_with_bytes(codec: LappedCodec, linear: LinearCodec, alpha: bool) -> None:
    for seed, each in enumerate([codec, linear]):
        pixels = picture((32, 32), alpha, seed)
        stream = each.encode(pixels)
        lengths = [len(stream) // 16, len(stream) // 4, len(stream)]
        seen = pixels[..., 3] > 0 if alpha else np.ones((32, 32), bool)
        quality = [
            psnr(pixels[seen][None], x_hat[seen][None])
            for x_hat in each.decode_prefixes(stream, lengths)
        ]
        assert quality[0] < quality[1] < quality[2]
        assert quality[2] > quality[0] + 2


def test_streams_without_networks_are_streams_of_the_format(
    codec: LappedCodec, linear: LinearCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photo_like(3, 24, 32)
    stream = linear.encode(pixels)
    assert codec.inspect(stream) == linear.inspect(stream)
    difference = codec.decode(stream).astype(int) - linear.decode(stream)
    assert np.abs(difference).mean() < 4
    assert codec.encode(pixels, effort=Effort.FAST) == stream
    assert codec.encode(pixels) == stream, "by these tables, the picture is flat"
    monkeypatch.setattr(lapped_codec, "FLAT_BITS", 0)
    monkeypatch.setattr(lapped_codec, "DETAILED_BITS", 1)
    assert codec.encode(pixels) != stream


def test_opaque_alpha_decodes_opaque(codec: LappedCodec) -> None:
    pixels = np.dstack([photo_like(5, 16, 16), np.full((16, 16), 255, np.uint8)])
    x_hat = codec.decode(codec.encode(pixels))
    assert (x_hat[..., 3] > 240).all()


@pytest.mark.parametrize(
    ("size", "alpha", "effort", "times"),
    [
        *((32, False, Effort.FAST, None), (32, False, Effort.DEFAULT, 1)),
        *((64, True, Effort.BEST, 6), (128, False, Effort.BEST, 3), (192, False, Effort.BEST, 1)),
        *((256, False, Effort.DEFAULT, 0), (256, True, Effort.BEST, 0)),
    ],
)
def test_refinements_are_bounded(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    alpha: bool,
    effort: Effort,
    times: int,
) -> None:
    codec, found = LappedCodec(open_artifact(folder), device="cpu"), []
    codec._refinement = b"a graph"
    monkeypatch.setattr(
        codec, "_refined", lambda pictures, latents, rates: found.append(len(rates)) or latents
    )
    codec.encode(picture((size, size), alpha), effort=effort, max_bytes=16)
    assert found == ([] if times is None else [times])


def test_hidden_colours_do_not_change_the_stream(codec: LappedCodec) -> None:
    pixels = cut_out(6, 32, 32)
    other = pixels.copy()
    other[pixels[..., 3] == 0, :3] = 255
    assert codec.encode(pixels) == codec.encode(other)


def test_exact_aspect_ratio_costs_no_byte(codec: LappedCodec) -> None:
    pixels = photo_like(7, 21, 32)
    plain, exact = codec.encode(pixels), codec.encode(pixels, aspect=(3000, 2000))
    assert plain[1:] == exact[1:]
    assert codec.inspect(exact)["aspect_ratio"] == (3, 2)
    assert codec.inspect(plain)["aspect_ratio"] == (32, 21)
    np.testing.assert_array_equal(codec.decode(plain), codec.decode(exact))


@pytest.mark.parametrize("text", ["psnr:16", "ssim:0.25"])
def test_shortest_prefix_that_reaches_a_target(codec: LappedCodec, text: str) -> None:
    pixels, target = photo_like(8, 32, 32), Target.parse(text)
    stream, complete = codec.encode(pixels, target=target), codec.encode(pixels)
    assert complete.startswith(stream)
    assert len(stream) < len(complete)
    assert target.reached(pixels, codec.decode(stream))


@pytest.mark.parametrize("budget", [1, 3, 16, 10**6])
def test_target_in_bytes(codec: LappedCodec, budget: int) -> None:
    pixels = photo_like(10, 32, 32)
    stream = codec.encode(pixels, target=Target("bytes", budget))
    assert stream == codec.encode(pixels)[:budget]


def test_unreachable_target_gives_the_complete_stream(codec: LappedCodec) -> None:
    pixels = photo_like(9, 16, 16)
    assert codec.encode(pixels, target=Target.parse("psnr:99")) == codec.encode(pixels)


def test_encoding_is_deterministic(codec: LappedCodec, folder: Path) -> None:
    again = open_codec(folder, device="cpu")
    for alpha in (False, True):
        pixels = picture((24, 32), alpha)
        stream = codec.encode(pixels)
        assert again.encode(np.asfortranarray(pixels)) == stream
        np.testing.assert_array_equal(again.decode(stream), codec.decode(stream))


def test_threads_do_not_interfere(codec: LappedCodec) -> None:
    pictures = [picture(shape, bool(i % 2), i) for i, shape in enumerate(SHAPES)]
    streams = [codec.encode(pixels) for pixels in pictures]
    x_hats = [codec.decode(stream[: 3 + len(stream) // 2]) for stream in streams]
    with ThreadPoolExecutor(4) as pool:
        encoding = [pool.submit(codec.encode, pixels) for pixels in pictures]
        decoding = [pool.submit(codec.decode, s[: 3 + len(s) // 2]) for s in streams]
        assert [job.result() for job in encoding] == streams
        for expected, job in zip(x_hats, decoding, strict=True):
            np.testing.assert_array_equal(job.result(), expected)


@with_and_without_alpha
def test_inspect(codec: LappedCodec, alpha: bool) -> None:
    stream = codec.encode(picture((24, 16), alpha))
    complete = codec.inspect(stream)
    symbols, axis = complete.pop("symbols"), complete.pop("axis")
    assert complete == {
        "model": "tiny-lapped",
        "bitstream_id": 8,
        "width": 16,
        "height": 24,
        "alpha": alpha,
        "aspect_ratio": (16, 24),
        "length": len(stream),
        "header_length": 2,
        "bits_per_pixel": round(8 * len(stream) / 384, 4),
        "cells": 6,
        "planes": PARAMS.planes,
        "step": None,
    }
    facts = [codec.inspect(stream[:n]) for n in range(2, len(stream) + 1)]
    assert facts[0]["symbols"] == facts[0]["planes"] == facts[0]["axis"] == 0
    assert all(one["axis"] == axis for one in facts if one["symbols"])
    assert facts[0]["step"]["group"] == 0
    assert facts[-1]["symbols"] == symbols
    for a, b in pairwise(facts):
        assert a["symbols"] <= b["symbols"]
        assert a["planes"] <= b["planes"]


@pytest.mark.parametrize(
    ("stream", "shape"),
    [
        (b"\xc3", (32, 32, 4)),
        (b"\xc3\x3f", (21, 32, 4)),
        (b"\xe1", (16, 16, 3)),
        (b"\xa1", (16, 16, 3)),
        (b"\xdf\x01", (256, 256, 4)),
        (b"\x7e", (21, 32, 3)),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else None,
)
def test_truncated_headers(codec: LappedCodec, stream: bytes, shape: tuple[int, ...]) -> None:
    x_hat, facts = codec.decode(stream), codec.inspect(stream)
    assert x_hat.shape == shape
    assert facts["symbols"] == 0
    assert (facts["model"] is None) == (facts["bitstream_id"] is None)
    if facts["model"] is None:
        assert (x_hat == 128).all()


# Invalid pictures, streams and models.


@pytest.mark.parametrize(
    ("shape", "dtype"), [((32, 32), np.uint8), ((32, 32, 5), np.uint8), ((32, 32, 3), np.float32)]
)
def test_rejects_invalid_arrays(codec: LappedCodec, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match="pixels must be"):
        codec.encode(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(33, 20), (7, 7), (264, 10), (0, 32), (0, 0)], ids=str)
def test_rejects_shapes_off_the_grid(codec: LappedCodec, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"multiple of 8|must be positive"):
        codec.encode(np.zeros((*shape, 3), np.uint8))


def test_rejects_invalid_limits(codec: LappedCodec) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    for max_bytes in (0, -1):
        with pytest.raises(ValueError, match="max_bytes must be 1 or more"):
            codec.encode(pixels, max_bytes=max_bytes)
    with pytest.raises(ValueError, match="exclude each other"):
        codec.encode(pixels, max_bytes=9, target=Target("bytes", 9))
    with pytest.raises(ValueError, match="aspect ratio"):
        codec.encode(pixels, aspect=(0, 3))


READERS: dict[str, Callable[[LappedCodec, bytes], object]] = {
    "decode": lambda codec, stream: codec.decode(stream),
    "decode_prefixes": lambda codec, stream: list(codec.decode_prefixes(stream, [len(stream)])),
    "inspect": lambda codec, stream: codec.inspect(stream),
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "stream", [b"", b"\x96", b"\x00", b"\xa3\x00", b"\xe0\x07\x03", b"\xe1\x05"]
)
def test_rejects_streams_of_no_or_another_model(
    codec: LappedCodec, read: str, stream: bytes
) -> None:
    with pytest.raises(BitstreamError):
        READERS[read](codec, stream)


@quick
@given(st.binary(max_size=60))
def test_any_bytes_give_a_picture_or_an_error(folder: Path, stream: bytes) -> None:
    codec = _kept(folder)
    try:
        header = parse_header(stream)
    except BitstreamError:
        header = None
    if header is None or header.bitstream_id not in (None, 8):
        for read in READERS.values():
            with pytest.raises(BitstreamError):
                read(codec, stream)
    else:
        x_hat = codec.decode(stream)
        assert x_hat.shape == (header.height, header.width, 3 + header.alpha)
        assert codec.inspect(stream)["symbols"] >= 0


@quick
@given(st.binary(max_size=200), st.integers(1, 32), st.booleans(), st.integers(0, 200))
def test_any_payload_decodes(
    folder: Path, payload: bytes, short: int, alpha: bool, cut: int
) -> None:
    codec = _kept(folder)
    stream = write_header(8, 32, short, alpha=alpha) + payload
    n = min(1 + cut, len(stream))
    part, complete = codec.decode_prefixes(stream, [n, len(stream)])
    np.testing.assert_array_equal(part, codec.decode(stream[:n]))
    np.testing.assert_array_equal(complete, codec.decode(stream))
    assert complete.shape == (short, 32, 3 + alpha)


@quick
@given(st.data())
def test_corrupted_streams_decode(folder: Path, data: st.DataObject) -> None:
    """A changed byte does not affect what the bytes before it determine."""
    codec = _kept(folder)
    stream = codec.encode(picture((16, 8), data.draw(st.booleans())))
    place = data.draw(st.integers(3, len(stream) - 1))
    corrupted = bytearray(stream)
    corrupted[place] ^= data.draw(st.integers(1, 255))
    before, _ = codec.decode_prefixes(bytes(corrupted), [place, len(corrupted)])
    np.testing.assert_array_equal(before, codec.decode(stream[:place]))


_KEPT: dict[Path, LappedCodec] = {}


def _kept(folder: Path) -> LappedCodec:
    """The codec for property tests."""
    if folder not in _KEPT:
        _KEPT[folder] = LappedCodec(open_artifact(folder), device="cpu")
    return _KEPT[folder]


@pytest.mark.parametrize("limit", [1 << 20, 1 << 63, 1 << 64])
def test_a_limit_above_the_length_changes_nothing(codec: LappedCodec, limit: int) -> None:
    pixels = picture((16, 8), False)
    assert codec.encode(pixels, max_bytes=limit) == codec.encode(pixels)


@with_and_without_alpha
def test_largest_picture_from_few_bytes(codec: LappedCodec, alpha: bool) -> None:
    header = write_header(8, 256, 256, alpha=alpha)
    for payload in (b"", b"\x5a", b"\xff" * 100):
        assert codec.decode(header + payload).shape == (256, 256, 3 + alpha)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": [3, 2, 5]}, "expected shape"),
        ({"groups": [9]}, "two groups"),
        ({"look": 41}, "look"),
        ({"planes": 65}, "planes"),
        ({"stride": 16}, "stride"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rejects_contradictory_manifest(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        open_codec(lapped_folder(tmp_path, **changes))


def test_rejects_taps_without_dimensions() -> None:
    for name in ("magnitudes", "values"):
        changed = {**arrays(look_tables()), name: np.zeros((), np.int8)}
        with pytest.raises(ArtifactError, match="expected shape"):
            LookTables.from_arrays(changed, PARAMS)


def test_rejects_a_file_that_is_missing(tmp_path: Path) -> None:
    folder = lapped_folder(tmp_path)
    manifest = open_manifest(folder)
    del manifest["files"]["look.npz"]
    write_manifest(folder, manifest)
    with pytest.raises(ArtifactError, match=r"lists no look\.npz"):
        open_codec(folder)


@pytest.mark.parametrize("name", ["analysis.onnx", "synthesis.onnx"])
def test_rejects_swapped_networks(folder: Path, tmp_path: Path, name: str) -> None:
    other = {"analysis.onnx": "synthesis.onnx", "synthesis.onnx": "analysis.onnx"}[name]
    data = (folder / other).read_bytes()
    copied = lapped_folder(tmp_path)
    (copied / name).write_bytes(data)
    manifest = open_manifest(copied)
    manifest["files"][name] = entry(data)
    write_manifest(copied, manifest)
    with pytest.raises(ArtifactError, match="networks do not match the manifest"):
        open_codec(copied)
