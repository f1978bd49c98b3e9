"""Golden vectors of the lapped family: bytes, prefixes, and an independent twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_lapped

from thumbstream.codec.lapped.linear import integer_cosines
from thumbstream.codec.lapped.params import ContextTables, LappedParams, LookTables
from thumbstream.codec.lapped.probabilities import decision_tables
from thumbstream.codec.lapped.stream_model import StreamModel
from thumbstream.codec.lapped.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.tensors import Grid

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "lapped.json").read_text())
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
    for n, expected in GOLDEN["cosines"].items():
        assert integer_cosines(int(n)).tolist() == expected


def test_no_rounded_number_is_near_a_rounding_boundary() -> None:
    """docs/bitstream.md promises it, so that all implementations have the same integers."""
    for n in range(1, 33):
        places = np.arange(n)
        exact = 4096 * np.sqrt(2 / n) * np.cos(np.pi * places[1:, None] * (2 * places + 1) / 2 / n)
        assert (np.abs(exact % 1 - 0.5) > 1e-4).all()


@pytest.mark.parametrize("vector", VECTORS)
def test_states_to_bytes_and_back(vector: dict[str, Any]) -> None:
    q, data = np.array(vector["states"], np.int32), bytes.fromhex(vector["hex"])
    grid, layers = Grid(vector["rows"], vector["columns"]), vector["layers"]
    assert SymbolEncoder(MODEL, q, grid).data == data
    for tail in (b"", b"\xa5" * 9):
        found = SymbolDecoder(data + tail, MODEL, layers, grid)
        assert np.array_equal(found.decode_all().q, q)
        assert found.probabilities() == vector["probabilities"]
    prefixes = found.prefixes(range(len(data) + 1))
    assert [one.symbols for one in prefixes] == vector["known"]


@pytest.mark.parametrize("vector", [case for case in VECTORS if "probable" in str(case.id)])
def test_an_independent_twin_has_the_same_probabilities(vector: dict[str, Any]) -> None:
    assert reference_lapped.probabilities(vector, GOLDEN) == vector["probabilities"]
