"""The lapped family: its linear part, its rates, its training."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_transform import TINY

from thumbstream_models import cli
from thumbstream_models.lapped import (
    colour,
    colour_axes,
    linear,
    model,
    networks,
    quantisation,
    rate,
    training,
    weight_rounding,
)
from thumbstream_models.lapped import config as lapped_config
from thumbstream_models.lapped.distortion import distortion
from thumbstream_models.lapped.model import Transform
from thumbstream_models.training import runs
from thumbstream_models.training.config import ConfigError

CPU = torch.device("cpu")
CONFIG = Path(__file__).resolve().parents[2] / "models" / "configs" / "thumbstream-2.toml"


@pytest.fixture(autouse=True)
def exact_arithmetic(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    monkeypatch.setattr(training.precision, "fastest", lambda *_: "float32")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "crops"))


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 8, (64, 32, 32, 3))
    walk = 128 + np.cumsum(np.cumsum(steps, 1) * 0.3, 2) * 0.3
    return np.clip(walk, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted(crops: NDArray[np.uint8]) -> linear.LinearTransform:
    return linear.fit(crops, 8)


@pytest.fixture(scope="module")
def net(fitted: linear.LinearTransform) -> Transform:
    torch.manual_seed(0)
    return Transform(TINY.model, fitted)


# The linear part


def test_linear_transform_is_orthonormal(crops: NDArray[np.uint8]) -> None:
    whole = linear.fit(crops, linear.SAMPLES)
    torch.testing.assert_close(whole.klt @ whole.klt.T, torch.eye(192), atol=1e-4, rtol=0)
    x = torch.rand(2, 3, 24, 40)
    y = whole(whole.blocks(x))
    assert y.shape == (2, 192, 3, 5)
    torch.testing.assert_close(whole.inverse(y), x, atol=1e-4, rtol=0)
    torch.testing.assert_close(y.square().sum(), x.square().sum(), atol=1e-2, rtol=0)


def test_lapping_mixes_only_around_inner_edges(fitted: linear.LinearTransform) -> None:
    matrix = linear.lapping(24, fitted.rotation)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(24), atol=1e-5, rtol=0)
    assert matrix[:4, :4].equal(torch.eye(4))
    assert matrix[20:, 20:].equal(torch.eye(4))
    assert matrix[4:12, 12:].abs().max() == 0
    assert linear.lapping(8, fitted.rotation).equal(torch.eye(8)), "one cell has no inner edge"


def test_strongest_channels_come_first_and_lapping_saves_bits(crops: NDArray[np.uint8]) -> None:
    whole, x = linear.fit(crops, linear.SAMPLES), runs.to_tensor(crops, CPU)
    energy = whole(whole.blocks(x)).square().mean((0, 2, 3))
    assert (energy[:-1] >= energy[1:] * 0.999).all()
    plain = torch.linalg.eigvalsh(linear._moments(x, torch.eye(4).double()))
    lapped = torch.linalg.eigvalsh(linear._moments(x, whole.rotation.double()))
    budget = 192 * 4 * 10 ** (-26 / 10)
    assert linear._gaussian_bits(lapped, budget) < linear._gaussian_bits(plain, budget)


def test_linear_fit_is_deterministic(
    crops: NDArray[np.uint8], fitted: linear.LinearTransform
) -> None:
    again = linear.fit(crops, 8)
    assert again.klt.equal(fitted.klt)
    assert again.rotation.equal(fitted.rotation)
    assert again.axes.equal(fitted.axes)


# Colour axes


def test_axes_are_turned_into_grey(fitted: linear.LinearTransform) -> None:
    axes, turns = fitted.axes, fitted.turns
    assert axes.shape == (32, 3)
    assert axes.equal(axes.round())
    assert axes.abs().amax(1).eq(127).all()
    torch.testing.assert_close(turns[0], torch.eye(3), msg="grey comes first")
    torch.testing.assert_close(turns @ turns.transpose(1, 2), torch.eye(3).repeat(32, 1, 1))
    unit = axes / axes.norm(dim=1, keepdim=True)
    grey = torch.full((3,), 3**-0.5)
    torch.testing.assert_close(torch.einsum("kdc,kc->kd", turns, unit), grey.expand(32, 3))
    assert ((unit @ grey).diff() <= 1e-3).all(), "by growing angle"


def test_axis_along_which_colours_vary_is_chosen(crops: NDArray[np.uint8]) -> None:
    config = dataclasses.replace(TINY.model, groups=(8, 184))
    net = Transform(config, linear.fit(crops, 192))
    light = runs.to_tensor(crops[:4], CPU).mean(1, keepdim=True)
    assert net.rotations(light.expand(-1, 3, -1, -1)).equal(net.linear.turns[[0] * 4])
    for k in (5, 31):
        axis = net.linear.axes[k] / net.linear.axes[k].norm()
        x = light * axis[:, None, None]
        rotated = colour_axes.rotated(x, net.rotations(x))
        off = (rotated - rotated.mean(1, keepdim=True)).std()
        assert off < 0.1 * (x - x.mean(1, keepdim=True)).std()


def test_a_share_of_the_analysis_can_be_left_out(net: Transform, crops: NDArray[np.uint8]) -> None:
    x = runs.to_tensor(crops[:3], CPU)
    rotation = net.rotations(x)
    blocks = net.linear.blocks(colour_axes.rotated(x, rotation))
    with torch.no_grad():
        net.analysis.net[-1].bias.fill_(0.5)
        whole, some = (
            net.latents(x, rotation, "float32", share)
            for share in (None, torch.tensor([0.0, 0.5, 1.0]))
        )
        linear_part = net.linear_latents(blocks)
        net.analysis.net[-1].bias.zero_()
    torch.testing.assert_close(some[0], linear_part[0])
    torch.testing.assert_close(some[1], (linear_part[1] + whole[1]) / 2)
    torch.testing.assert_close(some[2], whole[2])


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (1, 3), (5, 8)])
def test_frequencies_of_cells_can_be_inverted(rows: int, columns: int) -> None:
    y = torch.randn(2, 3, rows, columns)
    f = linear.to_frequencies(y)
    torch.testing.assert_close(linear.from_frequencies(f), y)
    torch.testing.assert_close(f[:, :, 0, 0], y.mean((2, 3)) * (rows * columns) ** 0.5)
    torch.testing.assert_close(f.square().sum(), y.square().sum())


# Rates


def test_rate_is_that_of_the_distribution() -> None:
    off, sigma = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])
    normal = torch.distributions.Normal(0, 1)
    expected = normal.cdf(off + 0.25) - normal.cdf(off - 0.25)
    step = torch.full_like(off, 0.5)
    torch.testing.assert_close(rate.interval_probability(off, sigma, step), expected)


def test_probabilities_of_coefficients_add_up_to_one() -> None:
    model = rate.FrequencyRate(1)
    step, width = torch.full((1, 1, 4, 4), 0.7), torch.zeros(1, 1)
    known = torch.randn_like(step)
    bits = torch.stack(
        [model(torch.full_like(step, 0.7 * k), step, known, step, width) for k in range(-40, 41)]
    )
    torch.testing.assert_close((2**-bits).sum(0), torch.ones_like(step), atol=1e-3, rtol=0)


def test_coefficients_depend_on_earlier_ones_alone() -> None:
    """Those of lower frequencies, and of one frequency those of earlier channels."""
    torch.manual_seed(2)
    model = rate.FrequencyRate(3)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    y, known = torch.randn(2, 1, 3, 4, 4)
    step, width = torch.ones_like(y), torch.zeros(1, 1)
    before = model(y, step, known, step, width)
    changed = known.clone()
    changed[:, 1, 1, 1] += 3
    depends = model(y, step, changed, step, width) != before
    sums = torch.arange(4)[:, None] + torch.arange(4)
    assert depends[0, 2, 1, 1]
    assert depends[0, 0, 2, 1]
    assert not depends[0, :2, 1, 1].any()
    later = sums > 2
    later[1, 1] = True
    assert not depends[:, :, ~later].any()


def test_tables_grow_with_the_grid() -> None:
    narrow, wide = rate.interpolation(4), rate.interpolation(32)
    assert wide.shape == (32, rate.NODES)
    assert wide[:4].equal(narrow)
    torch.testing.assert_close(wide.sum(1), torch.ones(32))
    assert wide[31, 5] == 1


def test_context_knows_earlier_groups_and_even_cells_alone(net: Transform) -> None:
    """Later latents of a cell, and those of odd cells, never change the bits of earlier ones."""
    torch.manual_seed(1)
    model, (y, y_hat) = net.context, torch.randn(2, 1, 8, 4, 4)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    step, width = torch.ones_like(y), torch.zeros(1, 1)

    def bits(known: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = model(y[:, 2:], step[:, 2:], known, step, width)
        return result

    before = bits(y_hat)
    changed = y_hat.clone()
    changed[:, 2:4, 0, 1] += 3  # the second group of an odd cell
    after = bits(changed)
    even = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 0
    assert after[:, :2].equal(before[:, :2]), "its own group does not depend on it"
    assert not after[:, 2:, even].equal(before[:, 2:, even]), "later groups do"
    changed = y_hat.clone()
    changed[:, 2:4, 0, 0] += 3  # and of an even one, which its odd neighbours know
    after = bits(changed)
    assert after[:, :2, even].equal(before[:, :2, even])
    assert not after[:, :2, 0, 1].equal(before[:, :2, 0, 1])
    assert after[:, :2, 3, 2].equal(before[:, :2, 3, 2]), "those far away do not"
    changed = y_hat.clone()
    changed[:, 4:, ~even] += 3
    assert bits(changed).equal(before), "nothing comes after these"


# Quantisation


def cut_at(step: float) -> quantisation.Cut:
    """All groups at one nominal step."""
    return quantisation.Cut(torch.tensor([step]), torch.tensor([step]), torch.tensor([True]))


def test_truncated_steps_are_near_the_nominal_one() -> None:
    nominal = torch.exp(torch.linspace(-2, 1, 50))[:, None].expand(50, 8)
    phase = quantisation.phases(2, torch.zeros(50, 8, 2, 2))
    assert phase.unique().tolist() == [0, 0.25, 0.5, 0.75]
    ratio = quantisation.truncated_steps(nominal, phase) / nominal[:, :, None, None]
    assert ratio.min() > 2**-0.5 - 1e-4
    assert ratio.max() < 2**0.5 + 1e-4
    mean = ratio.log2().mean((1, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(50), atol=0.2, rtol=0)


def test_streams_begin_with_the_first_group_and_grow_finer() -> None:
    quality = torch.linspace(-1, 1.6, 261)
    cut = quantisation.cuts(quality)
    assert (cut.first.diff() <= 1e-6).all()
    assert (cut.others.diff() <= 1e-6).all()
    assert cut.first[-1] == cut.others[-1]
    assert not cut.begun[quality < -0.56].any()
    assert cut.begun[quality > -0.54].all()
    joint = (quality - -0.4).abs().argmin()
    steps = quantisation.truncated_steps(cut.first[:, None], torch.zeros(1, 1, 1)).flatten()
    look = steps[(quality - -0.56).abs().argmin()]
    assert steps[joint] == look, "the first group waits for the others"
    assert cut.others[joint] == pytest.approx(float(cut.first[joint]), rel=1e-3)


def test_first_looks_know_nothing_of_other_groups() -> None:
    y = torch.randn(2, 4, 3, 3, requires_grad=True)
    q = quantisation.truncated(y, quantisation.cuts(torch.tensor([-0.7, 0.5])), 1, noise=True)
    assert q.value[0, 1:].abs().max() == 0
    assert q.value[1, 1:].abs().max() > 0
    q.value.sum().backward()
    assert y.grad is not None
    assert y.grad[0, 1:].abs().max() == 0
    assert y.grad[0, :1].min() == 1


def test_planes_are_nested() -> None:
    """What is known in a finer plane lies in the interval of every coarser one."""
    y = torch.linspace(-5, 5, 1001)[None, :, None, None]
    coarse, fine = (quantisation.truncated(y, cut_at(step), 0, noise=False) for step in (1.0, 0.5))
    for q in (coarse, fine):
        assert ((y - q.centre).abs() <= q.interval / 2 + 1e-5).all()
        assert (q.interval == torch.where(q.value == 0, 2 * q.step, q.step)).all()
    low, high = (coarse.centre - coarse.interval / 2, coarse.centre + coarse.interval / 2)
    assert (fine.centre - fine.interval / 2 >= low - 1e-5).all()
    assert (fine.centre + fine.interval / 2 <= high + 1e-5).all()


def test_quantisation_lets_gradients_through() -> None:
    y = torch.tensor([0.2, 0.9, -1.4])[None, :, None, None].requires_grad_()
    q = quantisation.truncated(y, cut_at(1.0), 0, noise=False)
    assert q.value[0, 0] == 0
    q.value.sum().backward()
    assert y.grad is not None
    assert y.grad.flatten().tolist() == [1.0, 1.0, 1.0]


def test_noise_has_the_width_of_the_interval() -> None:
    y = torch.full((1, 4, 50, 50), 0.3)
    q = quantisation.truncated(y, cut_at(1.0), 0, noise=True)
    off = (q.centre - y).abs() / q.interval
    assert 0.45 < off.max() <= 0.5
    assert q.value.abs().max() == 0


# The whole transform


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 48)])
def test_transform_codes_pictures_of_any_grid(net: Transform, height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width) * 2 - 1
    coded = net(x, torch.tensor([0.0, 1.0]), "float32", noise=True)
    assert coded.x_hat.shape == x.shape
    assert coded.bits.shape == (2,)
    assert (coded.bits > coded.first_bits).all()
    first = net.first_look(x, -0.7, "float32")
    assert first.x_hat.shape == x.shape
    assert (first.bits > 0).all()


def test_first_looks_are_drawn_by_the_linear_part_in_a_part_of_the_training(
    net: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, quality = torch.rand(2, 3, 32, 32) * 2 - 1, torch.tensor([-0.7, 0.5])
    look = net.first_look(x, -0.7, "float32")
    monkeypatch.setattr(model, "_PLAIN_SHARE", 1.0)
    coded = net(x, quality, "float32", noise=True)
    torch.testing.assert_close(coded.x_hat[0], look.x_hat[0])
    assert coded.bits[0] == coded.first_bits[0]
    plain = net(x, quality, "float32")
    assert not plain.x_hat[0].equal(look.x_hat[0]), "otherwise by the networks"


def test_synthesis_is_trained_with_the_integers_of_clients(net: Transform) -> None:
    y, width = torch.randn(2, 8, 4, 4), torch.zeros(2, 8, 4, 4)
    drawn = weight_rounding.straight_through(net.synthesis, 4, y, width)
    drawn.square().sum().backward()
    weight = net.synthesis.net[0].pointwise.weight
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    rounded = copy.deepcopy(net.synthesis)
    weight_rounding.round_parameters(rounded, 4)
    torch.testing.assert_close(rounded(y, width), drawn)
    assert weight_rounding.bits_of(torch.zeros(3, 64, 1, 1), 4) == 4
    assert weight_rounding.bits_of(torch.zeros(64, 1, 3, 3), 4) == 6


def test_fine_steps_lose_nothing(crops: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    groups = (8, 184)
    net = Transform(dataclasses.replace(TINY.model, groups=groups), linear.fit(crops, 192))
    net.analysis.net[-1].weight.data.zero_()
    net.synthesis.gain.data.fill_(30.0)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    coded = net(x, torch.tensor([6.0]), "float32")
    assert (coded.x_hat - x).abs().max() < 0.01


def test_distortion_sees_colour_and_nothing_where_nothing_changed() -> None:
    x, quality = torch.rand(2, 3, 16, 16) - 0.5, torch.tensor([-1.0, 1.0])
    assert distortion(x, x, quality, TINY.distortion).abs().max() < 1e-3
    grey, red = x + 0.1, x + torch.tensor([0.3, -0.1, 0.1])[:, None, None]
    without = dataclasses.replace(TINY.distortion, chroma=(0.0, 0.0))
    extra = [
        distortion(x, z, quality, TINY.distortion) - distortion(x, z, quality, without)
        for z in (grey, red)
    ]
    assert extra[0].abs().max() < 1e-2
    assert extra[1].min() > 10


def test_chroma_distance_is_that_of_mean_colours() -> None:
    grey, red = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    red[:, 0] = 0.2
    assert colour.chroma_distance(grey, grey + 0.1) < 0.05, "grey of another lightness is grey"
    noise = torch.randn(1, 3, 16, 16) * 0.1
    means = torch.nn.functional.avg_pool2d(noise, 8)
    noise = noise - means.repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert colour.chroma_distance(grey, grey + noise) < 0.05, "means count, not details"
    assert colour.chroma_distance(grey, red) > 2
    white = colour.oklab(torch.ones(1, 3, 1, 1).double())
    torch.testing.assert_close(
        white.flatten(), torch.tensor([1.0, 0.0, 0.0]).double(), atol=1e-4, rtol=0
    )


# Training


def trained(out: Path, folder: Path, **changes: Any) -> training.Run:
    schedule = dataclasses.replace(TINY.training, **changes)
    config = dataclasses.replace(TINY, training=schedule)
    return training.train(config, [folder], out, device_name="cpu")


def test_resumed_training_equals_uninterrupted_one(picture_folder: Path, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", picture_folder)
    # The decay counts from the end: a schedule that stops early would decay early.
    stopped = training.train(
        TINY, [picture_folder], tmp_path / "parts", max_minutes=0, device_name="cpu"
    )
    assert 0 < stopped.step < TINY.training.steps
    resumed = trained(tmp_path / "parts", picture_folder)
    assert resumed.step == whole.step == TINY.training.steps
    for name, value in whole.net.state_dict().items():
        assert resumed.net.state_dict()[name].equal(value), name
        assert resumed.ema[name].equal(whole.ema[name]), name
    lines = (tmp_path / "parts" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6]


def test_training_lowers_the_loss(picture_folder: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, picture_folder, steps=40, validate_every=20)
    first, last = run.curve
    assert last["loss"] < first["loss"]
    assert last["analysis"] > 1e-3, "it starts at 0 and must not die"


def test_the_analysis_survives_negative_biases() -> None:
    net = networks.Analysis(TINY.model)
    net.net[-1].weight.data.normal_()
    for name, value in net.named_parameters():
        if name.endswith("bias"):
            value.data.fill_(-30.0)
    x = torch.randn(1, 192, 2, 2)
    slope = torch.autograd.grad(net(x).sum(), net.net[0].weight)[0]
    assert slope.abs().max() > 0


def test_command_trains_and_resumes(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lapped_config, "load", lambda path: TINY)
    command = ["train", str(CONFIG), str(picture_folder), "--out", str(tmp_path), "--steps"]
    assert cli.main([*command, "2"]) == 0
    assert cli.main([*command, "4"]) == 0
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_training_goes_on_from_compact_weights(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_LARGE_WEIGHT", 600)
    stopped = trained(tmp_path / "first", picture_folder, steps=2)
    small = tmp_path / "small.pt"
    command = ["compact", str(tmp_path / "first" / "checkpoint.pt"), str(small)]
    assert cli.main([*command, "--weights-only"]) == 0
    restored = training.restore(small, CPU)
    assert restored.step == 2
    assert not restored.optimizer.state
    for name, value in stopped.ema.items():
        found = restored.net.state_dict()[name]
        if value.ndim > 1 and value.numel() >= 600:  # integers of 8 bits
            most = float(value.abs().max()) / 127
            torch.testing.assert_close(found, value, rtol=0, atol=most * 0.6)
        else:
            torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-6)
    run = training.train(
        TINY, [picture_folder], tmp_path / "second", resume=small, device_name="cpu"
    )
    assert run.step == TINY.training.steps


def test_another_network_is_not_resumed(picture_folder: Path, tmp_path: Path) -> None:
    trained(tmp_path, picture_folder, steps=1)
    other = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, rate_hidden=5))
    with pytest.raises(ConfigError, match="another network"):
        training.restore(tmp_path / "checkpoint.pt", CPU, other)


def test_learning_rate_is_constant_until_the_last_steps() -> None:
    rates = [training.learning_rate(TINY.training, step) for step in range(6)]
    assert rates[0] == TINY.training.learning_rate / 2
    assert rates[1] == rates[2] == rates[3] == TINY.training.learning_rate
    assert rates[3] > rates[4] > rates[5] > TINY.training.final_learning_rate


def test_batches_have_all_sizes(picture_folder: Path) -> None:
    sizes = [training.size_of(TINY, step) for step in range(60)]
    assert set(sizes) == {0, 1}
    assert 5 <= sum(sizes) <= 30


def test_mean_quality_at_bytes_is_interpolated_for_each_picture() -> None:
    rows = [
        {"bytes": np.array([10.0, 40.0]), "ssim": np.array([0.1, 0.5])},
        {"bytes": np.array([40.0, 10.0]), "ssim": np.array([0.3, 0.1])},
    ]
    rows = [row | {"psnr": row["ssim"], "chroma": row["ssim"]} for row in rows]
    point = training.at_budgets(rows, (20,), "{}_{}")
    assert point["ssim_20"] == pytest.approx((0.2 + 0.3) / 2)


def test_precision_is_measured_once(
    net: Transform, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    run = training.new_run(TINY, net.linear, CPU)
    training.choose_precision(run, crops[:2])
    assert run.precision in ("float32", "bfloat16")
    run.precision = "as before"
    training.choose_precision(run, crops[:2])
    assert run.precision == "as before"


# Configuration


def test_published_configuration_is_read() -> None:
    config = lapped_config.load(CONFIG)
    assert config.model_id == CONFIG.stem
    assert lapped_config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.data.size == min(config.crops.sizes)


@pytest.mark.parametrize(
    ("section", "key", "value", "why"),
    [
        ("model", "family", "conv_lstm", "family"),
        ("model", "groups", [], "groups"),
        ("crops", "sizes", [32], "an entry for each size"),
        ("crops", "frequencies", [0.5, 0.6], "add up to 1"),
        ("crops", "sizes", [12, 32], "multiples of 8"),
        ("crops", "qualities", [[-0.9, 1.5], [1.0, 0.0]], "two qualities of a size grow"),
        ("crops", "qualities", [[-0.9, 1.5]], "an entry for each size"),
        ("training", "stepz", 3, "stepz"),
    ],
)
def test_invalid_configuration_is_an_error(section: str, key: str, value: Any, why: str) -> None:
    values = TINY.to_dict()
    values[section][key] = value
    with pytest.raises(ConfigError, match=why):
        lapped_config.from_dict(values)
