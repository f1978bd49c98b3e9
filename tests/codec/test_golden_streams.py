"""Golden streams of the published models, and the program that writes golden files."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_codec
from codec_folders import ZOO

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.iterative.codes import CodeEncoder, decode_codes
from thumbstream.codec.iterative.context import ContextModel
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.tensors import Grid, cell_grid
from thumbstream.models import installed_models

GOLDEN = {
    model_id: codec_vectors.read(model_id)
    for model_id in installed_models().installed
    if installed_models().manifest(model_id)["family"] != "lapped"
}
CASES = [
    pytest.param(model_id, vector, id=f"{model_id}: {vector['name']}")
    for model_id, golden in GOLDEN.items()
    for vector in golden["vectors"]
]


@pytest.fixture(scope="module")
def models() -> dict[str, ContextModel]:
    return {
        model_id: ContextModel(open_artifact(ZOO / model_id).arrays("entropy.npz"))
        for model_id in GOLDEN
    }


@pytest.mark.parametrize("model_id", GOLDEN)
def test_vectors_match_published_tables(model_id: str) -> None:
    tables = (ZOO / model_id / "entropy.npz").read_bytes()
    assert GOLDEN[model_id]["tables_sha256"] == hashlib.sha256(tables).hexdigest()
    assert GOLDEN[model_id]["bitstream_id"] == installed_models().manifest(model_id)["bitstream_id"]
    assert GOLDEN[model_id]["model"] == model_id


@pytest.mark.parametrize(("model_id", "vector"), CASES)
def test_golden_streams(
    models: dict[str, ContextModel], model_id: str, vector: dict[str, Any]
) -> None:
    """Codes to stream and back: complete, with a tail, and cut."""
    model, stream = models[model_id], bytes.fromhex(vector["hex"])
    header = parse_header(stream)
    assert (header.width, header.height) == (vector["width"], vector["height"])
    grid = cell_grid(header.height, header.width, installed_models().manifest(model_id)["stride"])
    codes = codec_vectors.codes_of(vector["codes"], grid.rows, grid.columns)
    stops = installed_models().manifest(model_id)["cell_stops"]
    writer = CodeEncoder(model, grid, stops=stops)
    for iteration in codes:
        writer.write(iteration, iteration[0] != 0)
    bitstream_id = GOLDEN[model_id]["bitstream_id"]
    assert write_header(bitstream_id, header.width, header.height) + writer.finish() == stream

    known = vector["known"]
    assert len(known) == len(stream) + 1
    assert known == sorted(known)
    assert known[-1] == np.count_nonzero(codes)
    payload = stream[header.length :]
    step = 1 if len(stream) <= 32 else len(stream) // 12
    for n in {*range(header.length, len(stream), step), len(stream) - 1, len(stream)}:
        found = decode_codes(payload[: n - header.length], model, grid, stops=stops)
        assert found.decoded_count == known[n]
        assert_is_the_beginning(found.codes, codes, known[n], grid)
    tail = decode_codes(payload + b"\xa5" * 9, model, grid, stops=stops)
    np.testing.assert_array_equal(tail.codes, codes[codes.any((1, 2, 3))])


def assert_is_the_beginning(found: np.ndarray, codes: np.ndarray, known: int, grid: Grid) -> None:
    order = coding_order((len(found), codes.shape[1], grid.rows, grid.columns))
    coded = codes[order] != 0
    found, codes = found[order][coded], codes[order][coded]
    np.testing.assert_array_equal(found[:known], codes[:known])
    assert (np.abs(found[known:]) < 1).all()


@lru_cache(maxsize=64)
def coding_order(shape: tuple[int, int, int, int]) -> tuple[np.ndarray, ...]:
    """Indices of all codes of an array of this shape, in coding order."""
    places = [place for half in reference_codec.half_planes(shape) for place in half]
    return tuple(np.array(places).T)


@pytest.mark.parametrize("model_id", GOLDEN)
def test_reference_writes_the_same_streams(model_id: str) -> None:
    """Published tables as Python integers: the shortest vector and its bytes."""
    vector = min(GOLDEN[model_id]["vectors"], key=lambda vector: len(vector["hex"]))
    with np.load(ZOO / model_id / "entropy.npz") as archive:
        tables = {name: archive[name].tolist() for name in archive.files}
    header = parse_header(bytes.fromhex(vector["hex"]))
    grid = cell_grid(header.height, header.width, installed_models().manifest(model_id)["stride"])
    codes = codec_vectors.codes_of(vector["codes"], grid.rows, grid.columns)
    plain = codes.astype(int).tolist()
    if installed_models().manifest(model_id)["cell_stops"]:
        probabilities, bits, _ = reference_codec.stopping_probabilities(tables, plain)
    else:
        probabilities, bits = reference_codec.probabilities(tables, plain)
    payload = reference_codec.range_encode(bits, probabilities)
    assert vector["hex"] == vector["hex"][: 2 * header.length] + payload.hex()


@pytest.fixture
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", codec_vectors.FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_make_reproduces_the_files(make: ModuleType, tmp_path: Path) -> None:
    """Writes to another folder and compares with the golden files."""
    makers = {
        "header": make.header_vectors,
        "rangecoder": make.range_coder_vectors,
        "context-model": make.context_model_vectors,
        "stops": make.stops_vectors,
        "lapped": make.lapped_vectors.small_vectors,
    }
    for name, vectors in makers.items():
        path = tmp_path / f"{name}.json"
        assert make.write(path, vectors(), overwrite=False) == "written"
        assert path.read_bytes() == (codec_vectors.FOLDER / path.name).read_bytes()


def test_files_are_overwritten_only_on_request(make: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    assert make.write(path, [{"a": 1}], overwrite=False) == "written"
    assert make.write(path, [{"a": 1}], overwrite=False) == "unchanged"
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"some\.json would change"):
        make.write(path, [{"a": 2}], overwrite=False)
    assert path.read_bytes() == before
    assert make.write(path, [{"a": 2}], overwrite=True) == "overwritten"
    assert json.loads(path.read_text()) == [{"a": 2}]


def test_command_names_the_file_that_would_change(
    make: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(make, "model_vectors", lambda model_id: {"vectors": [model_id]})
    model_id = installed_models().installed[0]
    assert make.main(["--model", model_id], tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{model_id}.json"]
    monkeypatch.setattr(make, "model_vectors", lambda model_id: {"vectors": []})
    assert make.main(["--model", model_id], tmp_path) == 1
    assert f"{model_id}.json would change" in capsys.readouterr().err
    assert make.main(["--model", model_id, "--overwrite"], tmp_path) == 0
    assert f"{model_id}.json: overwritten" in capsys.readouterr().out


def test_every_golden_file_is_tested() -> None:
    files = {path.stem for path in codec_vectors.FOLDER.glob("*.json")}
    assert files == {
        *("header", "rangecoder", "context-model", "stops", "lapped"),
        *installed_models().installed,
    }
