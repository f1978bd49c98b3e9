"""The quantization in training is that of truncated streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer
from thumbstream_models.embedded.quantization_noise import Truncated, Uniform, step_of
from thumbstream_models.embedded.symbol_layout import Layout, chosen_starts, ladder

CPU = torch.device("cpu")
LAYOUT = Layout(
    planes=4,
    groups=(2, 1, 3),
    starts=(0, 0, 1, 1, 2, 3),
    base_step=27.0,
    order=(3, 0, 5, 1, 2, 4),
    scales=(1.0, 1.0, 1 / 3, 1.0, 1.0, 1.0),
    shares=((0.4, 0.4, 1.0), (0.2, 0.5, 1.0), (0.3, 0.6, 1.0), (0.1, 0.2, 1.0)),
)


def latents(batch: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 6, 3, 2, generator=generator) * 12


def test_ladder_matches_the_codec() -> None:
    y, quantizer = latents(), EmbeddedQuantizer(LAYOUT.published())
    states = ladder(y, LAYOUT.published())
    finest = quantizer.quantize(y.numpy().reshape(5, 6, 6))
    np.testing.assert_array_equal(states[-1].numpy().reshape(finest.shape), finest)
    digits = quantizer.digits(finest)
    for plane in range(4):
        found = (states[plane + 1] - 3 * states[plane]).numpy().reshape(finest.shape)
        np.testing.assert_array_equal(found, digits[plane])


def test_boundary_between_steps_is_a_state_of_the_codec() -> None:
    """At the end of a group's share of a plane, each group is before or after the position."""
    y, quantizer = latents(), EmbeddedQuantizer(LAYOUT.published())
    scales = torch.tensor(LAYOUT.scales)[:, None, None]
    own = (y / scales)[:, LAYOUT.rank()]  # the networks' order and scale
    truncated = Truncated(LAYOUT, CPU)
    depth = 2 + LAYOUT.shares[2][1]  # plane 2, after group 1
    quality = (depth * np.log(3) - np.log(LAYOUT.base_step)) / 1.9
    step = truncated.steps(torch.full((5,), float(quality)), own)
    values = truncated.rounded(own, step)

    known = DecodedLatents(quantizer, (5, 3, 2))
    digits = quantizer.digits(quantizer.quantize(y.numpy().reshape(5, 6, 6)))
    for place in quantizer.steps:
        if (place.plane, place.group) < (2, 2):
            known.refine(place, digits[place.plane][:, place.channels].astype(np.float32))
    expected, levels = known.reconstruct()
    order = list(LAYOUT.order)
    np.testing.assert_allclose(step[:, order] * scales, 27.0 / 3.0**levels, rtol=1e-5)
    np.testing.assert_allclose(values[:, order] * scales, expected, rtol=1e-5, atol=1e-4)


def test_a_fraction_of_the_symbols_of_a_group_is_known() -> None:
    y = torch.zeros(400, 6, 3, 2)
    depth = 1 + 0.35  # plane 1, half of group 1, which is channel 2
    quality = (depth * np.log(3) - np.log(LAYOUT.base_step)) / 1.9
    torch.manual_seed(0)
    levels = Truncated(LAYOUT, CPU).levels(torch.full((400,), float(quality)), y)
    by_channel = levels[:, list(LAYOUT.order)]
    assert by_channel[:, :2].unique().tolist() == [2]
    assert by_channel[:, 2].unique().tolist() == [1, 2]
    assert by_channel[:, 2].mean() == pytest.approx(1.5, abs=0.05)
    assert by_channel[:, 3].unique().tolist() == [1]
    assert by_channel[:, 5].unique().tolist() == [3]


def test_full_stream_is_the_finest_state() -> None:
    y = latents()
    truncated = Truncated(LAYOUT, CPU)
    step = truncated.steps(torch.full((5,), 9.0), y)
    order, scales = list(LAYOUT.order), torch.tensor(LAYOUT.scales)[:, None, None]
    torch.testing.assert_close(step[:, order] * scales, torch.full_like(y, 27.0 / 81))
    finest = ladder(y[:, order] * scales, LAYOUT.published())[-1] * (27.0 / 81)
    torch.testing.assert_close(truncated.rounded(y, step)[:, order] * scales, finest)


def test_uniform_steps_follow_the_quality() -> None:
    y, quality = latents(2), torch.tensor([-1.0, 0.5])
    step = Uniform().steps(quality, y)
    torch.testing.assert_close(step[:, 0, 0, 0], step_of(quality))
    off = (Uniform().rounded(y, step) / step).frac()
    assert torch.minimum(off.abs(), 1 - off.abs()).max() < 1e-4


@pytest.mark.parametrize("quantizer", [Uniform(), Truncated(LAYOUT, CPU)])
def test_gradients_go_straight_through(quantizer: Uniform | Truncated) -> None:
    y = latents().requires_grad_()
    step = quantizer.steps(torch.zeros(5), y)
    quantizer.rounded(y, step.detach()).sum().backward()
    torch.testing.assert_close(y.grad, torch.ones_like(y))


def test_first_planes_cover_the_channel() -> None:
    y = torch.zeros(100, 4, 1, 1)
    y[:, 0], y[:, 1], y[:, 2] = 100.0, 13.4, 13.6  # half steps: 13.5, 4.5, 1.5, 0.5
    y[0, 3] = 50.0  # one picture in a hundred
    assert chosen_starts(y, 4, 27.0, 1.0)[:3] == (0, 0, 0)
    assert chosen_starts(y, 4, 81.0, 1.0) == (0, 1, 0, 0)
    assert chosen_starts(y, 4, 81.0, 0.98)[3] == 3


def test_layout_survives_a_checkpoint() -> None:
    assert Layout.from_dict(LAYOUT.to_dict()) == LAYOUT
