"""The stages of the training: each can be stopped and resumed, and continues the one before."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thumbstream_models import cli
from thumbstream_models.embedded import codec_config, train_codec, train_step
from thumbstream_models.embedded.codec_config import EmbeddedConfig
from thumbstream_models.embedded.symbol_layout import Layout, chosen_starts
from thumbstream_models.training import data, runs
from thumbstream_models.training.config import ConfigError, DataConfig

CPU = torch.device("cpu")
CONFIG = Path(__file__).resolve().parents[2] / "models" / "configs" / "thumbstream-1.toml"


@pytest.fixture(scope="module", autouse=True)
def few_crops() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_codec, "SORTING_CROPS", 32)
        patch.setattr(train_codec, "SHARES_STEPS", 5)
        yield


@pytest.fixture(scope="module")
def first(product: EmbeddedConfig, picture_folder: Path, tmp_path_factory: Any) -> Path:
    out: Path = tmp_path_factory.mktemp("transform")
    train_codec.train(product, [picture_folder], out, stage="transform", device_name="cpu")
    return out


@pytest.fixture(scope="module")
def second(first: Path, picture_folder: Path, tmp_path_factory: Any) -> Path:
    out: Path = tmp_path_factory.mktemp("embedding")
    checkpoint = first / "checkpoint.pt"
    train_codec.train(
        None, [picture_folder], out, stage="embedding", resume=checkpoint, device_name="cpu"
    )
    return out


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Configuration


def test_published_configuration_is_valid() -> None:
    config = codec_config.load(CONFIG)
    assert config.model_id == CONFIG.stem
    assert codec_config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    run = train_codec.new_run(config, CPU)
    assert sum(p.numel() for p in run.net.synthesis.parameters()) < 200_000
    assert config.transform.steps <= config.embedding.steps < config.synthesis.steps
    assert config.embedding.warmup_steps <= config.transform.steps
    assert config.data.size == max(config.transform.sizes)
    assert 0 < config.embedding.quantise_from <= 1


@pytest.mark.parametrize(
    ("section", "key", "value", "why"),
    [
        ("model", "family", "conv_lstm", "family"),
        ("model", "rate_groups", [1], "rate_groups"),
        ("transform", "size_chances", [1.0], "must have the same length"),
        ("transform", "size_chances", [0.5, 0.6], "must sum to 1"),
        ("transform", "sizes", [12, 32], "multiples of 8"),
        ("embedding", "groups", [1], "must have the same length"),
        ("embedding", "ranks", [0, 1, 2], "each channel exactly once"),
        ("embedding", "handover", [7, 7], "two increasing steps"),
        ("context", "hiden", 3, "hiden"),
        ("context", "plane_weights", [1.0], "plane_weights"),
        ("context", "fine_from", 5, "fine_from"),
        ("context", "fine_chance", 0.0, "fine_chance"),
    ],
)
def test_rejects_invalid_configurations(
    product: EmbeddedConfig, section: str, key: str, value: Any, why: str
) -> None:
    values = product.to_dict()
    values[section][key] = value
    with pytest.raises(ConfigError, match=why):
        codec_config.from_dict(values)


# Batches


def test_batches_have_all_sizes(
    product: EmbeddedConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    large = [pixels for pixels in smooth_pictures if min(pixels.shape[:2]) >= 32]
    stage = product.transform
    shapes = [train_codec.batch_of(large, product.data, stage, step).shape for step in range(60)]
    assert set(shapes) == {(1, 32, 32, 3), (3, 16, 16, 3)}
    assert 5 <= sum(shape[0] == 1 for shape in shapes) <= 25, "a quarter"
    again = train_codec.batch_of(large, product.data, stage, 11)
    assert np.array_equal(again, train_codec.batch_of(large, product.data, stage, 11))
    crop = dataclasses.replace(product.data, size=again.shape[1])
    np.testing.assert_array_equal(
        again, data.training_batch(large, crop, len(again), stage.seed, 11)
    )


# Learning


LAYOUT = Layout(
    planes=4,
    groups=(3, 1, 4),
    starts=(0,) * 8,
    base_step=40.0,
    order=(3, 1, 2, 0, 7, 6, 5, 4),
    scales=(1.0, 1.0, 1.0, 1 / 3, 1.0, 1.0, 1.0, 1.0),
    shares=((0.4, 0.5, 1.0),) * 4,
)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [None, LAYOUT], ids=["transform", "embedding"])
def test_training_increases_quality(
    product: EmbeddedConfig, changed: Callable[..., EmbeddedConfig], layout: Layout | None
) -> None:
    """Dark and light pictures: whoever does not say which stays near 9 dB (mid grey)."""
    name = "embedding" if layout else "transform"
    stage = train_step.Stage(name, layout)
    config = changed(
        product, name, steps=80, learning_rate=1e-2, warmup_steps=1, qualities=(0.5, 1.0)
    )
    config = changed(config, name, common_chance=0.0, ema_decay=0.5)
    run = train_codec.new_run(config, CPU)
    pixels = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (30, 225) * 4])
    x, quality = runs.to_tensor(pixels, CPU), torch.full((8,), 0.75)

    def found() -> tuple[float, float]:
        with runs.averaged_weights(run) as net, torch.no_grad():
            result = train_step.encode_decode(
                net, x, quality, stage.quantizer(CPU), rate=stage.rate(run)
            )
        return train_step.measured(x, result.x_hat)["psnr"], float(result.bits.mean())

    assert found()[0] < 11
    for _ in range(stage.schedule(config).steps):
        assert math.isfinite(train_step.train_step(run, stage, pixels, CPU))
    assert found()[0] > 15


def test_lean_rate_model_takes_over(second: Path) -> None:
    """The rate of the transform is that of the large model, of both, of the lean one."""
    run, stage = train_codec.restore(second / "checkpoint.pt", CPU)
    x, quality = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([0.0, 0.5])
    large_has_gradient = []
    for step in (0, 6, 8):
        run.step = step
        run.net.zero_grad()
        result = train_step.encode_decode(
            run.net, x, quality, stage.quantizer(CPU), noisy=True, rate=stage.rate(run)
        )
        result.bits.sum().backward()
        assert run.net.lean.heads_bias.grad is not None  # it is always trained
        large_has_gradient.append(run.net.rate.heads[0][0].bias.grad is not None)
    assert large_has_gradient == [True, True, False]
    with stage.gradients(run.net):
        assert not any(p.requires_grad for p in run.net.rate.parameters())


def test_resumes_from_a_compact_checkpoint(second: Path, tmp_path: Path) -> None:
    full, small = second / "checkpoint.pt", tmp_path / "compact.pt"
    assert cli.main(["compact", str(full), str(small)]) == 0
    (before, stage), (after, same) = (train_codec.restore(path, CPU) for path in (full, small))
    assert same == stage
    assert after.step == before.step
    assert all(value.dtype == torch.float32 for value in after.ema.values())
    for name, value in after.net.state_dict().items():
        torch.testing.assert_close(value, before.ema[name], rtol=1e-3, atol=1e-4)
        assert torch.equal(value, after.ema[name])
    original, moments = (run.optimizer.state_dict()["state"] for run in (before, after))
    assert moments.keys() == original.keys() != set()
    for place, of in moments.items():
        for name, value in of.items():
            torch.testing.assert_close(value, original[place][name], rtol=1e-2, atol=1e-30)
    pixels = np.zeros((2, 16, 16, 3), np.uint8)
    assert math.isfinite(train_step.train_step(after, same, pixels, CPU))


def test_synthesis_weights_are_rounded_at_the_end(second: Path) -> None:
    run, stage = train_codec.restore(second / "checkpoint.pt", CPU)
    found = []
    for step in (0, 5, 6, 8):
        run.step = step
        found.append(stage.weight_bits(run))
    assert found == [None, None, 6, 6]
    assert train_step.Stage("transform", None).weight_bits(run) is None
    run.step = 0
    assert train_step.Stage("synthesis", stage.layout).weight_bits(run) == 6


def test_qualities_follow_the_configuration(
    product: EmbeddedConfig, changed: Callable[..., EmbeddedConfig]
) -> None:
    torch.manual_seed(0)
    wide = {"qualities": (-2.0, 2.0), "common_qualities": (0.5, 1.0)}
    stage = changed(product, "transform", common_chance=0.6, **wide).transform
    qualities = train_step.qualities(stage, 20_000)
    assert -2 <= qualities.min() < -1.99
    assert 1.99 < qualities.max() <= 2
    common = ((qualities > 0.5) & (qualities < 1)).float().mean()
    assert float(common) == pytest.approx(0.6 + 0.4 / 8, abs=0.02)


def test_qualities_at_budgets_are_interpolated() -> None:
    rows = [{"bytes": 16.0, "ssim": 0.4, "psnr": 18.0}, {"bytes": 64.0, "ssim": 0.8, "psnr": 22.0}]
    assert train_step.at_budgets(rows[::-1], 32) == {
        "ssim_32px_24": pytest.approx(0.4 + 0.4 * math.log(1.5) / math.log(4), abs=1e-4),
        "ssim_32px_32": 0.6,
        "ssim_32px_64": 0.8,
        "psnr_32px_24": pytest.approx(18 + 4 * math.log(1.5) / math.log(4), abs=1e-3),
        "psnr_32px_32": 20.0,
        "psnr_32px_64": 22.0,
    }


# Stages


def test_second_stage_continues_the_first(first: Path, second: Path) -> None:
    one, before = train_codec.restore(first / "checkpoint.pt", CPU)
    other, stage = train_codec.restore(second / "checkpoint.pt", CPU)
    layout = stage.layout
    assert before == train_step.Stage("transform", None)
    assert stage.name == "embedding"
    assert (one.step, other.step) == (4, 8)
    assert [point["stage"] for point in other.curve] == ["transform"] * 2 + ["embedding"] * 2
    assert other.curve[:2] == one.curve
    assert other.seconds > one.seconds
    assert int(other.optimizer.state_dict()["state"][0]["step"]) == 8
    assert layout is not None
    assert sorted(layout.order) == list(range(8))
    for share in layout.shares:
        assert len(share) == 3
        assert list(share) == sorted(share)


def test_layout_follows_the_latents(first: Path, smooth_pictures: list[NDArray[np.uint8]]) -> None:
    run, _ = train_codec.restore(first / "checkpoint.pt", CPU)
    large = [pixels for pixels in smooth_pictures if min(pixels.shape[:2]) >= 32]
    layout = train_codec.make_layout(run, large, CPU)
    run.net.load_state_dict(run.ema)
    y = train_codec.latents_of(run.net, train_codec.crops(large, run.config, 16, 32), CPU)
    by_spread = y.std((0, 2, 3)).argsort(descending=True).tolist()
    strong, weakest, weak = by_spread[:3], by_spread[7:], by_spread[3:7]
    assert list(layout.order) == [*strong, *weakest, *weak]
    assert layout.scales == pytest.approx((1, 1, 1, 1 / 3, *[3**0.25] * 4))
    e = run.config.embedding
    y = y[:, list(layout.order)] * torch.tensor(layout.scales)[:, None, None]
    assert layout.starts == chosen_starts(y, e.planes, e.base_step, e.covered)


@pytest.mark.parametrize("stage", ["transform", "embedding"])
def test_stop_and_resume_is_bit_exact(
    first: Path,
    second: Path,
    product: EmbeddedConfig,
    picture_folder: Path,
    tmp_path: Path,
    stage: str,
) -> None:
    resume = first / "checkpoint.pt" if stage == "embedding" else None
    run = train_codec.train(
        product, [picture_folder], tmp_path, stage=stage, resume=resume, max_minutes=0
    )
    assert run.step == (5 if stage == "embedding" else 1)
    torch.manual_seed(99)  # whatever else the process did
    run = train_codec.train(
        None, [picture_folder], tmp_path, stage=stage, resume=tmp_path / "checkpoint.pt"
    )
    folder = second if stage == "embedding" else first
    straight, found = train_codec.restore(folder / "checkpoint.pt", CPU)
    assert same(run.net.state_dict(), straight.net.state_dict())
    assert same(run.ema, straight.ema)
    assert train_codec.restore(tmp_path / "checkpoint.pt", CPU)[1] == found
    assert [p["loss"] for p in run.curve][-1] > 0


def test_third_stage_changes_the_synthesis_only(
    second: Path, picture_folder: Path, tmp_path: Path
) -> None:
    before, _ = train_codec.restore(second / "checkpoint.pt", CPU)
    resume = second / "checkpoint.pt"
    run = train_codec.train(None, [picture_folder], tmp_path, stage="synthesis", resume=resume)
    assert run.step == 10
    assert [point["stage"] for point in run.curve[-1:]] == ["synthesis"]
    for name, value in run.net.state_dict().items():
        if name.startswith("synthesis."):
            assert not torch.equal(value, before.ema[name]), name
        else:  # the moving average, which stays where it is, too
            assert torch.equal(value, before.ema[name]), name
            torch.testing.assert_close(run.ema[name], value)


def test_rejects_stages_out_of_order(
    product: EmbeddedConfig, first: Path, second: Path, picture_folder: Path, tmp_path: Path
) -> None:
    def begin(config: EmbeddedConfig | None, stage: str, resume: Path | None) -> None:
        train_codec.train(config, [picture_folder], tmp_path, stage=stage, resume=resume)

    with pytest.raises(ConfigError, match="embedding stage needs a checkpoint"):
        begin(product, "embedding", None)
    with pytest.raises(ConfigError, match="cannot follow the embedding stage"):
        begin(None, "transform", second / "checkpoint.pt")
    with pytest.raises(ConfigError, match="cannot follow the transform stage"):
        begin(None, "synthesis", first / "checkpoint.pt")
    with pytest.raises(ConfigError, match="a configuration or a checkpoint"):
        begin(None, "transform", None)
    wider = dataclasses.replace(product.model, rate_hidden=7)
    with pytest.raises(ConfigError, match="another network"):
        begin(dataclasses.replace(product, model=wider), "transform", first / "checkpoint.pt")


def test_checkpoints_store_their_family(second: Path) -> None:
    assert codec_config.is_embedded(runs.config_of(second / "checkpoint.pt"))
    assert not codec_config.is_embedded({"model": {"family": "conv_lstm"}})


def test_command_trains_both_stages(
    tmp_path: Path, picture_folder: Path, product: EmbeddedConfig
) -> None:
    def table(name: str, values: dict[str, Any]) -> str:
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        return "\n".join([f"[{name}]", *lines, ""])

    values = product.to_dict()
    path, out = tmp_path / "tiny.toml", tmp_path / "out"
    path.write_text(
        f'model_id = "{values.pop("model_id")}"\n'
        + "\n".join(table(name, section) for name, section in values.items())
    )
    arguments = ["train", str(path), str(picture_folder), "--out", str(out), "--device", "cpu"]
    assert cli.main([*arguments, "--steps", "1"]) == 0
    checkpoint = str(out / "checkpoint.pt")
    more = ["--stage", "embedding", "--resume", checkpoint, "--steps", "2"]
    assert cli.main([*arguments, *more]) == 0
    run, stage = train_codec.restore(out / "checkpoint.pt", CPU)
    assert run.step == 2
    assert isinstance(stage.layout, Layout)
    assert cli.main([*arguments, "--stage", "embedding"]) == 1


def test_rejects_stages_for_systems_of_the_paper(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = str(CONFIG.with_name("conv-lstm-1.toml"))
    assert cli.main(["train", paper, str(picture_folder), "--stage", "transform"]) == 1
    assert "only the embedded family" in capsys.readouterr().err


def test_crops_need_large_enough_pictures(product: EmbeddedConfig) -> None:
    assert isinstance(product.data, DataConfig)
    assert product.data.size >= max(product.transform.sizes + product.embedding.sizes)
