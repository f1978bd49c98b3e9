"""Context model of the embedded family against the reference, and invalid tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference_embedded
from codec_embedded import GROUPS, LAYOUT, PLANES, STARTS, embedded_tables
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import EmbeddedQuantizer
from thumbstream.codec.tensors import Grid
from thumbstream.errors import ArtifactError

EXACT = 1 << 24
Tables = dict[str, NDArray[np.generic]]
QUANTIZER = EmbeddedQuantizer(LAYOUT)


def reference_of(tables: Tables) -> reference_embedded.Model:
    plain = {name: table.tolist() for name, table in tables.items()}
    return reference_embedded.Model(plain, list(GROUPS), list(STARTS), PLANES)


def assert_same_probabilities(tables: Tables, layers: int, grid: Grid, seed: int) -> None:
    """Compare at every step, after random states."""
    context = EmbeddedContext(EmbeddedContextModel(tables, QUANTIZER), layers, grid)
    reference, rng = reference_of(tables), np.random.default_rng(seed)
    states = np.zeros((layers, len(STARTS), grid.cells), np.float32)
    for step in QUANTIZER.steps:
        nonzero, positive = context.probabilities(step)
        assert nonzero.shape == positive.shape == (layers, step.width * grid.cells)
        plain = states.astype(int).reshape(*states.shape[:2], grid.rows, grid.columns).tolist()
        expected = [
            reference.probabilities(
                step.plane, step.group, plain, (layer, channel, *divmod(cell, grid.columns))
            )
            for layer in range(layers)
            for channel in np.arange(len(STARTS))[step.channels].tolist()
            for cell in range(grid.cells)
        ]
        found = zip(nonzero.reshape(-1).tolist(), positive.reshape(-1).tolist(), strict=True)
        assert list(found) == expected
        digits = rng.integers(-1, 2, (layers, step.width, grid.cells))
        states[:, step.channels] = 3 * states[:, step.channels] + digits
        context.update(step, states)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2)], ids=str)
def test_same_probabilities_as_the_reference(shape: tuple[int, int], layers: int) -> None:
    assert_same_probabilities(embedded_tables(seed=layers), layers, Grid(*shape), 5)


@pytest.mark.parametrize("shifts", [(0, 0, 0), (7, 1, 5), (16, 16, 13)], ids=str)
def test_shifts_round_down(shifts: tuple[int, int, int]) -> None:
    """Sums of both signs, at every shift."""
    tables = {**embedded_tables(seed=2), "shifts": np.array(shifts, np.uint8)}
    assert_same_probabilities(tables, 1, Grid(2, 2), 4)


def test_exact_at_the_limit_of_float32() -> None:
    """Biases that leave just enough room for all weights."""
    rng = np.random.default_rng(1)
    tables = embedded_tables(hidden=64, second=40)
    for name in ("a", "b", "m", "w2", "w3"):
        tables[name] = rng.choice(np.array([-128, 127, 3], np.int8), tables[name].shape)
    tables["own"] = rng.choice(np.array([-(2**15), 2**15 - 1], np.int16), tables["own"].shape)
    tables["predictor"] = rng.choice(np.array([-128, 127, 3], np.int8), tables["predictor"].shape)
    tables["gain"] = rng.choice(np.array([-9000, 9000], np.int16), tables["gain"].shape)
    tables["shifts"] = np.array([16, 13, 13], np.uint8)
    last = 2**23 + 2**22 + 2**20
    for name, least in (("b1", 128 * 40 * 12), ("bm", 255 * 128 * 64), ("b2", last)):
        most = EXACT - 1 - least - (99 if name != "b2" else 0)
        samples = most - rng.integers(0, 99, tables[name].shape)
        tables[name] = (samples * rng.choice([-1, 1], samples.shape)).astype(np.int32)
    assert_same_probabilities(tables, 1, Grid(2, 2), 3)


@pytest.mark.parametrize("b2", range(-17, 18))
def test_logits_are_rounded_down(b2: int) -> None:
    context = EmbeddedContext(biased(b2), 1, Grid(1, 1))
    nonzero, positive = context.probabilities(QUANTIZER.steps[0])
    expected = int(embedded_tables()["probability"][1024 + b2 // 8])
    assert set(nonzero.reshape(-1).tolist()) == set(positive.reshape(-1).tolist()) == {expected}


@pytest.mark.parametrize(("b2", "entry"), [(-(2**20), 0), (-8193, 0), (8192, -1), (2**20, -1)])
def test_logits_are_clipped_to_the_table(b2: int, entry: int) -> None:
    nonzero, _ = EmbeddedContext(biased(b2), 1, Grid(1, 1)).probabilities(QUANTIZER.steps[0])
    expected = int(embedded_tables()["probability"][entry])
    assert set(nonzero.reshape(-1).tolist()) == {expected}


def biased(b2: int) -> EmbeddedContextModel:
    """Only the last bias determines the probabilities."""
    tables = embedded_tables()
    for name in ("w2", "w3", "own", "gain"):
        tables[name] = np.zeros_like(tables[name])
    return EmbeddedContextModel({**tables, "b2": np.full_like(tables["b2"], b2)}, QUANTIZER)


def test_groups_restart_in_every_plane() -> None:
    """Tables that distinguish refined groups: the first step of a plane has none."""
    tables = embedded_tables()
    tables["a"], tables["b"] = np.zeros_like(tables["a"]), np.full_like(tables["b"], 100)
    context = EmbeddedContext(EmbeddedContextModel(tables, QUANTIZER), 1, Grid(2, 2))
    states = np.zeros((1, len(STARTS), 4), np.float32)
    reference = reference_of(tables)
    for step in QUANTIZER.steps:
        nonzero, _ = context.probabilities(step)
        channel = int(np.arange(len(STARTS))[step.channels][0])
        plain = states.astype(int).reshape(1, -1, 2, 2).tolist()
        assert (
            int(nonzero[0, 0])
            == reference.probabilities(step.plane, step.group, plain, (0, channel, 0, 0))[0]
        )
        states[:, step.channels] = 4
        context.update(step, states)


NAMES = tuple(embedded_tables())


@pytest.mark.parametrize("name", NAMES)
def test_rejects_missing_table(name: str) -> None:
    tables = embedded_tables()
    del tables[name]
    with pytest.raises(ArtifactError, match=name):
        EmbeddedContextModel(tables, QUANTIZER)


RESHAPED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "one shorter": lambda table: table.reshape(-1)[:-1] if table.ndim < 2 else table[:-1],
    "empty": lambda table: table.reshape(-1)[:0],
    "one dimension more": lambda table: table[None],
    "flat": lambda table: table.reshape(-1, 1),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", RESHAPED)
def test_rejects_wrong_shape(name: str, how: str) -> None:
    tables = embedded_tables()
    tables[name] = RESHAPED[how](tables[name])
    with pytest.raises(ArtifactError, match="shape"):
        EmbeddedContextModel(tables, QUANTIZER)


def test_rejects_tables_of_other_params() -> None:
    for layout in (
        EmbeddedParams(12, 5, GROUPS, STARTS, 2.0),
        EmbeddedParams(12, 4, (6, 6), STARTS, 2.0),
        EmbeddedParams(11, 4, (2, 4, 5), STARTS[:11], 2.0),
    ):
        with pytest.raises(ArtifactError, match="shape"):
            EmbeddedContextModel(embedded_tables(), EmbeddedQuantizer(layout))


def test_rejects_no_hidden_units() -> None:
    for sizes in ({"hidden": 0}, {"second": 0}):
        with pytest.raises(ArtifactError, match="shape"):
            EmbeddedContextModel(embedded_tables(**sizes), QUANTIZER)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "complex64", "bool", "uint64", "U3", "O"])
def test_rejects_wrong_dtype(name: str, dtype: str) -> None:
    tables = embedded_tables()
    tables[name] = tables[name].astype(dtype)
    with pytest.raises(ArtifactError, match=name):
        EmbeddedContextModel(tables, QUANTIZER)


def test_rejects_zero_probability() -> None:
    tables = embedded_tables()
    tables["probability"][77] = 0  # type: ignore[call-overload]
    with pytest.raises(ArtifactError, match="zero or one"):
        EmbeddedContextModel(tables, QUANTIZER)


def room(tables: Tables) -> dict[str, int]:
    """For each table of biases, the largest magnitude that the other tables allow."""
    table = {name: np.abs(values.astype(int)) for name, values in tables.items()}
    reach = np.tile([4, 4, 16, 16], len(STARTS))[:, None]
    own = np.array([1, 4, 16, 4, 16])[:, None] * table["own"]
    of_own = np.stack([own[:3].sum(0), own[3:].sum(0)])
    heads = 255 * (table["w2"].sum(-1) + table["w3"].sum(-1)) + of_own
    heads = heads + 127 * table["gain"].max(0)
    others = {
        "b1": (np.maximum(table["a"], table["b"]) * reach).sum(0).max(),
        "bm": 255 * table["m"].sum(0).max(),
        "b2": heads.max() + 1024 * 8,
    }
    return {name: EXACT - 1 - int(most) for name, most in others.items()}


@pytest.mark.parametrize("name", ["b1", "bm", "b2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_rejects_sums_beyond_float32(name: str, sign: int) -> None:
    tables = embedded_tables()
    most = room(tables)[name]
    EmbeddedContextModel({**tables, name: np.full_like(tables[name], sign * most)}, QUANTIZER)
    with pytest.raises(ArtifactError, match="float32"):
        EmbeddedContextModel(
            {**tables, name: np.full_like(tables[name], sign * (most + 1))}, QUANTIZER
        )


def test_rejects_predictions_beyond_float32() -> None:
    """Values of 9 planes reach 9,841, and the sum of four neighbours four times as much."""
    layout = EmbeddedParams(12, 9, (12,), (0,) * 12, 2.0)
    quantizer, tables = EmbeddedQuantizer(layout), embedded_tables(layout)
    tables["predictor"] = np.full((24, 12), 28, np.int8)  # 28 * 12 * 5 * 9,841 < 2^24
    tables["prediction_shifts"] = np.full(9, 12, np.uint8)
    EmbeddedContextModel(tables, quantizer)
    tables["predictor"][:, 4] = 29
    with pytest.raises(ArtifactError, match="float32"):
        EmbeddedContextModel(tables, quantizer)


@pytest.mark.parametrize("shift", [0, 3, 16])
def test_predictions_round_down_and_are_clipped(shift: int) -> None:
    tables = embedded_tables(seed=5)
    tables["prediction_shifts"] = np.full(4, shift, np.uint8)
    tables["gain"] *= 8
    assert_same_probabilities(tables, 2, Grid(2, 3), 4)


@pytest.mark.parametrize("name", ["b1", "bm", "b2"])
def test_smallest_int32_does_not_bypass_the_limit(name: str) -> None:
    tables = embedded_tables()
    with pytest.raises(ArtifactError, match="float32"):
        EmbeddedContextModel({**tables, name: np.full_like(tables[name], -(2**31))}, QUANTIZER)


@pytest.mark.parametrize("place", range(3))
def test_rejects_too_large_shift(place: int) -> None:
    for shift in (17, 255):
        shifts = np.array([2, 4, 3], np.uint8)
        shifts[place] = shift
        with pytest.raises(ArtifactError, match=r"over 16|float32"):
            EmbeddedContextModel({**embedded_tables(), "shifts": shifts}, QUANTIZER)


@pytest.mark.parametrize("plane", range(4))
def test_rejects_too_large_prediction_shift(plane: int) -> None:
    shifts = np.full(4, 5, np.uint8)
    shifts[plane] = 17
    with pytest.raises(ArtifactError, match="over 16"):
        EmbeddedContextModel({**embedded_tables(), "prediction_shifts": shifts}, QUANTIZER)
