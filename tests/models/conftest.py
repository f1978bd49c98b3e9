"""What the tests of the training package share: one thread, a tiny network, synthetic pictures."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from thumbstream_models.paper.system_config import ModelConfig, SystemConfig, TrainingConfig
from thumbstream_models.training.config import DataConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codec"))  # small models

TINY = SystemConfig(
    model_id="conv-lstm-1",
    model=ModelConfig(
        family="conv_lstm",
        iterations=4,
        code_planes=4,
        encoder_filters=(8, 8),
        decoder_filters=(8, 8, 8),
    ),
    data=DataConfig(
        size=16, min_crop=0.5, whole_fraction=0.4, max_aspect=1.5, validation_pictures=3
    ),
    training=TrainingConfig(
        steps=6,
        batch_size=4,
        learning_rate=5e-3,
        final_learning_rate=5e-4,
        warmup_steps=2,
        gradient_clip=1.0,
        ema_decay=0.9,
        seed=1,
        loss="log_l2",
        curriculum=0.3,
        curriculum_iterations=2,
        min_iterations=1,
        unroll_power=1.4,
        deterministic_from=0.7,
        validate_every=2,
        precision="bfloat16",
    ),
)

PATCHES = {"encoder_filters": (12, 8), "decoder_filters": (10, 8)}
CONVOLUTIONS = {"encoder_filters": (6, 8, 8), "decoder_filters": (6, 8, 12, 8)}
ADDITIVE = {"reconstruction": "additive"}
SYSTEMS: dict[str, dict[str, Any]] = {
    "conv_lstm": {},
    "fc_lstm": {"family": "fc_lstm", "encoder_filters": (12, 8, 8), "decoder_filters": (10, 8)},
    "fc_residual": {"family": "fc_residual", **PATCHES, **ADDITIVE},
    "fc_residual_per_stage": {
        "family": "fc_residual",
        **PATCHES,
        **ADDITIVE,
        "weights": "per_stage",
    },
    "conv_residual": {"family": "conv_residual", **CONVOLUTIONS, **ADDITIVE},
    "conv_residual_per_stage": {
        "family": "conv_residual",
        **CONVOLUTIONS,
        **ADDITIVE,
        "weights": "per_stage",
    },
    "conv_autoencoder": {"family": "conv_autoencoder", **CONVOLUTIONS, "iterations": 1},
}
"""Every system of the paper, tiny: what differs from `TINY`."""


@pytest.fixture(scope="session", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> SystemConfig:
    """A tiny training of each system in turn."""
    model = dataclasses.replace(TINY.model, **SYSTEMS[request.param])
    iterations = min(model.iterations, TINY.training.curriculum_iterations)
    training = dataclasses.replace(TINY.training, curriculum_iterations=iterations)
    return dataclasses.replace(TINY, model=model, training=training)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are too small for two threads to be anything but in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Crops of test pictures do not go where the user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(scope="session")
def tiny() -> SystemConfig:
    """Configuration of a training that takes a second."""
    return TINY


@pytest.fixture(scope="session")
def changed() -> Callable[..., SystemConfig]:
    """``changed(config, section, **values)``: the configuration with some values replaced."""

    def change(config: SystemConfig, section: str, **values: Any) -> SystemConfig:
        part = dataclasses.replace(getattr(config, section), **values)
        return dataclasses.replace(config, **{section: part})

    return change


@pytest.fixture(scope="session")
def smooth_pictures() -> list[NDArray[np.uint8]]:
    """Ten pictures of soft colours, no two of the same size, sides from 24 to 60 pixels."""
    rng = np.random.default_rng(5)
    made = []
    for i in range(10):
        seed = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
        made.append(np.asarray(seed.resize((24 + 4 * i, 60 - 3 * i), Image.Resampling.BICUBIC)))
    return made


@pytest.fixture(scope="session")
def picture_folder(
    smooth_pictures: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same pictures as PNG files."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, pixels in enumerate(smooth_pictures):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
