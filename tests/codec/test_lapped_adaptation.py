"""Adaptation of probabilities, against the twin in plain integers, and to its limits."""

from __future__ import annotations

import numpy as np
import pytest
import reference_lapped

from thumbstream.codec.lapped import adaptation
from thumbstream.codec.lapped.adaptation import Adaptation
from thumbstream.codec.lapped.planes import Step, StepSymbols
from thumbstream.codec.lapped.probabilities import LOGISTIC, MAX_LOGIT, logistic_table

LAYERS, GROUPS = 2, 3
NONE = np.empty(0, np.intp)


def step_symbols(rng: np.random.Generator, group: int, count: int) -> StepSymbols:
    """Symbols of random contexts, some of them extreme."""
    shape = LAYERS, count
    halving = rng.random(shape) < rng.choice([0, 0.4, 1])
    spread = rng.choice([100, 900, 4000])
    first, second = (
        np.clip(rng.normal(0, spread, shape), -MAX_LOGIT, MAX_LOGIT).astype(np.int32)
        for _ in range(2)
    )
    digits = rng.integers(-1, 2, shape).astype(np.int32)
    return StepSymbols(
        Step(0, 0, group, 0, NONE, NONE, NONE),
        halving,
        first,
        np.where(halving, 0, second),
        np.where(halving, np.abs(digits), digits),
    )


def twin_step(twin: reference_lapped.Adapted, symbols: StepSymbols, layer: int) -> list[list[int]]:
    """Probabilities of a layer's symbols by the twin, which then adapts."""
    assert symbols.digits is not None
    group, coded, out = symbols.step.group, [], []
    rows = (symbols.halving, symbols.first, symbols.second, symbols.digits)
    for halving, first, second, digit in zip(*(row[layer].tolist() for row in rows), strict=True):
        kind = 2 if halving else 0
        p = twin.p(kind, group, first)
        sign = 0 if halving else twin.p(1, group, second)
        out.append([p, sign])
        coded.append((kind, first, p, digit != 0))
        if digit and not halving:
            coded.append((1, second, sign, digit > 0))
    twin.change(group, coded)
    return out


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    adapted = Adaptation(LAYERS, GROUPS)
    twins = [reference_lapped.Adapted(GROUPS) for _ in range(LAYERS)]
    for _ in range(30):
        symbols = step_symbols(rng, int(rng.integers(GROUPS)), int(rng.integers(1, 40)))
        probabilities = adapted.probabilities(symbols)
        assert symbols.digits is not None
        adapted.update(symbols, probabilities, symbols.digits)
        for layer, twin in enumerate(twins):
            expected = twin_step(twin, symbols, layer)
            assert np.stack([p[layer] for p in probabilities], 1).tolist() == expected
            assert adapted._factors[layer].tolist() == twin.w
            assert adapted._offsets[layer].tolist() == twin.b


def test_at_first_probabilities_are_those_of_the_context() -> None:
    symbols = step_symbols(np.random.default_rng(0), 1, 50)
    first, second = Adaptation(LAYERS, GROUPS).probabilities(symbols)
    assert np.array_equal(first, LOGISTIC[symbols.first + MAX_LOGIT])
    signed = ~symbols.halving
    assert np.array_equal(second[signed], LOGISTIC[symbols.second + MAX_LOGIT][signed])
    assert not second[symbols.halving].any()


def test_one_decision_by_hand() -> None:
    """One symbol of logit 256, p(256) = 47911, which stays 0."""
    adapted, one = Adaptation(1, 1), np.ones((1, 1), np.int32)
    symbols = StepSymbols(Step(0, 0, 0, 0, NONE, NONE, NONE), one == 0, 256 * one, 0 * one)
    first, second = adapted.probabilities(symbols)
    assert first.tolist() == [[47911]]
    adapted.update(symbols, (first, second), 0 * one)
    # e = -47911, v = 47911 * 17625 >> 16 = 12884
    assert adapted._offsets[0, :, 0].tolist() == [-47911 * 65536 // (786432 + 12884), 0, 0]
    assert adapted._factors[0].tolist() == [65536 + (-47911 * 256 >> 8) // 100, 65536, 65536]


@pytest.mark.parametrize(("sign", "factor"), [(1, adaptation.MAX_FACTOR), (-1, 0)])
def test_limits(sign: int, factor: int) -> None:
    """Decisions that all contexts are wrong or far too careful about."""
    adapted, shape = Adaptation(1, 1), (1, 20000)
    first = np.where(np.arange(20000) % 2, 20, -20).reshape(shape).astype(np.int32)
    halving = np.ones(shape, bool)
    symbols = StepSymbols(Step(0, 0, 0, 0, NONE, NONE, NONE), halving, first, 0 * first)
    for _ in range(100):
        digits = (sign * first > 0).astype(np.int32)
        adapted.update(symbols, adapted.probabilities(symbols), digits)
    assert adapted._factors[0, adaptation.UPPER] == factor
    for digit in (1, 0):
        for _ in range(1500):
            digits = np.full(shape, digit, np.int32)
            adapted.update(symbols, adapted.probabilities(symbols), digits)
        limit = adaptation.MAX_OFFSET if digit else -adaptation.MAX_OFFSET
        assert adapted._offsets[0, adaptation.UPPER, 0] == limit


def test_probabilities_of_logits_are_symmetric_and_never_certain() -> None:
    table = logistic_table()
    assert table[MAX_LOGIT] == 1 << 15
    assert (table + table[::-1] == 1 << 16).all()
    assert (np.diff(table) >= 0).all()
    assert (table[0], table[-1]) == (1, (1 << 16) - 1)
