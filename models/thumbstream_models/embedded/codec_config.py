"""Configuration of the product codec: three stages of training and the context model.

Read from a TOML file, as strictly as the configurations of the paper's systems.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbstream_models.training.config import (
    ConfigError,
    DataConfig,
    Schedule,
    check_keys,
    read_toml,
    section,
)

FAMILY = "embedded"
STRIDE = 8
"""Pixels per cell, in both directions."""
STAGES = ("transform", "embedding", "synthesis")
"""Stages of the training in order; each has a section of the configuration."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shapes of the networks."""

    family: str
    channels: int
    """Latents per cell."""
    analysis_filters: tuple[int, int, int]
    """Channels at a half, a quarter and an eighth of the picture's side."""
    analysis_blocks: tuple[int, int, int]
    """Residual blocks at each of these."""
    synthesis_filters: tuple[int, int, int, int]
    """Channels at an eighth, a quarter, a half and all of the picture's side."""
    synthesis_blocks: tuple[int, int, int, int]
    rate_groups: tuple[int, ...]
    """Sizes of the groups of channels that the rate model of the first stage predicts at once."""
    rate_hidden: int
    lean_hidden: int
    """Units of the first layer of the second stage's rate model."""
    lean_middle: int
    """Units of its second layer."""

    def __post_init__(self) -> None:
        if self.family != FAMILY:
            raise ConfigError(f"expected family {FAMILY!r}, got {self.family!r}")
        if sum(self.rate_groups) != self.channels:
            raise ConfigError("rate_groups must add up to the channels")


@dataclass(frozen=True, slots=True)
class StageConfig(Schedule):
    """A stage of the training. Each step has crops of one size, selected at random."""

    sizes: tuple[int, ...]
    """Sides of the crops in pixels."""
    size_chances: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    """Crops in a batch of each size."""
    qualities: tuple[float, float]
    """Each picture of a batch has a quality u, uniform in this range, and a quantization step of
    about ``exp(-1.9 u)``."""
    common_chance: float
    """For this fraction of the pictures it is uniform in `common_qualities`, those of the most
    useful stream lengths."""
    common_qualities: tuple[float, float]
    ssim_weight: float
    """Distortion is `ERROR_WEIGHT` times the squared error (0 to 255) plus this weight
    times 1 - SSIM."""

    def __post_init__(self) -> None:
        if not len(self.sizes) == len(self.size_chances) == len(self.batch_sizes) > 0:
            raise ConfigError(
                "sizes, size_chances and batch_sizes must have the same length, at least 1"
            )
        if not self.qualities[0] < self.qualities[1]:
            raise ConfigError("qualities must increase")
        if abs(sum(self.size_chances) - 1) > 1e-6 or any(s % STRIDE for s in self.sizes):
            raise ConfigError(f"size_chances must sum to 1, sizes must be multiples of {STRIDE}")


@dataclass(frozen=True, slots=True)
class EmbeddingConfig(StageConfig):
    """The second stage: continues the first one on embedded states.

    Its steps are counted from the start of the first stage.
    """

    planes: int
    """Ternary planes."""
    groups: tuple[int, ...]
    """Channels coded together, in the order of the stream."""
    ranks: tuple[int, ...]
    """Rank of the first channel of each group, sorted by variance."""
    lags: tuple[float, ...]
    """Delay of each group in planes: its steps are ``3^lag`` times as wide. -0.2 compensates a
    group that is coded at a fifth of the plane."""
    base_step: float
    """Quantization step of level 0; each plane divides it by three."""
    handover: tuple[int, int]
    """Between these steps the loss changes from the large rate model to the lean one, which is
    trained from the start of the stage."""
    covered: float
    """Fraction of the training crops whose largest value of a channel its first plane covers."""
    quantise_from: float
    """From this fraction of the steps on, the synthesis weights are rounded as in the graph."""
    weight_bits: int
    """Bits of a synthesis weight in the graph; each output channel has a scale."""
    searched: tuple[int, ...]
    """Planes whose digits the encoder optimizes in every stream."""


@dataclass(frozen=True, slots=True)
class SynthesisConfig(StageConfig):
    """The third stage: only the synthesis network is trained; the latents do not change.

    Its steps are counted from the start of the first stage.
    """

    quantise_from: float
    """As in the second stage."""


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """How the context model is fitted."""

    hidden: int
    """Units of the first layer."""
    middle: int
    """Units of the second layer."""
    steps: int
    batch_size: int
    learning_rate: float
    plane_weights: tuple[float, ...]
    """Weight of a byte in each plane, largest in those of the most useful stream lengths."""
    fine_from: int
    """Planes from here on are used in some of the steps only."""
    fine_chance: float
    """Fraction of these steps; the weights of the planes are divided by it."""
    pictures: int
    """Crops of 32 x 32; crops of 64 x 64 have the same number of cells."""
    seed: int


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """Configuration of a model of the family."""

    model_id: str
    model: ModelConfig
    data: DataConfig
    transform: StageConfig
    embedding: EmbeddingConfig
    synthesis: SynthesisConfig
    context: ContextConfig

    def __post_init__(self) -> None:
        e = self.embedding
        if not len(e.groups) == len(e.ranks) == len(e.lags):
            raise ConfigError("groups, ranks and lags must have the same length")
        taken = sorted(
            r + i for r, size in zip(e.ranks, e.groups, strict=True) for i in range(size)
        )
        if taken != list(range(self.model.channels)):
            raise ConfigError("groups and ranks must contain each channel exactly once")
        if not 0 <= e.handover[0] < e.handover[1]:
            raise ConfigError("handover must be two increasing steps")
        c = self.context
        if len(c.plane_weights) != e.planes:
            raise ConfigError("plane_weights must have one entry per plane")
        if not 0 < c.fine_from <= e.planes or not 0 < c.fine_chance <= 1:
            raise ConfigError("fine_from must be in 1..planes and fine_chance in (0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dictionaries, for a checkpoint or a manifest."""
        return dataclasses.asdict(self)


_SECTIONS: dict[str, type[Any]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "transform": StageConfig,
    "embedding": EmbeddingConfig,
    "synthesis": SynthesisConfig,
    "context": ContextConfig,
}


def is_embedded(values: dict[str, Any]) -> bool:
    """Whether nested dictionaries are a configuration of this family."""
    model = values.get("model")
    return isinstance(model, dict) and model.get("family") == FAMILY


def from_dict(values: dict[str, Any]) -> EmbeddedConfig:
    """Build an `EmbeddedConfig` from nested dictionaries; raises `ConfigError`."""
    check_keys(EmbeddedConfig, values)
    sections = {name: section(cls, values[name]) for name, cls in _SECTIONS.items()}
    return EmbeddedConfig(model_id=values["model_id"], **sections)


def load(path: Path) -> EmbeddedConfig:
    """Read an `EmbeddedConfig` from a TOML file; raises `ConfigError`."""
    return from_dict(read_toml(path))
