from __future__ import annotations

import pytest
import torch
from torch import nn

from thumbstream_models.lapped import weight_rounding


@pytest.mark.parametrize("bits", [4, 7, 8])
def test_weights_are_integers_times_half_precision_scales(bits: int) -> None:
    weight = torch.randn(6, 4, 3, 3) * torch.logspace(-1.5, 1, 6)[:, None, None, None]
    integers, scale = weight_rounding.quantized(weight, bits)
    most = 2 ** (bits - 1) - 1
    assert torch.equal(integers, integers.round())
    assert integers.abs().amax((1, 2, 3)).tolist() == [most] * 6
    assert torch.equal(scale, scale.half().float())
    product = integers.double() * scale.double()[:, None, None, None]
    assert torch.equal(product.float().double(), product), "exact in float32"
    assert ((product - weight).abs() <= 0.51 * scale[:, None, None, None]).all()


def test_channel_of_zeros_has_a_positive_scale() -> None:
    integers, scale = weight_rounding.quantized(torch.zeros(2, 3), 7)
    assert not integers.any()
    assert (scale > 0).all()


def test_rounding_matches_training() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
    x = torch.rand(1, 3, 6, 6)
    trained = weight_rounding.straight_through(net, 4, x)
    trained.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert not torch.allclose(trained, net(x), atol=1e-4)
    weight_rounding.round_parameters(net, 4)
    torch.testing.assert_close(net(x), trained)
    once = [p.clone() for p in net.parameters()]
    weight_rounding.round_parameters(net, 4)
    assert all(map(torch.equal, once, net.parameters())), "rounding again changes nothing"
