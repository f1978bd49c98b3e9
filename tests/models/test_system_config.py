from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from thumbstream_models.paper import networks, system_config, train_system
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import model_writer
from thumbstream_models.training.config import ConfigError, read_toml

MODELS = Path(__file__).resolve().parents[2] / "models"
ZOO = MODELS / "zoo"
CONFIGS = [
    path
    for path in sorted((MODELS / "configs").glob("*.toml"))
    if read_toml(path)["model"]["family"] in networks.FAMILIES
]


def test_configuration_survives_json(tiny: SystemConfig) -> None:
    assert system_config.from_dict(tiny.to_dict()) == tiny
    assert system_config.from_dict(json.loads(json.dumps(tiny.to_dict()))) == tiny


def test_configuration_is_immutable(tiny: SystemConfig) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.training.steps = 7  # type: ignore[misc]


@pytest.mark.parametrize("section", ["model", "data", "training"])
def test_rejects_missing_keys(tiny: SystemConfig, section: str) -> None:
    optional = {"reconstruction", "weights", "window", "whole_codes", "start_sha256"}
    optional |= {"decay_steps", "optimizer", "precision"}
    for key in tiny.to_dict()[section].keys() - optional:
        values = tiny.to_dict()
        del values[section][key]
        with pytest.raises(ConfigError, match=f"missing or unknown keys.*'{key}'"):
            system_config.from_dict(values)


@pytest.mark.parametrize("key", ["model_id", "model", "data", "training"])
def test_rejects_missing_sections(tiny: SystemConfig, key: str) -> None:
    values = tiny.to_dict()
    del values[key]
    with pytest.raises(ConfigError, match=f"'{key}'"):
        system_config.from_dict(values)


@pytest.mark.parametrize("section", ["model", "data", "training"])
def test_rejects_unknown_keys(tiny: SystemConfig, section: str) -> None:
    values = tiny.to_dict()
    values[section]["learning_rat"] = 1
    with pytest.raises(ConfigError, match="learning_rat"):
        system_config.from_dict(values)


def test_choices_have_defaults_and_reject_other_values(tiny: SystemConfig) -> None:
    values = tiny.to_dict()
    del values["model"]["reconstruction"], values["model"]["weights"], values["data"]["window"]
    del values["training"]["whole_codes"]
    assert system_config.from_dict(values) == tiny
    for key, odd in (("reconstruction", "summed"), ("weights", "per_layer")):
        with pytest.raises(ConfigError, match=f"{key} is one of .* not '{odd}'"):
            system_config.from_dict(
                tiny.to_dict() | {"model": tiny.to_dict()["model"] | {key: odd}}
            )


def test_rejects_unknown_sections(tiny: SystemConfig) -> None:
    with pytest.raises(ConfigError, match="trainign"):
        system_config.from_dict(tiny.to_dict() | {"trainign": {}})


@pytest.mark.parametrize("value", [3, "conv_lstm", [], None])
def test_rejects_sections_that_are_not_tables(tiny: SystemConfig, value: Any) -> None:
    with pytest.raises(ConfigError):
        system_config.from_dict(tiny.to_dict() | {"model": value})


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("model_id = ")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        system_config.load(path)


def test_configurations_exist() -> None:
    assert any((ZOO / path.stem).exists() for path in CONFIGS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_can_be_trained(path: Path) -> None:
    config = system_config.load(path)
    assert config.model_id == path.stem
    assert config.data.size % networks.STRIDE == 0
    t = config.training
    assert 1 <= t.min_iterations <= t.curriculum_iterations <= config.model.iterations
    assert 0 <= t.curriculum <= 1
    assert 0 <= t.deterministic_from <= 1
    assert 0 < t.final_learning_rate <= t.learning_rate
    assert t.warmup_steps < t.steps
    net = networks.build(config.model)
    assert len(net.residual_gain.gain) == config.model.iterations
    assert config.data.side() % networks.STRIDE == 0
    assert config.data.side() <= config.data.size
    x_hat = net(x := train_system.torch.zeros(1, 3, 16, 16), 1)[1]
    assert train_system.loss_of(x, x_hat, t.loss).isfinite()


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS if (ZOO / path.stem).exists()], ids=lambda path: path.stem
)
def test_every_published_model_has_an_id_and_is_small(path: Path) -> None:
    config = system_config.load(path)
    assert config.model_id in model_writer.BITSTREAM_IDS
    parameters = sum(p.numel() for p in networks.build(config.model).parameters())
    assert 2 * parameters < 12_000_000, "half-precision weights of 12 MB or less go into git"
