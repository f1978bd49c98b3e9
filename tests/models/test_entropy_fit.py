from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thumbstream.codec.iterative.codes import CodeEncoder, decode_codes
from thumbstream.codec.iterative.context import HALVES_PER_PLANE, Context, ContextModel, half_planes
from thumbstream.codec.tensors import Grid
from thumbstream_models.paper import entropy_fit, networks
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training.probability_table import probability_table

Codes = NDArray[np.int8]
ITERATIONS, PLANES = 3, 2
SHIFT = 2**entropy_fit.LOGIT_SHIFT


def flip(codes: Codes, probability: float, rng: np.random.Generator) -> Codes:
    return np.where(rng.random(codes.shape) < probability, -codes, codes).astype(np.int8)


def random_codes(shape: tuple[int, ...], probability: float, rng: np.random.Generator) -> Codes:
    return np.where(rng.random(shape) < probability, 1, -1).astype(np.int8)


def structured(count: int, rows: int, columns: int, seed: int) -> Codes:
    """Codes whose entropy is known, one kind of dependence after another.

    Iteration 0: plane 0 is noise on even squares, and on odd ones the left neighbour (in the first
    column the right one) with one code in ten flipped; plane 1 is constant.
    Iteration 1: plane 0 copies plane 0 of iteration 0 with one code in twenty flipped; plane 1 is
    +1 one time in five.
    Iteration 2: plane 0 is the opposite of iteration 0's with one in twenty flipped; plane 1 copies
    plane 0 of its own iteration.
    """
    rng = np.random.default_rng(seed)
    shape = (count, rows, columns)
    first = random_codes(shape, 0.5, rng)
    source = np.minimum(np.abs(np.arange(columns) - 1), columns - 1)
    copied = first[:, :, source]
    even = np.indices((rows, columns)).sum(0) % 2 == 0
    first = np.where(even, first, flip(copied, 0.1, rng))
    third = flip((-first).astype(np.int8), 0.05, rng)
    planes = [
        [first, np.ones(shape, np.int8)],
        [flip(first, 0.05, rng), random_codes(shape, 0.2, rng)],
        [third, third],
    ]
    return np.stack([np.stack(pair, 1) for pair in planes], 1).astype(np.int8)


def h(probability: float) -> float:
    """Bits of a decision of this probability."""
    return -probability * math.log2(probability) - (1 - probability) * math.log2(1 - probability)


TRUE_RATES = [(0.5 + 0.5 * h(0.1)) / 2, (h(0.05) + h(0.2)) / 2, h(0.05) / 2]
"""Bits per code of `structured`, by iteration (half of the squares are even)."""


@dataclass(frozen=True)
class Fitted:
    tables: dict[str, NDArray[np.generic]]
    rates: list[float]
    models: list[entropy_fit.IterationModel]


def fit(batches: list[Codes], *, steps: int, seed: int = 1) -> Fitted:
    """`entropy.fit`, and the networks that it rounded to tables."""
    models = []
    fit_iteration = entropy_fit.fit_iteration

    def recorded(*args: object, **options: object) -> tuple[entropy_fit.IterationModel, float]:
        model, rate = fit_iteration(*args, **options)  # type: ignore[arg-type]
        models.append(model)
        return model, rate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entropy_fit, "fit_iteration", recorded)
        tables, rates = entropy_fit.fit(batches, steps=steps, seed=seed, quiet=True)
    return Fitted(tables, rates, models)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit([structured(3000, 4, 4, 1), structured(1000, 6, 8, 2)], steps=150)


@pytest.fixture(scope="module")
def held_out() -> Codes:
    """Codes that the tables were not fitted to, on the largest square grid of a stream."""
    return structured(4, 32, 32, 3)


def log_odds(model: entropy_fit.IterationModel, codes: Codes, t: int) -> torch.Tensor:
    x = torch.from_numpy(codes.astype(np.float32))
    earlier = [x[:, t - s] if t >= s else torch.zeros_like(x[:, 0]) for s in (1, 2)]
    with torch.no_grad():
        return model(x[:, t], torch.cat(earlier, 1))


def write(codes: Codes, model: ContextModel) -> bytes:
    writer = CodeEncoder(model, Grid(*codes.shape[-2:]))
    for iteration in codes:
        writer.write(iteration.astype(np.float32))
    return writer.finish()


def integer_probabilities(codes: Codes, model: ContextModel) -> NDArray[np.int64]:
    """``P(+1) * 2^16`` of every code of one picture, as the coder sees them."""
    grid = Grid(*codes.shape[-2:])
    context = Context(model, grid)
    out = np.zeros(codes.shape, np.int64)
    for t, iteration in enumerate(codes):
        context.next_iteration()
        for plane in range(codes.shape[1]):
            for half, cells in enumerate(half_planes(grid)):
                out[t, plane].reshape(-1)[cells] = context.probabilities(plane, half)
                known = iteration[plane].reshape(-1)[cells].astype(np.float32)
                context.update(plane, half, known)
    return out


# The tables


@pytest.mark.slow
def test_fit_is_close_to_the_true_entropy(fitted: Fitted) -> None:
    for rate, true in zip(fitted.rates, TRUE_RATES, strict=True):
        assert true - 0.01 < rate < true + 0.03


@pytest.mark.slow
def test_streams_are_close_to_the_true_entropy(fitted: Fitted, held_out: Codes) -> None:
    model = ContextModel(fitted.tables)
    spent = sum(8 * len(write(codes, model)) for codes in held_out)
    true = sum(TRUE_RATES) * PLANES * held_out.shape[-1] * held_out.shape[-2] * len(held_out)
    assert spent < 1.04 * true


@pytest.mark.slow
def test_streams_have_the_predicted_size(fitted: Fitted, held_out: Codes) -> None:
    """Cross-entropy of the torch networks against the length of real streams."""
    predicted = 0.0
    for t, model in enumerate(fitted.models):
        odds = log_odds(model, held_out, t)
        truth = torch.from_numpy((held_out[:, t] > 0).astype(np.float32))
        nats = torch.nn.functional.binary_cross_entropy_with_logits(odds, truth, reduction="sum")
        predicted += float(nats) / math.log(2)
    tables = ContextModel(fitted.tables)
    spent = sum(8 * len(write(codes, tables)) for codes in held_out)
    assert spent == pytest.approx(predicted, rel=0.01)


@pytest.mark.slow
def test_streams_decode_to_the_codes(fitted: Fitted, held_out: Codes) -> None:
    model = ContextModel(fitted.tables)
    grid = Grid(*held_out.shape[-2:])
    for codes in held_out[:2]:
        decoded = decode_codes(write(codes, model), model, grid)
        np.testing.assert_array_equal(decoded.codes, codes)


@pytest.mark.slow
def test_constant_planes_cost_almost_nothing() -> None:
    codes = np.ones((200, 2, 3, 4, 4), np.int8)
    codes[:, :, 1] = -1
    tables = fit([codes], steps=60).tables
    model = ContextModel(tables)
    cells = 16 * 16
    large = np.ones((2, 3, 16, 16), np.int8)
    large[:, 1] = -1
    assert 8 * len(write(large, model)) < 0.01 * 2 * 3 * cells


def test_noise_costs_one_bit_per_code() -> None:
    codes = random_codes((2000, 1, 2, 4, 4), 0.5, np.random.default_rng(4))
    result = fit([codes], steps=60)
    assert result.rates[0] == pytest.approx(1, abs=0.01)
    large = random_codes((1, 2, 32, 32), 0.5, np.random.default_rng(5))
    assert len(write(large, ContextModel(result.tables))) == pytest.approx(2 * 1024 / 8, rel=0.02)


@pytest.mark.slow
def test_tables_have_the_published_types_and_shapes(fitted: Fitted) -> None:
    hidden, steps = entropy_fit.HIDDEN, (ITERATIONS, PLANES * HALVES_PER_PLANE)
    expected = {
        "w1": (np.int8, (ITERATIONS, 3, PLANES, 9, hidden)),
        "b1": (np.int16, (*steps, hidden)),
        "w2": (np.int8, (*steps, hidden)),
        "b2": (np.int32, steps),
        "probability": (np.uint16, (2048,)),
    }
    assert {name: (t.dtype.type, t.shape) for name, t in fitted.tables.items()} == expected
    model = ContextModel(fitted.tables)
    assert (model.iterations, model.planes) == (ITERATIONS, PLANES)


def test_same_codes_and_seed_give_the_same_tables() -> None:
    codes = structured(100, 4, 4, 6)
    first, again, other = (fit([codes], steps=5, seed=seed).tables for seed in (1, 1, 2))
    for name, table in first.items():
        np.testing.assert_array_equal(table, again[name])
    assert any(not np.array_equal(table, other[name]) for name, table in first.items())


def test_probability_table() -> None:
    table = probability_table(entropy_fit.LOGIT_STEPS).astype(int)
    assert table.min() >= 1
    assert table.max() < 2**16
    assert np.all(np.diff(table) >= 0)
    np.testing.assert_array_equal(table + table[::-1], np.full(2048, 2**16))
    middle = len(table) // 2
    for nats in (-7, -1, 0, 3):
        index = middle + round(nats * entropy_fit.LOGIT_STEPS)
        between = sum(table[index - 1 : index + 1]) / 2 / 2**16
        assert between == pytest.approx(1 / (1 + math.exp(-nats)), abs=3e-5)


# Integers in floating point


def on_the_grid(model: entropy_fit.IterationModel) -> entropy_fit.IterationModel:
    """``b2``, which training does not round, on the grid of the tables."""
    with torch.no_grad():
        scale = entropy_fit.SCALE**2
        model.b2.copy_((model.b2 * scale).round() / scale)
    return model


def tables_of(models: list[entropy_fit.IterationModel]) -> Fitted:
    """``models`` rounded to tables, as `entropy.fit` rounds what it has fitted."""
    given = iter(models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entropy_fit, "fit_iteration", lambda *_, **__: (next(given), 0.0))
        shape = (1, len(models), models[0].planes, 1, 1)
        tables, rates = entropy_fit.fit([np.ones(shape, np.int8)], quiet=True)
    return Fitted(tables, rates, models)


@pytest.fixture(scope="module")
def strong() -> Fitted:
    """Random networks whose hidden values and log odds reach both ends of their ranges."""
    torch.manual_seed(5)
    models = [entropy_fit.IterationModel(PLANES) for _ in range(ITERATIONS)]
    with torch.no_grad():
        for model in models:
            model.w1.mul_(25)
            model.w2.mul_(4)
            model.b2.uniform_(-3, 3)
    return tables_of(models)


@pytest.mark.parametrize("which", [pytest.param("fitted", marks=pytest.mark.slow), "strong"])
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (1, 5), (5, 1), (3, 2)])
def test_torch_network_gives_the_integer_probabilities(
    which: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """Exactly: every value on the way is a multiple of 1/1024 that float32 holds."""
    made: Fitted = request.getfixturevalue(which)
    model = ContextModel(made.tables)
    for codes in (
        structured(2, *size, 7),
        random_codes((2, 3, 2, *size), 0.5, np.random.default_rng(8)),
    ):
        for picture in codes:
            expected = integer_probabilities(picture, model)
            for t in range(ITERATIONS):
                odds = log_odds(on_the_grid(made.models[t]), picture[None], t)[0]
                integers = odds.double().numpy() * entropy_fit.SCALE**2
                np.testing.assert_array_equal(integers, np.rint(integers))
                index = np.clip(integers.astype(np.int64) // SHIFT + 1024, 0, 2047)
                np.testing.assert_array_equal(model.probability[index], expected[t])


def test_strong_networks_reach_both_ends_of_every_range(strong: Fitted) -> None:
    model = ContextModel(strong.tables)
    probabilities = integer_probabilities(
        random_codes((3, 2, 16, 16), 0.5, np.random.default_rng(9)), model
    )
    assert probabilities.min() == model.probability[0]
    assert probabilities.max() == model.probability[-1]
    largest = np.abs(strong.tables["w1"].astype(int)).sum(axis=(1, 2, 3))
    assert np.abs(strong.tables["w1"]).max() == 127
    assert largest.min() > 255


@pytest.mark.parametrize("value", [0.0, 0.01, 0.0157, -0.3, 3.9, 7.0, -123.4])
def test_rounding_is_exact_and_its_gradient_goes_straight_through(value: float) -> None:
    x = torch.tensor([value], requires_grad=True)
    rounded = entropy_fit._rounded(x, 127)
    rounded.backward()
    assert rounded.item() == max(-127, min(127, round(value * 32))) / 32
    assert x.grad is not None
    assert x.grad.item() == 1


def test_torch_network_is_causal() -> None:
    """Changing a code changes no log odds before it in coding order."""
    torch.manual_seed(0)
    model = entropy_fit.IterationModel(3)
    with torch.no_grad():
        model.w1.mul_(5)
        model.b1.add_(2)
    codes = random_codes((1, 1, 3, 4, 4), 0.5, np.random.default_rng(10))
    before = log_odds(model, codes, 0)[0].numpy()
    even, odd = half_planes(Grid(4, 4))
    order = [(p, c) for p in range(3) for c in np.concatenate([even, odd])]
    halves = [(p, half) for p in range(3) for half in (0, 1)]
    for plane, cell in order:
        changed = codes.copy()
        changed.reshape(3, 16)[plane, cell] *= -1
        after = log_odds(model, changed, 0)[0].numpy()
        moved = np.argwhere((after != before).reshape(3, 16))
        mine = halves.index((plane, int(cell in odd)))
        assert all(halves.index((p, int(c in odd))) > mine for p, c in moved)
        if mine < len(halves) - 1:
            assert len(moved)


# Codes to fit on


@pytest.fixture
def net(tiny: SystemConfig) -> networks.Compressor:
    torch.manual_seed(3)
    return networks.build(tiny.model)


def test_codes_of_a_network(net: networks.Compressor, tiny: SystemConfig) -> None:
    def batches() -> Iterator[torch.Tensor]:
        for seed, count in ((0, 3), (1, 2)):
            noise = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
            yield torch.nn.functional.interpolate(noise * 2 - 1, (16, 24), mode="bilinear")

    codes = entropy_fit.codes_of(net, batches(), 3)
    assert codes.dtype == np.int8
    assert codes.shape == (5, 3, tiny.model.code_planes, 2, 3)
    assert set(np.unique(codes)) == {-1, 1}
    np.testing.assert_array_equal(codes, entropy_fit.codes_of(net, batches(), 3))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        first, _ = net.eval()(next(batches()), 3)
    np.testing.assert_array_equal(codes[:3], torch.stack(first, 1).float().numpy())
