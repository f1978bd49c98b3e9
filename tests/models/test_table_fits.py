"""The integer tables of the second edition: the fits count the bits that the codec writes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from thumbstream.codec.lapped.params import ContextTables, LappedParams, LookTables
from thumbstream.codec.lapped.planes import StepSymbols
from thumbstream.codec.lapped.probabilities import LOGISTIC, MAX_LOGIT
from thumbstream.codec.lapped.stream_model import StreamModel, encoder_symbols
from thumbstream.codec.tensors import Grid
from thumbstream_models.lapped import context_fit, look_fit, quantisation, states
from thumbstream_models.lapped.config import ContextConfig

PARAMS = LappedParams(groups=(3, 2, 4), planes=44, look=31)
CONFIG = ContextConfig(
    pictures=0,
    steps=30,
    batch_size=4,
    learning_rate=5e-3,
    value_taps=12,
    magnitude_taps=10,
    seed=1,
)


@pytest.fixture(scope="module")
def latents() -> list[Tensor]:
    """Of two grids; earlier channels are larger, and their magnitudes depend on each other."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for rows, columns in ((4, 4), (3, 6)):
        y = torch.randn(24, 9, rows, columns, generator=generator)
        size = torch.exp(torch.randn(24, 1, 1, 1, generator=generator))
        y = y * size * torch.tensor([8.0, 3, 2, 1, 0.8, 0.5, 0.5, 0.3, 0.3])[:, None, None]
        y[:, 1:2] -= y[:, :1] / 3
        y[:, 5:] += y[:, 3:4] / 2
        found.append(y)
    return found


@pytest.fixture(scope="module")
def look(latents: list[Tensor]) -> look_fit.LookModel:
    config = dataclasses.replace(CONFIG, steps=100)
    return look_fit.fit([y[:, :3] for y in latents], PARAMS, config, quiet=True)


@pytest.fixture(scope="module")
def contexts(latents: list[Tensor]) -> context_fit.ContextModel:
    return context_fit.fit(latents, PARAMS, CONFIG, hidden=6, middle=5, quiet=True)


@pytest.mark.parametrize("grid", [0, 1])
def test_fits_count_the_bits_of_the_range_coder(
    latents: list[Tensor],
    look: look_fit.LookModel,
    contexts: context_fit.ContextModel,
    grid: int,
) -> None:
    model = StreamModel(
        PARAMS,
        LookTables.from_arrays({**look.tables(), "axes": np.ones((32, 3), np.int8)}, PARAMS),
        ContextTables.from_arrays(contexts.tables(), PARAMS),
    )
    y = latents[grid][:2]
    cells = Grid(*y.shape[2:])
    layout = model.on_grid(cells).layout
    q = layout.quantize(y.flatten(2).numpy())
    spent = np.zeros((PARAMS.planes, 2))
    for symbols in encoder_symbols(model, q, cells):
        spent[symbols.step.plane, int(symbols.step.group > 0)] += information(symbols)
    expected = np.zeros_like(spent)
    with torch.no_grad():
        for plane in range(PARAMS.planes):
            expected[plane, 0] = float(look(y[:, :3], plane).sum())
            if plane >= int(contexts.first_planes.min()):
                expected[plane, 1] = float(contexts(y, plane).sum())
    np.testing.assert_allclose(spent, expected, rtol=2e-3, atol=0.1)
    assert spent[-1].min() > 0


def information(symbols: StepSymbols) -> float:
    """Bits of the symbols of a step without adaptation."""
    assert symbols.digits is not None
    first, second = (LOGISTIC[z + MAX_LOGIT] / 65536 for z in (symbols.first, symbols.second))
    digits = symbols.digits
    bits = -np.log2(np.where(digits != 0, first, 1 - first))
    signs = -np.log2(np.where(digits > 0, second, 1 - second))
    return float((bits + np.where(symbols.halving | (digits == 0), 0, signs)).sum())


def test_fits_save_bits(latents: list[Tensor]) -> None:
    y = latents[0]
    short = dataclasses.replace(CONFIG, steps=1)
    for steps in (short, dataclasses.replace(CONFIG, steps=150)):
        model = context_fit.fit(latents, PARAMS, steps, hidden=6, middle=5, quiet=True)
        total = sum(spent for _, spent in context_fit.bytes_by_plane(model, y))
        look = look_fit.fit([z[:, :3] for z in latents], PARAMS, steps, quiet=True)
        first = sum(spent for _, spent in look_fit.bytes_by_plane(look, y[:, :3]))
        if steps is short:
            before = total, first
    assert total < 0.99 * before[0]
    assert first < 0.995 * before[1]


def test_first_looks_have_few_taps(look: look_fit.LookModel) -> None:
    tables = look.tables()
    assert 0 < len(tables["values"]) <= CONFIG.value_taps
    assert 0 < len(tables["magnitudes"]) <= CONFIG.magnitude_taps


def test_states_are_those_of_the_training() -> None:
    """A stream that ends with a plane knows what `quantisation.truncated` says."""
    y = torch.randn(2, 6, 4, 4) * 3
    classes = context_fit.classes_of(y, 2)
    for plane in (30, 37):
        depth = (plane - states.UNIT_PLANE) / 4
        nominal = torch.full((2,), 2.0 ** (0.375 - depth))
        cut = quantisation.Cut(nominal, nominal, torch.tensor([True, True]))
        known = quantisation.truncated(y, cut, 2, noise=False)
        levels = states.last_levels(classes, plane)
        q = states.integers(y, levels)
        value = torch.sign(q) * (q.abs() + 7 / 16) * states.step_of(levels)
        torch.testing.assert_close(known.value, value)
        torch.testing.assert_close(known.step, states.step_of(levels).expand_as(y))


def test_every_latent_fits_into_its_first_plane() -> None:
    largest, classes = torch.tensor([0.01, 1.0, 7.0, 300.0]), torch.tensor([0, 1, 2, 3])
    start = states.starts(largest, classes)
    assert (start % 4 == classes).all()
    assert (largest <= 2 * states.step_of(start)).all()
    assert (states.limited(3 * largest, start) <= 2 * states.step_of(start)).all()


def test_magnitudes_are_logarithms() -> None:
    x = torch.tensor([0.0, 1, 2, 7, -8, 24, -119, 500])
    expected = [4 * (int(math.log2(v)) - 3) for v in (8, 8, 8, 15, 16, 32)]
    found = states.magnitudes(x).tolist()
    assert found[0] == expected[0] == 0
    assert found[4] == 4
    assert found[5] == 8
    assert found[-1] == found[-2] == 15
