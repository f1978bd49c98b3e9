"""The explicit gradient is that of PyTorch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from thumbstream.codec import quality
from thumbstream_models.embedded import rate_distortion, search_graph, transform_graphs
from thumbstream_models.embedded.codec_config import EmbeddedConfig
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.transform_networks import Transform, width_of
from thumbstream_models.training import runs

LAYOUT = Layout(
    planes=4,
    groups=(3, 1, 4),
    starts=(0,) * 8,
    base_step=40.0,
    order=tuple(range(8)),
    scales=(1.0,) * 8,
    shares=((0.4, 0.5, 1.0),) * 4,
)
GRIDS = [(2, 2), (4, 3), (1, 5), (1, 1)]


@pytest.fixture(scope="module")
def net(product: EmbeddedConfig) -> Transform:
    torch.manual_seed(4)
    net = Transform(product.model, product.embedding.groups).eval()
    with torch.no_grad():
        net.synthesis.linear.weight.normal_(0, 0.05)
    return net


@pytest.fixture(scope="module")
def differentiated(net: Transform) -> search_graph.Differentiated:
    return search_graph.Differentiated(net.synthesis, LAYOUT.base_step, 200.0).eval()


def inputs(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + 10 * columns)
    values = torch.randn(2, 8, rows, columns, generator=generator) * 4
    levels = torch.randint(0, 5, values.shape, generator=generator).float()
    pixels = torch.rand(2, 3, 8 * rows, 8 * columns, generator=generator) * 2 - 1
    return values, levels, pixels


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (4, 3)])
def test_distortion_and_gradient(
    net: Transform, differentiated: search_graph.Differentiated, rows: int, columns: int
) -> None:
    values, levels, pixels = inputs(rows, columns)
    values.requires_grad_()
    x_hat = net.synthesis(values, width_of(LAYOUT.base_step / 3**levels))
    expected = rate_distortion.distortion(pixels, x_hat, 200.0) * rows * columns
    (slope,) = torch.autograd.grad(expected.sum(), values)
    found, gradient = differentiated(values.detach(), levels, pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(gradient, slope, rtol=1e-3, atol=1e-3)


def test_ssim_of_tiny_pictures_is_that_of_the_codec() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (3, 8, 24, 3), np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    x, x_hat = (runs.to_tensor(p, torch.device("cpu")) for p in (a, b))
    found, _ = search_graph._distortion(x, x_hat, 200.0)
    error = rate_distortion.squared_error(x, x_hat).numpy()
    expected = rate_distortion.ERROR_WEIGHT * error + 200 * (1 - quality.ssim(a, b))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_graph_accepts_any_grid(
    differentiated: search_graph.Differentiated, rows: int, columns: int
) -> None:
    graph = transform_graphs.search_graph(differentiated)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    values, levels, pixels = inputs(rows, columns)
    feed = {"values": values.numpy(), "levels": levels.numpy(), "pixels": pixels.numpy()}
    found, gradient = session.run(["distortion", "gradient"], feed)
    expected, slope = differentiated(values, levels, pixels)
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4)
    np.testing.assert_allclose(gradient, slope.detach(), rtol=1e-3, atol=1e-3)


def test_curvatures_are_second_derivatives(
    net: Transform, differentiated: search_graph.Differentiated
) -> None:
    """Of a network that is linear and a distortion that is a squared error, exactly."""
    plain = search_graph.Differentiated(net.synthesis, LAYOUT.base_step, 0.0)
    zeroed = list(net.synthesis.net.parameters())
    before = [p.detach().clone() for p in zeroed]
    with torch.no_grad():
        for parameter in zeroed:
            parameter.zero_()
    _, _, pixels = inputs(2, 2)
    found = search_graph.curvatures(plain, pixels, torch.randn(2, 8, 2, 2), LAYOUT)
    with torch.no_grad():
        for parameter, value in zip(zeroed, before, strict=True):
            parameter.copy_(value)
    weight = net.synthesis.linear.weight[:, :, 0, 0].detach()
    # MSE over 192 samples a cell: 2 W^T W 127.5^2 / 192, by values that are a quarter.
    squared = 2 * weight.square().sum(0) * 127.5**2 / 192 / 16
    expected = rate_distortion.ERROR_WEIGHT * squared
    np.testing.assert_allclose(found, expected, rtol=2e-2)


def test_slopes_increase_with_the_level() -> None:
    worth = search_graph.slopes(LAYOUT)
    assert worth.shape == (4,)
    assert (np.diff(worth) > 0).all()
    u = -np.log(40.0 / 3) / 1.9
    assert worth[0] == pytest.approx(8 * 0.05 * np.exp(3.3 * u), rel=1e-4)
