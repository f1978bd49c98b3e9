"""Configuration of a system of the paper: one frozen dataclass tree, read from a TOML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbstream_models.training.config import (
    DataConfig,
    Schedule,
    check_keys,
    one_of,
    read_toml,
    section,
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of the network."""

    family: str
    """Key of `networks.FAMILIES`."""
    iterations: int
    """Iterations of the network in training (16 in the paper)."""
    code_planes: int
    """Binary codes per cell and iteration."""
    encoder_filters: tuple[int, ...]
    """Channels (or units) of the encoder's layers; their number depends on the family."""
    decoder_filters: tuple[int, ...]
    reconstruction: str = "one_shot"
    """``one_shot``: every iteration reconstructs the picture; ``additive``: the residual."""
    weights: str = "shared"
    """``shared``: the same weights in every iteration; ``per_stage``: separate ones."""

    def __post_init__(self) -> None:
        one_of("reconstruction", self.reconstruction, ("one_shot", "additive"))
        one_of("weights", self.weights, ("shared", "per_stage"))


@dataclass(frozen=True, slots=True)
class TrainingConfig(Schedule):
    """How a network of the paper is trained."""

    batch_size: int
    loss: str
    """``l2``: mean squared residual; ``log_l2``: mean over pictures of its logarithm;
    ``log_l2_ssim``: half that, half the logarithm of 1 - SSIM."""
    curriculum: float
    """Until this fraction of the steps, at most `curriculum_iterations` are unrolled."""
    curriculum_iterations: int
    min_iterations: int
    """Smallest number of unrolled iterations; the largest is `ModelConfig.iterations`."""
    unroll_power: float
    """A batch is unrolled for ``min + (max - min) * u ** power`` iterations, ``u ~ U(0, 1)``."""
    deterministic_from: float
    """From this fraction of the steps on, binarize by sign as at inference, without noise."""
    start_sha256: str = ""
    """SHA-256 of the checkpoint whose weights a new run starts with; empty: random weights."""
    decay_steps: int = 0
    """The learning rate stays constant and falls linearly in the last steps, this many; 0: it falls
    by half a cosine from the warm-up on. Constant rates can be trained for longer than planned."""
    optimizer: str = "adam"
    """``adam``, or ``muon``: Muon for the weights of hidden layers and Adam for all others."""
    precision: str = "measured"
    """``bfloat16``, ``float32``, or ``measured``: whichever is faster on the device."""
    whole_codes: float = 0.25
    """Fraction of the pictures of a batch whose codes are not truncated; 1 for a network of one
    fixed rate."""

    def __post_init__(self) -> None:
        one_of("optimizer", self.optimizer, ("adam", "muon"))
        one_of("precision", self.precision, ("measured", "bfloat16", "float32"))


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """Configuration of a training run."""

    model_id: str
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig

    def to_dict(self) -> dict[str, Any]:
        """As nested plain dictionaries, for a checkpoint or a manifest."""
        return dataclasses.asdict(self)


def from_dict(values: dict[str, Any]) -> SystemConfig:
    """Build a `SystemConfig` from nested dictionaries; raises `ConfigError`."""
    check_keys(SystemConfig, values)
    return SystemConfig(
        model_id=values["model_id"],
        model=section(ModelConfig, values["model"]),
        data=section(DataConfig, values["data"]),
        training=section(TrainingConfig, values["training"]),
    )


def load(path: Path) -> SystemConfig:
    """Read a `SystemConfig` from a TOML file; raises `ConfigError`."""
    return from_dict(read_toml(path))
