from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from thumbstream.codec import quality
from thumbstream_models.embedded import rate_distortion
from thumbstream_models.embedded.codec_config import EmbeddedConfig
from thumbstream_models.embedded.transform_networks import Transform, width_of
from thumbstream_models.training import runs
from thumbstream_models.training.ssim import ssim

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net(product: EmbeddedConfig) -> Transform:
    torch.manual_seed(0)
    return Transform(product.model, product.embedding.groups).eval()


def rates(net: Transform) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Both rate models; the lean one with channels in their own order."""
    return net.rate, partial(net.lean, order=torch.arange(8))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (4, 4)])
def test_any_grid(net: Transform, rows: int, columns: int) -> None:
    x = torch.rand(2, 3, 8 * rows, 8 * columns) * 2 - 1
    y = net.analysis(x)
    assert y.shape == (2, 8, rows, columns)
    step = torch.full_like(y, 0.5)
    assert net.synthesis(y, width_of(step)).shape == x.shape
    for bits in rates(net):
        assert bits(y, y, step).shape == y.shape


def test_analysis_without_its_network_is_linear(net: Transform) -> None:
    x = torch.rand(1, 3, 16, 16)
    nonlinear = net.analysis.net(x)
    linear = net.analysis(x) - 4 * nonlinear
    torch.testing.assert_close(linear, 4 * net.analysis.linear(x))


def test_new_synthesis_has_no_linear_part(product: EmbeddedConfig) -> None:
    fresh = Transform(product.model, product.embedding.groups).synthesis
    y = torch.rand(1, 8, 2, 2)
    torch.testing.assert_close(fresh(y, y), fresh.net(fresh.input(torch.cat([y / 4, y], 1))))
    with torch.no_grad():
        fresh.linear.weight[0, 0] = 4.0  # of the first colour, the first of 8 x 8 pixels
    changed = fresh(y, y) - fresh.net(fresh.input(torch.cat([y / 4, y], 1)))
    torch.testing.assert_close(changed[:, 0, ::8, ::8], y[:, 0])
    changed[:, 0, ::8, ::8] = 0
    assert changed.abs().max() < 1e-6


@pytest.mark.parametrize("step", [0.2, 1.0, 30.0])
@pytest.mark.parametrize("model", [0, 1], ids=["large", "lean"])
def test_probabilities_sum_to_one(net: Transform, model: int, step: float) -> None:
    """Of a first group's latent, whatever network predicts it."""
    values = torch.arange(-4000, 4001) * step
    y = torch.zeros(len(values), 8, 1, 1)
    y[:, 0, 0, 0] = values
    steps = torch.full_like(y, step)
    with torch.no_grad():
        bits = rates(net)[model](y, y, steps)[:, 0, 0, 0]
    # Probabilities below 1e-8 count as 1e-8: at most 8,001 of them.
    assert float((2.0 ** -bits.double()).sum()) == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize(("model", "first"), [(0, 2), (1, 3)], ids=["large", "lean"])
def test_groups_depend_on_earlier_groups_only(net: Transform, model: int, first: int) -> None:
    y, step = torch.rand(1, 8, 3, 3), torch.ones(1, 8, 3, 3)
    bits = rates(net)[model]
    with torch.no_grad():
        net.lean.predictor.normal_()
        before = bits(y, y, step)
        later = y.clone()
        later[:, 4:] += 2
        after = bits(y, later, step)
        earlier = y.clone()
        earlier[:, :first] += 2
        other = bits(y, earlier, step)
    assert torch.equal(before, after)
    assert torch.equal(before[:, :first], other[:, :first])
    assert not torch.equal(before[:, first:], other[:, first:])


def test_lean_rate_model_respects_the_channel_order(net: Transform) -> None:
    y, step = torch.randn(2, 8, 2, 3), torch.full((2, 8, 2, 3), 0.5)
    order = torch.tensor([7, 1, 0, 2, 6, 5, 3, 4])
    with torch.no_grad():
        bits = net.lean(y, y, step, order)
        sorted_before = net.lean(y[:, order], y[:, order], step, torch.arange(8))
    assert torch.equal(bits, sorted_before)


@pytest.mark.parametrize("shape", [(32, 32), (16, 40)])
def test_ssim_is_that_of_the_codec(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (3, *shape, 3), np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    x, x_hat = runs.to_tensor(a, CPU), runs.to_tensor(b, CPU)
    np.testing.assert_allclose(ssim(x, x_hat), quality.ssim(a, b), atol=2e-5)
    error = rate_distortion.squared_error(x, x_hat)
    np.testing.assert_allclose(10 * np.log10(255**2 / error.numpy()), quality.psnr(a, b), atol=1e-3)


def test_lagrangian_increases_with_quality() -> None:
    weights = rate_distortion.lagrangian(torch.tensor([-1.3, 0.0, 1.0]))
    torch.testing.assert_close(weights, 0.05 * torch.tensor([math.exp(-4.29), 1, math.exp(3.3)]))
    torch.testing.assert_close(
        rate_distortion.balanced(torch.ones(3), weights), 1 / (1 + 150 * weights)
    )
