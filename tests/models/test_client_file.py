"""The client files of a model, and that the JavaScript client decodes like Python."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import random
import re
import shutil
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.embedded.codec import EmbeddedCodec
from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer
from thumbstream.codec.embedded.symbols import SymbolDecoder
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.tensors import Grid, cell_grid
from thumbstream.errors import BitstreamError
from thumbstream_models.embedded import (
    client_color,
    client_file,
    client_synthesis,
    transform_graphs,
)
from thumbstream_models.embedded.codec_config import FAMILY, STRIDE, EmbeddedConfig
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.transform_networks import Transform
from thumbstream_models.lapped import client_packing
from thumbstream_models.training import model_writer

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "service" / "thumbstream" / "web" / "client"
DECODE = ROOT / "tests" / "web" / "client-decode.mjs"
NODE = shutil.which("node")
MODEL = "thumbstream-1"
LIMIT = 160_000
"""Most bytes of weights and code, gzipped."""
COLOUR_LIMIT = 16_000
"""Limit of the tables of the mean color, gzipped: they are part of the code."""

PARTS = (client_file.client_of, client_file.rest_of, client_file.color_of)

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return open_artifact(ROOT / "models" / "zoo" / MODEL)


LAYOUT = Layout(
    planes=4,
    groups=(1, 3, 4),
    starts=(0, 1, 0, 1, 1, 0, 1, 2),
    base_step=40.0,
    order=(3, 1, 0, 2, 7, 6, 5, 4),
    scales=(1.0, 1.5, 1.0, 2.0, 1.0, 1.0, 3.0, 1.0),
    shares=((1.0, 1.0, 1.0),) * 4,
)
"""Another than that of the published model: one channel in the first group, three in plane 0."""


@pytest.fixture(scope="module")
def random_artifact(product: EmbeddedConfig, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that has learnt nothing: other sizes, a stage without blocks, all tables in use."""
    torch.manual_seed(7)
    bits, layout = product.embedding.weight_bits, LAYOUT.published()
    net = Transform(product.model, LAYOUT.groups).eval()
    torch.nn.init.normal_(net.synthesis.linear.weight, std=0.05)
    transform_graphs.round_weights(transform_graphs.in_order(net, LAYOUT), bits)
    files = transform_graphs.to_onnx(net, LAYOUT.base_step, bits)
    files["entropy.npz"] = model_writer.npz_bytes(random_tables(np.random.default_rng(3), layout))
    manifest = {
        **model_writer.common_fields(product.model_id, FAMILY, STRIDE, files),
        **dataclasses.asdict(layout),
        "training": {},
        "measured": {},
    }
    folder = tmp_path_factory.mktemp("zoo") / product.model_id
    folder.mkdir()
    model_writer.write_folder(folder, json.loads(json.dumps(manifest)), files)
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
    head = b"THSC" + bytes([1, artifact.bitstream_id, len(name)]) + name
    assert data.startswith(head)
    assert zlib.decompress(data[len(head) :]) == client_file.payload(client_file.rest_of(artifact))
    published = (WEB / client_file.PUBLISHED).read_text("ascii").splitlines()
    made = client_file.published_js(artifact, data).splitlines()
    assert published[:-1] == made[:-1]
    color = client_file.color_of(artifact)
    found, expected = color_payload(published[-1]), client_file.payload(color)
    assert len(found) == len(expected)
    # The map to a color is fitted in floating point, which may round differently elsewhere.
    (layer,) = color.synthesis.layers
    fitted = layer.weight.nbytes + layer.scale.nbytes + layer.bias.nbytes
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= fitted


def test_mean_color_of_any_model(random_artifact: Artifact) -> None:
    color = client_file.color_of(random_artifact)
    assert (color.steps, color.planes) == (9, 3)
    assert color.layout.starts == LAYOUT.starts
    (layer,) = color.synthesis.layers
    assert layer.weight.shape == (3, 8, 1)
    assert client_file.payload(color) == client_file.payload(client_file.color_of(random_artifact))


def color_payload(line: str) -> bytes:
    """Bytes of the last line of ``model_colors.generated.js``."""
    found = re.fullmatch(r"export const COLOR_TABLES = (\".*\");", line)
    assert found
    text = json.loads(found[1].replace("\\x", "\\u00"))
    return bytes((ord(letter) - 80) % 256 for letter in text)


@pytest.mark.slow
def test_files_are_small(artifact: Artifact) -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in WEB.iterdir()}
    assert sizes[client_file.PUBLISHED] <= COLOUR_LIMIT
    loaded = sizes[client_file.CLIENT] + sizes[client_file.PUBLISHED] + sizes["thumbstream.min.js"]
    assert loaded <= LIMIT


def full_file(artifact: Artifact) -> bytes:
    """What a client can read without ``model_colors.generated.js`` of the model."""
    return client_file.file_of(
        client_file.client_of(artifact), artifact.model_id, artifact.bitstream_id
    )


@pytest.mark.slow
def test_files_have_no_number_in_common(artifact: Artifact) -> None:
    """What both files hold adds up to the tables of the model, and only one of them has it."""
    full, rest, part = (make(artifact) for make in PARTS)
    assert rest.rest
    assert not full.rest
    for name in full.tables.keys() - client_color.SHIFTS:
        corner = np.zeros_like(rest.tables[name])
        corner[tuple(slice(size) for size in part.tables[name].shape)] = part.tables[name]
        assert np.array_equal(rest.tables[name] + corner, full.tables[name])
        assert not (rest.tables[name] * corner).any()
    saved = len(full_file(artifact)) - len(client_file.client_file(artifact))
    assert saved > 0.6 * len(gzip.compress((WEB / client_file.PUBLISHED).read_bytes()))


@pytest.mark.slow
def test_packed_files_do_not_compress_further(artifact: Artifact) -> None:
    data = full_file(artifact)
    assert data == full_file(artifact)
    assert len(gzip.compress(data)) > len(data)
    plain = client_file.payload(client_file.client_of(artifact))
    assert len(data) < 0.93 * len(gzip.compress(plain))


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


def test_rejects_other_networks(artifact: Artifact) -> None:
    with pytest.raises(ValueError, match="not of the synthesis network"):
        client_synthesis.synthesis_of(_renamed(artifact, "synthesis.net.0.depthwise", "elsewhere"))


def _renamed(artifact: Artifact, name: str, other: str) -> bytes:
    model = onnx.load_model_from_string(artifact.file("synthesis.onnx"))
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace(name, other)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("groups", "starts"),
    [((4, 4), (0, 1, 1, 1, 1, 1, 0, 2)), ((1, 3, 4), (0, 1, 1, 1, 2, 1, 0, 1)), ((8,), (1,) * 8)],
)
def test_leading_steps_have_the_probabilities_of_the_full_model(
    groups: tuple[int, ...], starts: tuple[int, ...]
) -> None:
    """Whatever the layout: random tables, random digits, several cells."""
    rng = np.random.default_rng(11)
    layout = EmbeddedParams(channels=8, planes=4, groups=groups, starts=starts, base_step=9.0)
    tables = random_tables(rng, layout)
    lead = client_color.lead_of(layout)
    part, reduced = client_color.part_of(layout, tables, lead)
    counts = np.zeros(layout.channels, np.int64)
    for step in lead:
        counts[step.channels] += 1
    assert (counts >= client_color.DIGITS).sum() >= client_color.CHANNELS
    assert part.channels == np.flatnonzero(counts)[-1] + 1
    for name in ("b1", "b2", "gain"):  # planes after the leading steps do not exist
        missing = layout.planes - len(reduced[name])
        reduced[name] = np.pad(reduced[name], [(0, missing), *[(0, 0)] * (reduced[name].ndim - 1)])
    grid = Grid(2, 3)
    whole_nesting = EmbeddedQuantizer(layout)
    full = EmbeddedContext(EmbeddedContextModel(tables, whole_nesting), 2, grid)
    part_nesting = EmbeddedQuantizer(part)
    small = EmbeddedContext(EmbeddedContextModel(reduced, part_nesting), 2, grid)
    latents, few = (
        DecodedLatents(quantizer, (2, 2, 3)) for quantizer in (whole_nesting, part_nesting)
    )
    assert len(part_nesting.steps) >= len(lead)
    for step, own in zip(lead, part_nesting.steps, strict=False):
        nonzero, positive = full.probabilities(step)
        found = small.probabilities(own)
        assert np.array_equal(nonzero, found[0])
        assert np.array_equal(positive, found[1])
        digits = rng.integers(-1, 2, (2, step.width, grid.cells)).astype(np.float32)
        for known, at, context in ((latents, step, full), (few, own, small)):
            known.refine(at, digits)
            context.update(at, known.states)


def random_tables(rng: np.random.Generator, layout: EmbeddedParams) -> dict[str, NDArray[Any]]:
    channels, groups, planes, hidden, second = layout.channels, len(layout.groups), 4, 5, 3

    def some(kind: type[np.generic], most: int, *shape: int) -> NDArray[Any]:
        return rng.integers(-most, most + 1, shape).astype(kind)

    return {
        "a": some(np.int8, 60, 4 * channels, hidden),
        "b": some(np.int8, 60, 4 * channels, hidden),
        "b1": some(np.int32, 300, planes, groups, hidden),
        "m": some(np.int8, 40, hidden, second),
        "bm": some(np.int32, 500, groups, second),
        "w2": some(np.int8, 15, 2, channels, hidden),
        "w3": some(np.int8, 15, 2, channels, second),
        "own": some(np.int16, 400, 5, channels),
        "b2": some(np.int32, 900, planes, 2, channels),
        "predictor": some(np.int8, 30, 2 * channels, channels),
        "gain": some(np.int16, 9, planes, 2, channels),
        "probability": np.linspace(30, 65500, 2048).astype(np.uint16),
        "shifts": np.array([2, 4, 3], np.uint8),
        "prediction_shifts": np.array([9, 8, 7, 6], np.uint8),
    }


def given_streams(codec: EmbeddedCodec) -> list[bytes]:
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


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize(
    "which", [pytest.param("artifact", marks=pytest.mark.slow), "random_artifact"]
)
def test_client_decodes_like_python(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Symbols to the bit, pixels within 1 of 255 of ONNX Runtime, errors of the same class."""
    artifact: Artifact = request.getfixturevalue(which)
    weights = tmp_path / client_file.CLIENT
    published = which == "artifact"
    weights.write_bytes(client_file.client_file(artifact) if published else full_file(artifact))
    codec = EmbeddedCodec(artifact, device="cpu")
    model = EmbeddedContextModel(
        artifact.arrays("entropy.npz"), EmbeddedQuantizer(EmbeddedParams.from_artifact(artifact))
    )
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
            assert_same_symbols(found[name], stream, model)
            compared += 1
    assert compared > len(given)


def assert_same_picture(found: dict[str, Any], stream: bytes, pixels: Pixels) -> None:
    header = parse_header(stream)
    expected = pixels
    if pixels.shape[2] == 3:
        expected = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], -1)
    assert (found["width"], found["height"]) == (header.width, header.height)
    assert found["aspectRatio"] == header.aspect[0] / header.aspect[1]
    rgba = _array(found["rgba"], np.uint8).reshape(expected.shape)
    assert np.abs(rgba.astype(int) - expected).max() <= 1


def assert_same_symbols(found: dict[str, Any], stream: bytes, model: EmbeddedContextModel) -> None:
    header = parse_header(stream)
    if header.bitstream_id is None:
        return
    grid = cell_grid(header.height, header.width, STRIDE)
    trace = SymbolDecoder(stream[header.length :], model, 1 + header.alpha, grid).decode_all()
    assert found["known"] == trace.decoded_count
    levels = np.stack([_array(layer, np.uint8) for layer in found["levels"]])
    states = np.stack([_array(layer, np.int32) for layer in found["states"]])
    values = (states * model.quantizer.intervals[levels]).astype(np.float32)
    assert np.array_equal(levels, trace.levels.reshape(levels.shape))
    assert np.array_equal(values, trace.values.reshape(values.shape))


def _array(text: str, kind: type[np.generic]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), kind)
