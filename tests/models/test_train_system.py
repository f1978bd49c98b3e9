from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thumbstream.codec import quality
from thumbstream.codec.iterative.codes import coding_rank
from thumbstream.codec.tensors import cell_grid
from thumbstream_models.evaluate import metrics
from thumbstream_models.paper import networks, train_system
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import data, runs
from thumbstream_models.training.config import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60


@pytest.fixture(autouse=True)
def keep_handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


def weights(run: train_system.Run) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.net.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_same_optimizer(a: train_system.Run, b: train_system.Run) -> None:
    one, other = a.optimizer.state_dict(), b.optimizer.state_dict()
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    assert one["state"], "no step was taken"
    for key, state in one["state"].items():
        assert_same(state, other["state"][key])


def batch(pictures: list[NDArray[np.uint8]], config: SystemConfig, step: int) -> NDArray[np.uint8]:
    t = config.training
    return data.training_batch(pictures, config.data, t.batch_size, t.seed, step)


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["l2", "log_l2", "log_l2_ssim"])
def test_training_lowers_the_loss(
    tiny: SystemConfig, changed: Callable[..., SystemConfig], loss: str
) -> None:
    """Dark and light pictures: whoever does not send which stays near 9.3 dB (mid grey)."""
    pictures = [np.full((20, 20, 3), value, np.uint8) for value in (40, 215)]
    config = changed(
        tiny,
        "training",
        steps=60,
        batch_size=8,
        loss=loss,
        learning_rate=2e-2,
        ema_decay=0.5,
        deterministic_from=0.0,
    )
    run = train_system.new_run(config, CPU)
    held_out = data.validation_batch(pictures, config.data.size)
    before = train_system.validate(run, held_out, CPU)
    for step in range(config.training.steps):
        assert math.isfinite(train_system.train_step(run, batch(pictures, config, step), CPU))
    after = train_system.validate(run, held_out, CPU)
    assert run.step == 60
    for t in (1, 2, 4):
        assert before[f"psnr_{t}"] < 10
        assert after[f"psnr_{t}"] > 12


# Stop and go on


@pytest.fixture(scope="module")
def uninterrupted(
    tiny: SystemConfig, picture_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[train_system.Run, Path]:
    before = [signal.getsignal(number) for number in SIGNALS]
    out = tmp_path_factory.mktemp("uninterrupted")
    run = train_system.train(tiny, [picture_folder], out, device_name="cpu")
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    return run, out


def test_complete_training(
    tiny: SystemConfig, uninterrupted: tuple[train_system.Run, Path]
) -> None:
    run, out = uninterrupted
    assert run.step == tiny.training.steps
    assert [point["step"] for point in run.curve] == [2, 4, 6]
    assert set(run.curve[0]) == {"step", "minutes", "loss"} | {
        f"{kind}_{t}" for kind in ("psnr", "ssim") for t in (1, 2, 4)
    }
    lines = (out / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.curve
    assert run.seconds > 0
    assert len(run.data_sha256) == 64
    saved = train_system.restore(out / "checkpoint.pt", CPU)
    assert saved.config == tiny
    assert (saved.step, saved.curve, saved.data_sha256) == (run.step, run.curve, run.data_sha256)


@pytest.mark.parametrize("stops", [(1,), (4, 5), (1, 2, 3, 4, 5)])
def test_stop_and_resume_is_bit_exact(
    tiny: SystemConfig,
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stops: tuple[int, ...],
) -> None:
    """The six steps cross warm-up, curriculum, the end of noise, and three validations."""
    real_step = train_system.train_step

    def step_and_signal(run: train_system.Run, *rest: Any) -> float:
        loss = real_step(run, *rest)
        if run.step in stops:
            signal.raise_signal(signal.SIGTERM)
        return loss

    monkeypatch.setattr(train_system, "train_step", step_and_signal)
    run = train_system.train(tiny, [picture_folder], tmp_path, device_name="cpu")
    for stop in stops:
        assert run.step == stop
        torch.manual_seed(stop)  # whatever else the process did
        run = train_system.train(
            None, [picture_folder], tmp_path, resume=tmp_path / "checkpoint.pt", device_name="cpu"
        )
    straight, _ = uninterrupted
    assert run.step == straight.step
    assert_same(weights(run), weights(straight))
    assert_same(run.ema, straight.ema)
    assert_same_optimizer(run, straight)
    measured = ("psnr_1", "ssim_1", "psnr_4", "ssim_4")
    assert [[p[k] for k in measured] for p in run.curve] == [
        [p[k] for k in measured] for p in straight.curve
    ]


def test_training_is_a_function_of_the_seed(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    again = train_system.train(tiny, [picture_folder], tmp_path / "a", device_name="cpu")
    assert_same(weights(again), weights(uninterrupted[0]))
    short = changed(changed(tiny, "training", steps=1), "training", seed=2)
    other = train_system.train(short, [picture_folder], tmp_path / "b", device_name="cpu")
    one = train_system.train(
        changed(tiny, "training", steps=1), [picture_folder], tmp_path / "c", device_name="cpu"
    )
    assert not torch.equal(other.net.encoder.conv.weight, one.net.encoder.conv.weight)


def test_training_stops_after_max_minutes(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_system.train(tiny, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    assert run.step == 1
    assert train_system.restore(tmp_path / "checkpoint.pt", CPU).step == 1
    assert "stopped at step 1: out of time" in capsys.readouterr().out


def test_same_command_resumes(
    tiny: SystemConfig,
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    train_system.train(tiny, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    run = train_system.train(tiny, [picture_folder], tmp_path, device_name="cpu")
    assert_same(weights(run), weights(uninterrupted[0]))


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_same_command_resumes_from_a_compact_checkpoint_then_from_its_own(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    tmp_path: Path,
    optimizer: str,
) -> None:
    config, sources = changed(tiny, "training", optimizer=optimizer), [picture_folder]
    train_system.train(config, sources, tmp_path / "a", max_minutes=0, device_name="cpu")
    small = tmp_path / "small.pt"
    runs.compact(tmp_path / "a" / "checkpoint.pt", small)
    for step in (2, 3):
        run = train_system.train(
            config, sources, tmp_path / "b", resume=small, max_minutes=0, device_name="cpu"
        )
        assert run.step == step


@pytest.mark.parametrize(
    ("section", "values"),
    [("model", {"code_planes": 5}), ("data", {"min_crop": 0.6}), ("training", {"steps": 7})],
)
def test_rejects_a_checkpoint_of_another_configuration(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    tmp_path: Path,
    section: str,
    values: dict[str, Any],
) -> None:
    train_system.train(tiny, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    other = changed(tiny, section, **values)
    with pytest.raises(ConfigError, match="another configuration"):
        train_system.train(other, [picture_folder], tmp_path, device_name="cpu")
    assert (tmp_path / "checkpoint.pt").read_bytes() == checkpoint


def test_run_starts_with_the_weights_of_a_checkpoint(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    straight, out = uninterrupted
    start = tmp_path / "start.pt"
    runs.compact(out / "checkpoint.pt", start)
    digest = hashlib.sha256(start.read_bytes()).hexdigest()
    config = changed(tiny, "training", start_sha256=digest, optimizer="muon")
    run = train_system.new_run(config, CPU)
    train_system.load_start(run, start, CPU)
    assert run.step == 0
    for name, value in straight.ema.items():
        torch.testing.assert_close(weights(run)[name], value, rtol=1e-3, atol=1e-6)
    assert_same(weights(run), run.ema)
    first = train_system.train(config, [picture_folder], tmp_path, start=start, device_name="cpu")
    assert first.step == config.training.steps
    again = train_system.train(
        config, [picture_folder], tmp_path, device_name="cpu"
    )  # needs no start
    assert_same(weights(again), weights(first))


def test_rejects_another_start_than_configured(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    start = uninterrupted[1] / "checkpoint.pt"
    digest = hashlib.sha256(start.read_bytes()).hexdigest()
    config = changed(tiny, "training", start_sha256=digest)
    with pytest.raises(ConfigError, match=digest):
        train_system.train(config, [picture_folder], tmp_path, device_name="cpu")
    with pytest.raises(ConfigError, match="SHA-256 is 00"):
        other = changed(tiny, "training", start_sha256="00")
        train_system.train(other, [picture_folder], tmp_path, start=start, device_name="cpu")
    with pytest.raises(ConfigError, match="another network"):
        other = changed(config, "model", code_planes=5)
        train_system.train(other, [picture_folder], tmp_path, start=start, device_name="cpu")


def test_finished_training_is_not_continued(
    tiny: SystemConfig,
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    straight, out = uninterrupted
    run = train_system.train(
        None, [picture_folder], tmp_path, resume=out / "checkpoint.pt", device_name="cpu"
    )
    assert run.step == straight.step
    assert_same(weights(run), weights(straight))


def test_longer_training_resumes_from_a_checkpoint(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    uninterrupted: tuple[train_system.Run, Path],
    tmp_path: Path,
) -> None:
    longer = changed(tiny, "training", steps=8)
    checkpoint = uninterrupted[1] / "checkpoint.pt"
    run = train_system.train(
        longer, [picture_folder], tmp_path, resume=checkpoint, device_name="cpu"
    )
    assert run.step == 8
    assert run.config == longer
    assert run.seconds > train_system.restore(checkpoint, CPU).seconds


def test_rejects_neither_configuration_nor_checkpoint(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a configuration or a checkpoint"):
        train_system.train(None, [picture_folder], tmp_path, device_name="cpu")


def test_signal_handlers_are_restored(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    train_system.train(tiny, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    assert [signal.getsignal(number) for number in SIGNALS] == before


def as_toml(config: SystemConfig) -> str:
    """Numbers, strings and lists are written alike in TOML and in JSON."""
    values = config.to_dict()
    lines = [f"model_id = {json.dumps(values.pop('model_id'))}"]
    for section, entries in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join(lines)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_exits_with_success(
    tiny: SystemConfig, changed: Callable[..., SystemConfig], picture_folder: Path, tmp_path: Path
) -> None:
    """The real command, in a process of its own."""
    endless = changed(tiny, "training", steps=10**6, validate_every=1)
    (tmp_path / "endless.toml").write_text(as_toml(endless))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "thumbstream_models", "train", tmp_path / "endless.toml"]
    path = os.pathsep.join([str(ROOT / "models"), str(ROOT / "service")])
    process = subprocess.Popen(
        [*command, picture_folder, "--out", out, "--device", "cpu"],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (out / "curve.jsonl").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=STOP_TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    run = train_system.restore(out / "checkpoint.pt", CPU)
    assert run.config == endless
    assert run.step >= 1
    assert run.curve[-1]["step"] == run.step
    assert f"stopped at step {run.step}: SIGTERM" in printed
    assert "Traceback" not in errors


# Checkpoints


def test_crash_while_saving_leaves_the_old_checkpoint(
    tiny: SystemConfig,
    smooth_pictures: list[NDArray[np.uint8]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "checkpoint.pt"
    run = train_system.new_run(tiny, CPU)
    train_system.save(run, path)
    before = path.read_bytes()
    train_system.train_step(run, batch(smooth_pictures, tiny, 0), CPU)

    def half(_: object, target: Path) -> None:
        Path(target).write_bytes(before[: len(before) // 2])
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            train_system.save(run, path)
    assert path.read_bytes() == before
    assert train_system.restore(path, CPU).step == 0
    train_system.save(run, path)
    assert train_system.restore(path, CPU).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_rejects_a_checkpoint_of_another_network(
    tiny: SystemConfig, changed: Callable[..., SystemConfig], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    train_system.save(train_system.new_run(tiny, CPU), path)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt holds another network"):
        train_system.restore(path, CPU, changed(tiny, "model", code_planes=5))


# One step


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_steps_with_infinite_gradients_are_skipped(
    tiny: SystemConfig,
    smooth_pictures: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    poison: float,
) -> None:
    run = train_system.new_run(tiny, CPU)
    train_system.train_step(run, batch(smooth_pictures, tiny, 0), CPU)
    before, state = weights(run), run.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    loss_of = train_system.loss_of
    with monkeypatch.context() as patch:
        patch.setattr(train_system, "loss_of", lambda *args: loss_of(*args) * poison)
        train_system.train_step(run, batch(smooth_pictures, tiny, 1), CPU)
    assert run.step == 2
    assert_same(weights(run), before)
    assert torch.equal(run.optimizer.state_dict()["state"][0]["exp_avg"], state)
    assert all(value.isfinite().all() for value in run.ema.values())
    train_system.train_step(run, batch(smooth_pictures, tiny, 2), CPU)
    assert not torch.equal(run.net.encoder.conv.weight, before["encoder.conv.weight"])
    assert all(value.isfinite().all() for value in run.net.state_dict().values())


def test_infinite_losses_do_not_enter_the_curve(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curve is published as JSON, which knows no NaN."""
    real_step = train_system.train_step
    monkeypatch.setattr(
        train_system,
        "train_step",
        lambda run, *rest: real_step(run, *rest) * (math.nan if run.step == 2 else 1),
    )
    run = train_system.train(tiny, [picture_folder], tmp_path, device_name="cpu")
    assert math.isfinite(run.curve[-1]["loss"])
    assert "NaN" not in (tmp_path / "curve.jsonl").read_text()


def test_moving_average_warms_up(
    tiny: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    run = train_system.new_run(tiny, CPU)
    average = weights(run)
    for step, decay in enumerate((1 / 10, 2 / 11, 3 / 12)):
        train_system.train_step(run, batch(smooth_pictures, tiny, step), CPU)
        for name, value in weights(run).items():
            average[name] = decay * average[name] + (1 - decay) * value
            torch.testing.assert_close(run.ema[name], average[name])


def test_binarization_noise_ends_as_configured(
    tiny: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    run = train_system.new_run(tiny, CPU)
    for step in range(6):
        train_system.train_step(run, batch(smooth_pictures, tiny, step), CPU)
        assert run.net.binarizer.deterministic is (step >= 0.7 * 6)


def test_averaged_weights_are_temporary(
    tiny: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    run = train_system.new_run(tiny, CPU)
    for step in range(2):
        train_system.train_step(run, batch(smooth_pictures, tiny, step), CPU)
    live = weights(run)
    with pytest.raises(RuntimeError, match="stop"), train_system.averaged_weights(run) as net:
        assert not net.training
        assert_same(dict(net.state_dict()), run.ema)
        assert not torch.equal(net.encoder.conv.weight, live["encoder.conv.weight"])
        raise RuntimeError("stop")
    assert run.net.training
    assert_same(weights(run), live)


def test_validation_uses_averaged_weights(
    tiny: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    run = train_system.new_run(tiny, CPU)
    pixels = data.validation_batch(smooth_pictures, 16)
    with torch.no_grad():
        run.net.decoder.to_rgb.bias.fill_(5)  # the live network draws white
    point = train_system.validate(run, pixels, CPU)
    run.net.load_state_dict(run.ema)
    with torch.no_grad():
        _, reconstructions = run.net.eval()(train_system.to_tensor(pixels, CPU), 4)
    for t in (1, 2, 4):
        x_hat = train_system.to_pixels(reconstructions[t - 1])
        assert point[f"psnr_{t}"] == pytest.approx(metrics.psnr(pixels, x_hat).mean(), abs=6e-4)
        assert point[f"ssim_{t}"] == pytest.approx(metrics.ssim(pixels, x_hat).mean(), abs=6e-5)


# Schedules, masks, losses


def test_learning_rate_is_constant_until_its_decay(
    tiny: SystemConfig, changed: Callable[..., SystemConfig]
) -> None:
    config = changed(tiny, "training", steps=10, decay_steps=4, warmup_steps=2)
    rates = [train_system.learning_rate(config, step) for step in range(12)]
    high, low = config.training.learning_rate, config.training.final_learning_rate
    assert rates[0] == pytest.approx(high / 2)
    assert rates[1:7] == pytest.approx([high] * 6)
    assert rates[8] == pytest.approx((high + low) / 2)
    assert rates[10:] == pytest.approx([low] * 2)
    longer = changed(config, "training", steps=20)
    assert [train_system.learning_rate(longer, step) for step in range(7)] == rates[:7]


def test_learning_rate(tiny: SystemConfig, changed: Callable[..., SystemConfig]) -> None:
    config = changed(
        tiny,
        "training",
        steps=1100,
        warmup_steps=100,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
    )
    rates = [train_system.learning_rate(config, step) for step in range(1101)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[49] == pytest.approx(5e-4)
    assert rates[99] == rates[100] == pytest.approx(1e-3)
    assert rates[350] == pytest.approx(1e-5 + 0.99e-3 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[600] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates[1100] == pytest.approx(1e-5)
    assert train_system.learning_rate(config, 5000) == pytest.approx(1e-5)
    assert np.all(np.diff(rates[:100]) > 0)
    assert np.all(np.diff(rates[100:]) < 0)
    unwarmed = changed(config, "training", warmup_steps=0)
    assert train_system.learning_rate(unwarmed, 0) == pytest.approx(1e-3)


def test_optimizer_uses_the_scheduled_rate(
    tiny: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    run = train_system.new_run(tiny, CPU)
    for step in range(3):
        train_system.train_step(run, batch(smooth_pictures, tiny, step), CPU)
        assert run.optimizer.param_groups[0]["lr"] == train_system.learning_rate(tiny, step)


def test_unrolled_iterations(tiny: SystemConfig, changed: Callable[..., SystemConfig]) -> None:
    config = changed(tiny, "model", iterations=9)
    config = changed(
        config,
        "training",
        steps=1000,
        curriculum=0.2,
        curriculum_iterations=5,
        min_iterations=2,
        unroll_power=2.0,
    )
    rng = np.random.default_rng(0)
    early = [train_system.unrolled_iterations(config, 199, rng) for _ in range(1000)]
    late = [train_system.unrolled_iterations(config, 200, rng) for _ in range(8000)]
    assert set(early) == {2, 3, 4, 5}
    assert set(late) == set(range(2, 10))
    counts = np.bincount(late)[2:]
    expected = np.diff(np.sqrt(np.arange(9) / 8))  # P(8 u^2 < n) = sqrt(n / 8)
    np.testing.assert_allclose(counts / 8000, expected, atol=0.025)
    fixed = changed(config, "training", min_iterations=9)
    assert {train_system.unrolled_iterations(fixed, 500, rng) for _ in range(50)} == {9}


def test_masks_are_prefixes_of_the_coding_order() -> None:
    planes, size = 3, 24
    rank = coding_rank(cell_grid(size, size, networks.STRIDE), planes).reshape(-1)
    mask = train_system.truncation_mask(2000, planes, size, 0.25, np.random.default_rng(0))
    assert mask.shape == (2000, planes, 3, 3)
    in_order = mask.numpy().reshape(2000, -1)[:, np.argsort(rank)]
    assert set(np.unique(in_order)) == {0, 1}
    assert np.all(np.diff(in_order, axis=1) <= 0)
    kept = in_order.sum(1).astype(int)
    assert set(kept) == set(range(28))
    whole = (kept == 27).mean()
    assert whole == pytest.approx(0.25 + 0.75 / 28, abs=0.03)
    assert train_system.truncation_mask(50, planes, size, 1.0, np.random.default_rng(0)).all()


def test_losses() -> None:
    x = torch.zeros(2, 3, 8, 8)
    reconstructions = [
        torch.stack([torch.full((3, 8, 8), 0.5), torch.full((3, 8, 8), 0.1)]),
        torch.stack([torch.full((3, 8, 8), 0.2), torch.zeros(3, 8, 8)]),
    ]
    squares = np.array([0.25, 0.01, 0.04, 0.0])
    assert train_system.loss_of(x, reconstructions, "l2").item() == pytest.approx(squares.mean())
    expected = np.log(squares + (3 / 255) ** 2).mean()
    assert train_system.loss_of(x, reconstructions, "log_l2").item() == pytest.approx(expected)
    with pytest.raises(ConfigError, match="unknown loss 'l1'; known: l2, log_l2, log_l2_ssim"):
        train_system.loss_of(x, reconstructions, "l1")


def test_loss_of_similarity() -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    noisy = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))).clamp(
        -1, 1
    )
    squares = (x - noisy).square().mean(dim=(1, 2, 3)).numpy()
    lacking = 1 - quality.ssim(train_system.to_pixels(x), train_system.to_pixels(noisy))
    expected = (np.log(squares + (3 / 255) ** 2) + np.log(lacking + 0.01)).mean() / 2
    loss = train_system.loss_of(x, [noisy, noisy], "log_l2_ssim").item()
    assert loss == pytest.approx(expected, abs=2e-3)
    best = train_system.loss_of(x, [x], "log_l2_ssim").item()
    assert best == pytest.approx((math.log((3 / 255) ** 2) + math.log(0.01)) / 2, abs=1e-3)


def test_pixels_survive_conversion_to_tensors_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 8, 32, 1).repeat(3, axis=3)
    x = train_system.to_tensor(pixels, CPU)
    assert x.shape == (1, 3, 8, 32)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (-1, 1)
    assert x.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(train_system.to_pixels(x), pixels)
    np.testing.assert_array_equal(
        train_system.to_pixels(torch.full((1, 3, 1, 1), 9.0)), [[[[255] * 3]]]
    )
    np.testing.assert_array_equal(
        train_system.to_pixels(torch.full((1, 3, 1, 1), -9.0)), [[[[0] * 3]]]
    )
