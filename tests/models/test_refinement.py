"""The refinement of latents: its gradients, and that it lowers the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_transform import TINY
from torch import Tensor

from thumbstream_models.lapped import distortion, linear, quantisation, refinement
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.refinement import Refinement
from thumbstream_models.training import runs

RATE = torch.tensor([0.1])


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Smooth walks, ``(12, 3, 32, 32)``."""
    rng = np.random.default_rng(0)
    walk = 128 + 0.3 * np.cumsum(np.cumsum(rng.normal(0, 8, (12, 32, 32, 3)), 1) * 0.3, 2)
    return runs.to_tensor(np.clip(walk, 0, 255).astype(np.uint8), torch.device("cpu"))


@pytest.fixture(scope="module")
def net(pictures: Tensor) -> Transform:
    torch.manual_seed(0)
    net = Transform(TINY.model, linear.fit(runs.to_pixels(pictures), TINY.model.channels))
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def refine(net: Transform) -> Refinement:
    return Refinement(net, TINY.distortion)


@pytest.mark.parametrize("shape", [(32, 32), (16, 48)])
def test_slope_of_the_distortion(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    x, x_hat = torch.rand(2, 3, 3, *shape) * 2 - 1
    x_hat.requires_grad_()
    quality = torch.tensor([-0.5, 0.1, 0.9])
    total = distortion.distortion(x, x_hat, quality, TINY.distortion).sum()
    (expected,) = torch.autograd.grad(total * shape[0] * shape[1] / 64, x_hat)
    maps = refinement.Similarity(refinement.Pictures.of(x), x_hat.detach())
    found = refinement.distortion_slope(maps, refinement.weights_of(quality, TINY.distortion))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_best_of_some_refinements_costs_less(
    net: Transform, refine: Refinement, pictures: Tensor
) -> None:
    rotation = net.linear.turns[20:]
    y = latents = net.latents(pictures, rotation, "float32")
    costs = []
    for rate in (0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.0):
        latents, cost = refine(pictures, rotation, y, latents, torch.tensor([rate]))
        costs.append(cost)
    least = torch.stack(costs).amin(0)
    assert (least < costs[0]).float().mean() > 0.7
    assert least.mean() < 0.99 * costs[0].mean()


def test_fine_digits_are_those_of_the_analysis(
    net: Transform, refine: Refinement, pictures: Tensor
) -> None:
    """Latents that keep their coarse interval do not change."""
    rotation = net.rotations(pictures)
    y = net.latents(pictures, rotation, "float32")
    refined, _ = refine(pictures, rotation, y, y, RATE)
    cut = quantisation.cuts(torch.full((len(y),), refinement.SETTLED))
    before, after = (
        quantisation.truncated(z, cut, TINY.model.groups[0], noise=False).value
        for z in (y, refined)
    )
    same = before == after
    assert torch.equal(y[same], refined[same])
    assert 0 < (~same).float().mean() < 0.5


@pytest.mark.parametrize("shape", [(8, 8), (8, 56), (64, 40)])
def test_any_grid(net: Transform, refine: Refinement, shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    pixels = torch.rand(2, 3, *shape) * 2 - 1
    rotation = net.rotations(pixels)
    y = net.latents(pixels, rotation, "float32")
    refined, cost = refine(pixels, rotation, y, y, RATE)
    assert refined.shape == y.shape
    assert cost.shape == (2,)
    assert refined.isfinite().all()
