"""The client files of a model, and that the JavaScript client decodes like Python."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import random
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import codec_lapped
import numpy as np
import onnx
import pytest
import torch
from codec_folders import entry
from node import NODE, needs_node
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tiny_transform import TINY

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.lapped.codec import LappedCodec
from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.quality import psnr, ssim
from thumbstream.errors import BitstreamError
from thumbstream_models.evaluate.baselines import thumbhash
from thumbstream_models.lapped import client_file, client_network, client_packing, graphs
from thumbstream_models.lapped.linear import LinearTransform
from thumbstream_models.lapped.model import Transform

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "service" / "thumbstream" / "web" / "client"
DECODE = ROOT / "tests" / "web" / "client-decode.mjs"
MODEL = "thumbstream-2"
LIMIT = 150_000
"""Most bytes of weights and code, gzipped."""

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return open_artifact(ROOT / "models" / "zoo" / MODEL)


@pytest.fixture(scope="module")
def random_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that has learnt nothing: other sizes, a stage without blocks, all tables in use."""
    torch.manual_seed(7)
    config = dataclasses.replace(TINY.model, groups=codec_lapped.PARAMS.groups)
    count = sum(config.groups)
    net = Transform(
        config, LinearTransform(torch.eye(192)[:count], torch.eye(4), torch.ones(32, 3))
    ).eval()
    torch.nn.init.normal_(net.synthesis.summary.expand.weight, std=0.5)
    for convolution in (net.synthesis.input, net.synthesis.net[-1]):
        torch.nn.init.normal_(convolution.weight, std=0.1)
        torch.nn.init.normal_(convolution.bias, std=0.1)
    graphs.round_weights(net)
    synthesis = graphs.to_onnx(net, TINY.distortion)["synthesis.onnx"]
    folder = codec_lapped.lapped_folder(tmp_path_factory.mktemp("zoo") / "tiny-lapped")
    (folder / "synthesis.onnx").write_bytes(synthesis)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["synthesis.onnx"] = entry(synthesis)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_artifact(folder)


def photo_like(seed: int, height: int, width: int, channels: int = 3) -> Pixels:
    """Smooth shapes with some edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 32
    out = np.zeros((height, width, channels))
    for channel in range(channels):
        for _ in range(4):
            a, b, phase, strength = rng.normal(0, 3, 4)
            out[..., channel] += strength * np.sin(a * x + b * y + phase)
        out[..., channel] += 5 * (rng.normal() * x + rng.normal() * y > 0.3 * rng.normal())
    out -= out.min((0, 1))
    pixels: Pixels = (255 * out / out.max()).astype(np.uint8)
    return pixels


def pictures() -> list[Pixels]:
    shapes = [(32, 32, 3), (21, 32, 3), (32, 24, 4), (8, 8, 3), (64, 48, 3), (8, 3, 4), (40, 40, 3)]
    return [photo_like(seed, *shape) for seed, shape in enumerate(shapes)]


@pytest.mark.slow
def test_published_files_match_the_model(artifact: Artifact) -> None:
    """``thumbstream-models client MODEL FOLDER`` writes them again."""
    data = (WEB / client_file.CLIENT).read_bytes()
    name = MODEL.encode()
    head = b"THSC" + bytes([client_file.FORMAT, artifact.bitstream_id, len(name)]) + name
    assert data.startswith(head)
    client = client_file.client_of(artifact)
    payload = b"".join(section.data for section in client_file.sections(client))
    assert zlib.decompress(data[len(head) :]) == payload
    made = client_file.published_js(client, MODEL, artifact.bitstream_id, data)
    assert (WEB / client_file.PUBLISHED).read_text("ascii") == made


@pytest.mark.slow
def test_files_are_small(artifact: Artifact) -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in WEB.iterdir()}
    names = client_file.CLIENT, "images.min.js", "thumbstream.min.js", "worker.min.js"
    assert sum(sizes[name] for name in names) <= LIMIT


def test_packed_files_do_not_compress_further(random_artifact: Artifact) -> None:
    client = client_file.client_of(random_artifact)
    data = client_file.file_of(client, "a-model", 8)
    assert data == client_file.file_of(client, "a-model", 8)
    assert len(gzip.compress(data)) > len(data)


def test_packed_sections_unpack() -> None:
    rng = np.random.default_rng(5)
    kinds = [
        rng.integers(0, 9, 3000),
        rng.integers(200, 256, 70_000),
        np.zeros(500, np.int64),
        rng.integers(0, 256, 40),
    ]
    parts = [kind.astype(np.uint8).tobytes() for kind in kinds]
    sections = [client_packing.Section(part) for part in [*parts, b""]]
    assert zlib.decompress(client_packing.packed(sections)) == b"".join(parts)


def test_rejects_integers_of_more_than_24_bits() -> None:
    table = np.array([[0, -1, 1], [300, -(2**23), 2**23 - 1]])
    planes = [np.frombuffer(s.data, np.uint8).astype(int) for s in client_packing.wide(table)]
    coded = planes[0] + 256 * planes[1] + 65536 * planes[2]
    assert [
        c // 2 if c % 2 == 0 else -(c // 2) - 1 for c in coded.tolist()
    ] == table.flatten().tolist()
    with pytest.raises(ValueError, match="24 bits"):
        list(client_packing.wide(np.array([2**23])))


def test_rejects_other_networks(random_artifact: Artifact) -> None:
    model = onnx.load_model_from_string(random_artifact.file("synthesis.onnx"))
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("net.0.depthwise", "elsewhere")
    with pytest.raises(ValueError, match="not of the synthesis network"):
        client_network.layers_of(model.SerializeToString())


def test_first_look_has_the_rows_of_the_klt() -> None:
    """Within half a level of 255 for a latent as large as any."""
    linear = codec_lapped.linear_tables()
    factors, integers = client_file.look_klt(linear, 3)
    basis = client_file.cosines(8).astype(float)
    rows = factors[:, None, None, None] * linear.scales[:3, None, None, None] * integers
    rows = (basis.T @ rows @ basis).reshape(3, -1)
    assert np.abs(rows - linear.klt[:3]).max() * 8 * 3**0.5 * 127.5 < 0.5


def given_streams(codec: LappedCodec) -> list[bytes]:
    """Prefixes of streams, with tails, and mutated ones."""
    rng = random.Random(1511)
    out = []
    for pixels in pictures():
        stream = codec.encode(pixels)
        out += [stream[:n] for n in (1, 2, 3, 8, 17, 32, 64, 150)] + [stream, stream + b"\x00\xff"]
        for _ in range(4):
            mutated = bytearray(stream[:120])
            for _ in range(3):
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            out.append(bytes(mutated))
    return out


def decoded(weights: Path, given: Sequence[bytes]) -> list[dict[str, Any]]:
    """What the client says of each stream."""
    assert NODE is not None
    answer = subprocess.run(
        [NODE, DECODE, weights],
        input="\n".join(stream.hex() for stream in given),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]


@needs_node
@pytest.mark.parametrize(
    "which", [pytest.param("artifact", marks=pytest.mark.slow), "random_artifact"]
)
def test_client_decodes_like_python(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Symbols to the bit, pixels within 1 of 255 of ONNX Runtime, errors of the same class."""
    artifact: Artifact = request.getfixturevalue(which)
    client = client_file.client_of(artifact)
    weights = tmp_path / client_file.CLIENT
    weights.write_bytes(client_file.file_of(client, artifact.model_id, artifact.bitstream_id))
    codec = LappedCodec(artifact, device="cpu")
    given = given_streams(codec)
    compared = 0
    for stream, found in zip(given, decoded(weights, given), strict=True):
        try:
            pixels = codec.decode(stream)
        except BitstreamError:
            assert found == {"error": "BitstreamError"}
            continue
        for name in ("wasm", "plain"):
            assert_same_picture(found[name], stream, pixels)
            assert_same_symbols(found[name], stream, codec)
            compared += 1
    assert compared > len(given)


@pytest.mark.slow
@needs_node
def test_first_look_is_better_than_thumbhash(artifact: Artifact, tmp_path: Path) -> None:
    """Four photographs: by SSIM from 12 bytes on, by PSNR from 16. Python draws the same."""
    grids = []
    for path in sorted((WEB.parent / "samples").glob("*.jpg")):
        with Image.open(path) as photograph:
            side = min(photograph.size)
            square = ImageOps.fit(photograph.convert("RGB"), (side, side))
            grids.append(np.asarray(square.resize((32, 32), Image.Resampling.LANCZOS)))
    pixels = np.stack(grids)
    codec = LappedCodec(artifact, device="cpu")
    streams = [codec.encode(grid) for grid in grids]
    weights = tmp_path / client_file.CLIENT
    client = client_file.client_of(artifact)
    weights.write_bytes(client_file.file_of(client, artifact.model_id, artifact.bitstream_id))
    hashes = np.stack([thumbhash.decode(thumbhash.encode(grid), 32, 32) for grid in grids])
    linear = LinearCodec(artifact)
    for count, measures in ((12, [ssim]), (16, [ssim, psnr])):
        prefixes = [stream[:count] for stream in streams]
        found = [_array(one["look"], np.uint8) for one in decoded(weights, prefixes)]
        looks = np.stack(found).reshape(-1, 32, 32, 4)[..., :3]
        for look, prefix in zip(looks, prefixes, strict=True):
            if not linear.inspect(prefix)["planes"]:  # later it has other latents, too
                # Rows of 8 bits are off by up to 1, and the rotation adds up three colours.
                assert np.abs(look.astype(int) - linear.decode(prefix)).max() <= 2
        for measure in measures:
            assert measure(looks, pixels).mean() > measure(hashes, pixels).mean()


def assert_same_picture(found: dict[str, Any], stream: bytes, pixels: Pixels) -> None:
    header = parse_header(stream)
    expected = pixels
    if pixels.shape[2] == 3:
        expected = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], -1)
    assert (found["width"], found["height"]) == (header.width, header.height)
    assert found["aspectRatio"] == header.aspect[0] / header.aspect[1]
    rgba = _array(found["rgba"], np.uint8).reshape(expected.shape)
    assert np.abs(rgba.astype(int) - expected).max() <= 1


def assert_same_symbols(found: dict[str, Any], stream: bytes, codec: LappedCodec) -> None:
    header = parse_header(stream)
    if header.bitstream_id is None:
        return
    expected = codec._symbol_decoder(header, stream).decode_all()
    assert found["known"] == expected.symbols
    assert found["planes"] == expected.planes
    for name, table in (("states", expected.q), ("levels", expected.levels)):
        layers = np.stack([_array(layer, np.int32) for layer in found[name]])
        assert np.array_equal(layers, table.reshape(layers.shape))


def _array(text: str, kind: type[np.generic]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)
