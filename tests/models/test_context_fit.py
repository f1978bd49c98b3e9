"""The fitted context model is the one of the codec."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer
from thumbstream.codec.embedded.symbols import encode_symbols
from thumbstream.codec.tensors import Grid
from thumbstream_models.embedded import context_fit
from thumbstream_models.embedded.codec_config import ContextConfig
from thumbstream_models.embedded.symbol_layout import ladder

LAYOUT = EmbeddedParams(
    channels=6, planes=4, groups=(2, 1, 3), starts=(0, 0, 1, 1, 2, 3), base_step=27.0
)
CONFIG = ContextConfig(
    hidden=10,
    middle=6,
    steps=160,
    batch_size=16,
    learning_rate=0.02,
    plane_weights=(1.0,) * 4,
    fine_from=3,
    fine_chance=0.5,
    pictures=0,
    seed=1,
)


def latents(batch: int, seed: int = 0, rows: int = 3, columns: int = 2) -> torch.Tensor:
    """Neighbours are alike, and loud cells are loud in all channels."""
    generator = torch.Generator().manual_seed(seed)
    loud = torch.exp(1.5 * torch.randn(batch, 1, 1, 1, generator=generator))
    noise = torch.randn(batch, 6, rows, columns, generator=generator)
    shared = torch.randn(batch, 6, 1, 1, generator=generator)
    scale = torch.tensor([20.0, 12, 8, 6, 3, 1])[:, None, None]
    return loud * scale * (shared + 0.5 * noise)


@pytest.fixture(scope="module")
def fitted() -> context_fit.ContextNetworks:
    return context_fit.fit([latents(600), latents(300, 1, 4, 4)], LAYOUT, CONFIG, quiet=True)


def test_codec_computes_the_fitted_probabilities(
    fitted: context_fit.ContextNetworks,
) -> None:
    quantizer, grid = EmbeddedQuantizer(LAYOUT), Grid(3, 2)
    model = EmbeddedContextModel(fitted.tables(), quantizer)
    y = latents(1, seed=7)
    states = ladder(y, LAYOUT)
    fitted_bits = fitted(states).detach()
    seen, known = EmbeddedContext(model, 1, grid), DecodedLatents(quantizer, (1, 3, 2))
    digits = quantizer.digits(quantizer.quantize(y.numpy().reshape(1, 6, 6)))
    for step in quantizer.steps:
        nonzero, positive = (c.reshape(step.width, 6) / 65536 for c in seen.probabilities(step))
        own = digits[step.plane][0, step.channels]
        spent = -np.log2(np.where(own == 0, 1 - nonzero, nonzero))
        spent -= np.where(own == 0, 0, np.log2(np.where(own > 0, positive, 1 - positive)))
        expected = fitted_bits[step.plane, step.channels].numpy()
        # All integers are the same; the table knows log odds to half of one in 128.
        allowed = 6 * 2 * 0.5 / context_fit.LOGIT_STEPS / math.log(2) + 1e-3 * expected
        assert (np.abs(spent.sum(1) - expected) <= allowed + 0.01).all()
        known.refine(step, digits[step.plane][:, step.channels].astype(np.float32))
        seen.update(step, known.states)


@pytest.mark.slow
def test_fitting_saves_bytes_in_real_streams(fitted: context_fit.ContextNetworks) -> None:
    static = context_fit.ContextNetworks(LAYOUT, hidden=1, middle=1)
    with torch.no_grad():
        for parameter in static.parameters():
            parameter.zero_()
    static.start_from(ladder(latents(600), LAYOUT))
    quantizer, sizes = EmbeddedQuantizer(LAYOUT), []
    held_out = latents(40, seed=9)
    for networks in (fitted, static):
        model = EmbeddedContextModel(networks.tables(), quantizer)
        states = quantizer.quantize(held_out.numpy().reshape(40, 6, 6))
        sizes.append(sum(len(encode_symbols(model, q[None], Grid(3, 2))) for q in states) / 40)
    spent = float(context_fit.bits_by_step(fitted, held_out).sum()) / 8
    assert sizes[0] < 0.93 * sizes[1]
    assert spent == pytest.approx(sizes[0], abs=1.0)


def test_loss_is_the_rate_of_the_tables(fitted: context_fit.ContextNetworks) -> None:
    """Weights that stand on the integers themselves cost the same."""
    tables = fitted.tables()
    with torch.no_grad():
        on_grid = context_fit.ContextNetworks(LAYOUT, CONFIG.hidden, CONFIG.middle)
        for name, parameter in on_grid.named_parameters():
            integers = torch.from_numpy(tables[name].astype(np.float32))
            parameter.copy_(integers / context_fit.GRIDS[name][0])
    on_grid.rounded = True
    y = latents(50, seed=3)
    found, expected = (context_fit.bits_by_step(m, y) for m in (on_grid, fitted))
    torch.testing.assert_close(found, expected)


def test_a_plane_before_the_first_costs_nothing(fitted: context_fit.ContextNetworks) -> None:
    bits = fitted(ladder(latents(9), LAYOUT))
    for channel, start in enumerate(LAYOUT.starts):
        assert bits[:start, channel].tolist() == [0] * start
        assert (bits[start:, channel] > 0).all()


def test_fit_starts_at_the_entropy_of_the_digits() -> None:
    states = ladder(latents(800), LAYOUT)
    model = context_fit.ContextNetworks(LAYOUT, 4, 3)
    with torch.no_grad():
        model.w2.zero_()
        model.w3.zero_()
    model.start_from(states)
    digits = (states[1] - 3 * states[0])[:, 0]
    probabilities = torch.stack([(digits == t).float().mean() for t in (-1, 0, 1)])
    entropy = -(probabilities * probabilities.log2()).sum() * digits.numel()
    assert model(states)[0, 0].item() == pytest.approx(float(entropy), rel=1e-4)


def test_features_are_zero_outside_the_picture() -> None:
    states = torch.tensor([[[[1.0, -9.0], [2.0, 0.0]]]])
    seen = context_fit.features(states)[:, 0].tolist()
    assert seen == [[1, 1, 6, -2], [4, -4, 1, 1], [2, 2, 1, 1], [0, 0, 6, -2]]


def test_fit_is_a_function_of_the_seed() -> None:
    few = dataclasses.replace(CONFIG, steps=4)
    one, other = (
        context_fit.fit([latents(50)], LAYOUT, few, quiet=True).tables() for _ in range(2)
    )
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.slow
def test_predictor_learns_smooth_latents() -> None:
    """In smooth latents, a linear model of the neighbors predicts digits."""
    generator = torch.Generator().manual_seed(3)
    smooth = torch.randn(500, 6, 2, 2, generator=generator) * 25
    y = torch.nn.functional.interpolate(smooth, (5, 5), mode="bilinear", align_corners=True)
    spent = []
    for without in (False, True):
        model = context_fit.ContextNetworks(LAYOUT, 4, 3)
        model.start_from(ladder(y, LAYOUT))
        model.requires_grad_(False)
        for parameter in (model.predictor, model.gain, model.b2):
            parameter.requires_grad_()
        if without:
            model.gain.requires_grad_(False).zero_()
        learnt = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(learnt, 0.03)
        for _ in range(60):
            optimizer.zero_grad()
            model(ladder(y, LAYOUT)).sum().backward()
            optimizer.step()
        spent.append(float(context_fit.bits_by_step(model, y)[-1].sum()))
    assert spent[0] < 0.8 * spent[1]
