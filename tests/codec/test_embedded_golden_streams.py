"""Golden streams of the published models of the embedded family."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_embedded
from codec_embedded import embedded_folder
from codec_folders import ZOO

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.embedded.context import EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import EmbeddedQuantizer
from thumbstream.codec.embedded.symbols import SymbolDecoder, encode_symbols
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.tensors import cell_grid
from thumbstream.models import installed_models

PUBLISHED = [
    model_id
    for model_id in installed_models().installed
    if installed_models().manifest(model_id)["family"] == "embedded"
]


def read_and_write(artifact: Artifact, vector: dict[str, Any]) -> None:
    """States to stream and back: complete, with a tail, and cut at every byte."""
    quantizer = EmbeddedQuantizer(EmbeddedParams.from_artifact(artifact))
    model = EmbeddedContextModel(artifact.arrays("entropy.npz"), quantizer)
    stream = bytes.fromhex(vector["hex"])
    header, alpha = parse_header(stream), vector["alpha"]
    assert (header.width, header.height) == (vector["width"], vector["height"])
    assert header.alpha == alpha
    grid = cell_grid(header.height, header.width, artifact.stride)
    states = codec_vectors.states_of(vector["states"])
    assert states.shape == (1 + alpha, quantizer.params.channels, grid.cells)
    start = write_header(artifact.bitstream_id, header.width, header.height, alpha=alpha)
    assert start + encode_symbols(model, states, grid) == stream

    known = vector["known"]
    assert len(known) == len(stream) + 1
    assert known == sorted(known)
    payload = stream[header.length :]
    finest = states.astype(np.float32) * quantizer.intervals[-1]
    for data in (payload, payload + b"\xa5" * 9):
        found = SymbolDecoder(data, model, 1 + alpha, grid).decode_all()
        assert (found.decoded_count, found.step) == (known[-1], None)
        np.testing.assert_array_equal(found.values.reshape(states.shape), finest)
    trace = SymbolDecoder(payload, model, 1 + alpha, grid)
    for found, expected in zip(
        trace.prefixes(range(len(payload) + 1)), known[header.length :], strict=True
    ):
        assert found.decoded_count == expected


def check_against_reference(artifact: Artifact, vector: dict[str, Any]) -> None:
    """Published tables as Python integers."""
    tables = {name: table.tolist() for name, table in artifact.arrays("entropy.npz").items()}
    layout = EmbeddedParams.from_artifact(artifact)
    reference = reference_embedded.Model(
        tables, list(layout.groups), list(layout.starts), layout.planes
    )
    stream = bytes.fromhex(vector["hex"])
    header = parse_header(stream)
    grid = cell_grid(header.height, header.width, artifact.stride)
    states = codec_vectors.states_of(vector["states"])
    plain = states.reshape(*states.shape[:2], grid.rows, grid.columns).tolist()
    assert reference_embedded.write(reference, plain) == stream[header.length :]


def cases(vectors: dict[str, dict[str, Any]]) -> list[Any]:
    return [
        pytest.param(model_id, vector, id=f"{model_id}: {vector['name']}")
        for model_id, golden in vectors.items()
        for vector in golden["vectors"]
    ]


GOLDEN = {model_id: codec_vectors.read(model_id) for model_id in PUBLISHED}


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_vectors_match_published_tables(model_id: str) -> None:
    tables = (ZOO / model_id / "entropy.npz").read_bytes()
    assert GOLDEN[model_id]["tables_sha256"] == hashlib.sha256(tables).hexdigest()
    assert GOLDEN[model_id]["bitstream_id"] == installed_models().manifest(model_id)["bitstream_id"]
    assert GOLDEN[model_id]["model"] == model_id


@pytest.mark.parametrize(("model_id", "vector"), cases(GOLDEN))
def test_golden_streams(model_id: str, vector: dict[str, Any]) -> None:
    read_and_write(open_artifact(ZOO / model_id), vector)


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_reference_writes_the_same_streams(model_id: str) -> None:
    """The shortest vector."""
    vector = min(GOLDEN[model_id]["vectors"], key=lambda vector: len(vector["hex"]))
    check_against_reference(open_artifact(ZOO / model_id), vector)


def test_vectors_can_be_generated_for_any_model(tmp_path: Path) -> None:
    """Also for an unpublished model; the generated vectors agree with the reference."""
    sys.path.insert(0, str(codec_vectors.FOLDER))
    import embedded_vectors

    artifact = open_artifact(embedded_folder(tmp_path))
    vectors = embedded_vectors.model_vectors(artifact)
    assert len({vector["name"] for vector in vectors["vectors"]}) == len(vectors["vectors"])
    for vector in vectors["vectors"]:
        read_and_write(artifact, vector)
    for vector in sorted(vectors["vectors"], key=lambda vector: len(vector["hex"]))[:4]:
        check_against_reference(artifact, vector)
