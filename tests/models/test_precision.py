from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from thumbstream_models.paper import train_system
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import precision
from thumbstream_models.training.config import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("fast", precision.PRECISIONS)
def test_the_fastest_is_chosen_and_both_are_logged(
    fast: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net = nn.Linear(3, 2)

    def loss() -> torch.Tensor:
        out = net(torch.ones(4, 3))
        time.sleep(0.001 if str(out.dtype) == f"torch.{fast}" else 0.05)
        return out.square().mean()

    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert precision.fastest(net, loss, CPU, repeats=1) == fast
    printed = capsys.readouterr().err
    assert f"precision: {fast}" in printed
    assert all(f"ms in {name}" in printed for name in precision.PRECISIONS)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_training_keeps_the_precision_that_it_started_with(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = changed(tiny, "training", precision="measured")
    answers = iter(["float32"])  # asked once
    monkeypatch.setattr(precision, "fastest", lambda *_: next(answers))
    train_system.train(config, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    assert train_system.restore(tmp_path / "checkpoint.pt", CPU).precision == "float32"
    run = train_system.train(config, [picture_folder], tmp_path, device_name="cpu")
    assert (run.step, run.precision) == (config.training.steps, "float32")


@pytest.mark.parametrize("name", precision.PRECISIONS)
def test_the_configuration_may_say_which(
    tiny: SystemConfig,
    changed: Callable[..., SystemConfig],
    picture_folder: Path,
    tmp_path: Path,
    name: str,
) -> None:
    config = changed(tiny, "training", precision=name)
    run = train_system.train(config, [picture_folder], tmp_path, max_minutes=0, device_name="cpu")
    assert run.precision == name


def test_an_unknown_precision_is_an_error(
    tiny: SystemConfig, changed: Callable[..., SystemConfig]
) -> None:
    with pytest.raises(ConfigError, match="float16"):
        changed(tiny, "training", precision="float16")
