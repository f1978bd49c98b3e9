"""Golden vectors of the lapped family: bytes, prefixes, and an independent twin."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_lapped
from codec_folders import ZOO
from codec_lapped import lapped_folder

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.lapped.linear import integer_cosines
from thumbstream.codec.lapped.params import ContextTables, LappedParams, LookTables
from thumbstream.codec.lapped.probabilities import MAX_LOGIT, decision_tables, logistic_table
from thumbstream.codec.lapped.stream_model import StreamModel
from thumbstream.codec.lapped.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.tensors import Grid, cell_grid
from thumbstream.models import installed_models

GOLDEN = codec_vectors.read("lapped")
PUBLISHED = {
    model_id: codec_vectors.read(model_id)
    for model_id in installed_models().installed
    if installed_models().manifest(model_id)["family"] == "lapped"
}
TYPES = {
    "starts": np.uint8,
    "shifts": np.uint8,
    "b1": np.int32,
    "bm": np.int32,
    "b2": np.int32,
    "b1_plane": np.int16,
    "b2_plane": np.int16,
    "own": np.int16,
}
"""Of the tables that are not int8."""
VECTORS = [pytest.param(vector, id=vector["name"]) for vector in GOLDEN["vectors"]]


def tables(name: str) -> dict[str, np.ndarray]:
    return {key: np.array(value, TYPES.get(key, np.int8)) for key, value in GOLDEN[name].items()}


def golden_model() -> StreamModel:
    params = LappedParams(**{**GOLDEN["params"], "groups": tuple(GOLDEN["params"]["groups"])})
    return StreamModel(
        params,
        LookTables.from_arrays(tables("look"), params),
        ContextTables.from_arrays(tables("contexts"), params),
    )


MODEL = golden_model()


def test_decision_tables_and_cosines() -> None:
    for found, expected in zip(decision_tables(), GOLDEN["decisions"].values(), strict=True):
        assert found.tolist() == expected
    assert logistic_table().tolist() == GOLDEN["logistic"]
    for n, expected in GOLDEN["cosines"].items():
        assert integer_cosines(int(n)).tolist() == expected


def test_no_rounded_number_is_near_a_rounding_boundary() -> None:
    """docs/bitstream.md promises it, so that all implementations have the same integers."""
    for n in range(1, 33):
        places = np.arange(n)
        exact = 4096 * np.sqrt(2 / n) * np.cos(np.pi * places[1:, None] * (2 * places + 1) / 2 / n)
        assert (np.abs(exact % 1 - 0.5) > 1e-4).all()
    logits = np.arange(-MAX_LOGIT, MAX_LOGIT + 1)
    exact = 65536 / (1 + np.exp(-logits / 256))
    assert (np.abs(exact % 1 - 0.5) > 3e-5).all()
    for scale in range(48):
        for distance in range(33):
            for exact in reference_lapped.exact_logits(scale, distance):
                assert abs(exact) > 2840 or abs(exact % 1 - 0.5) > 3e-5


@pytest.mark.parametrize("vector", VECTORS)
def test_states_to_bytes_and_back(vector: dict[str, Any]) -> None:
    q, data = np.array(vector["states"], np.int32), bytes.fromhex(vector["hex"])
    grid, layers = Grid(vector["rows"], vector["columns"]), vector["layers"]
    assert SymbolEncoder(MODEL, q, grid, axis=vector["axis"]).data == data
    for tail in (b"", b"\xa5" * 9):
        found = SymbolDecoder(data + tail, MODEL, layers, grid)
        assert found.decode_all().axis == vector["axis"]
        assert np.array_equal(found.decode_all().q, q)
        assert found.probabilities() == vector["probabilities"]
    prefixes = found.prefixes(range(len(data) + 1))
    assert [one.symbols for one in prefixes] == vector["known"]


@pytest.mark.parametrize("vector", [case for case in VECTORS if "probable" in str(case.id)])
def test_an_independent_twin_has_the_same_probabilities(vector: dict[str, Any]) -> None:
    assert reference_lapped.probabilities(vector, GOLDEN) == vector["probabilities"]


# Streams of published models.


def model_of(artifact: Artifact) -> StreamModel:
    params = LappedParams.from_artifact(artifact)
    return StreamModel(
        params,
        LookTables.from_arrays(artifact.arrays("look.npz"), params),
        ContextTables.from_arrays(artifact.arrays("contexts.npz"), params),
    )


def check_stream(artifact: Artifact, model: StreamModel, vector: dict[str, Any]) -> None:
    """States to a stream and back: complete, with a tail, and cut at every byte."""
    stream, alpha = bytes.fromhex(vector["hex"]), vector["alpha"]
    header = parse_header(stream)
    assert (header.width, header.height, header.alpha) == (
        *(vector["width"], vector["height"]),
        alpha,
    )
    grid = cell_grid(header.height, header.width, artifact.stride)
    states = np.array(vector["states"], np.int32)
    start = write_header(artifact.bitstream_id, header.width, header.height, alpha=alpha)
    assert start + SymbolEncoder(model, states, grid, axis=vector["axis"]).data == stream
    payload, known = stream[header.length :], vector["known"]
    for tail in (b"", b"\xa5" * 9):
        found = SymbolDecoder(payload + tail, model, 1 + alpha, grid).decode_all()
        assert (found.axis, found.symbols, found.step) == (vector["axis"], known[-1], None)
        assert np.array_equal(found.q, states)
    prefixes = SymbolDecoder(payload, model, 1 + alpha, grid).prefixes(range(len(payload) + 1))
    assert [0] * header.length + [one.symbols for one in prefixes] == known


def check_with_the_twin(artifact: Artifact, vector: dict[str, Any]) -> None:
    params = LappedParams.from_artifact(artifact)
    golden = {
        "params": {"groups": params.groups, "planes": params.planes, "look": params.look},
        **{
            name: {key: table.tolist() for key, table in artifact.arrays(f"{name}.npz").items()}
            for name in ("look", "contexts")
        },
    }
    stream = bytes.fromhex(vector["hex"])
    header = parse_header(stream)
    grid, layers = cell_grid(header.height, header.width, artifact.stride), 1 + header.alpha
    shape = {"layers": layers, "rows": grid.rows, "columns": grid.columns}
    decoder = SymbolDecoder(stream[header.length :], model_of(artifact), layers, grid)
    assert reference_lapped.probabilities({**vector, **shape}, golden) == decoder.probabilities()


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_vectors_match_published_tables(model_id: str) -> None:
    golden = PUBLISHED[model_id]
    for name, digest in golden["tables_sha256"].items():
        assert digest == hashlib.sha256((ZOO / model_id / name).read_bytes()).hexdigest()
    assert golden["bitstream_id"] == installed_models().manifest(model_id)["bitstream_id"]
    assert golden["model"] == model_id


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_published_streams(model_id: str) -> None:
    artifact, vectors = open_artifact(ZOO / model_id), PUBLISHED[model_id]["vectors"]
    model = model_of(artifact)
    for vector in vectors:
        check_stream(artifact, model, vector)
    check_with_the_twin(artifact, min(vectors, key=lambda vector: len(vector["hex"])))


def test_vectors_can_be_generated_for_any_model(tmp_path: Path) -> None:
    """Also for an unpublished model; the generated vectors agree with the twin."""
    sys.path.insert(0, str(codec_vectors.FOLDER))
    import lapped_vectors

    artifact = open_artifact(lapped_folder(tmp_path))
    vectors = lapped_vectors.model_vectors(artifact)["vectors"]
    assert len({vector["name"] for vector in vectors}) == len(vectors)
    for vector in vectors:
        check_stream(artifact, model_of(artifact), vector)
    for vector in sorted(vectors, key=lambda vector: len(vector["hex"]))[:4]:
        check_with_the_twin(artifact, vector)
