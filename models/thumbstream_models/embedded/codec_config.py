"""A training of the product codec as data: two stages, a context model and quantised weights.

Read from one commented TOML file, as strictly as the configurations of the paper's systems.
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
"""Of the training, in their order; each has a section of the configuration."""


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
    """Channels at an eighth, a quarter, a half and the whole of the picture's side."""
    synthesis_blocks: tuple[int, int, int, int]
    rate_groups: tuple[int, ...]
    """Channels that the rate model of the first stage predicts at once, group after group."""
    rate_hidden: int
    lean_hidden: int
    """Units of the first layer of the second stage's rate model."""
    lean_middle: int
    """Units of its second layer."""

    def __post_init__(self) -> None:
        if self.family != FAMILY:
            raise ConfigError(f"the family of this configuration is {FAMILY}, not {self.family!r}")
        if sum(self.rate_groups) != self.channels:
            raise ConfigError("rate_groups must add up to the channels")


@dataclass(frozen=True, slots=True)
class StageConfig(Schedule):
    """A stage of the training. Each step has crops of one size, drawn at random."""

    sizes: tuple[int, ...]
    """Sides of the crops in pixels."""
    size_chances: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    """Crops in a batch of each size."""
    qualities: tuple[float, float]
    """Every picture of a batch has a quality u of its own, uniform between these: its quantisation
    step is near ``exp(-1.9 u)``."""
    common_chance: float
    """For this part of the pictures it is uniform between `common_qualities`: those of the bytes
    that people use."""
    common_qualities: tuple[float, float]
    ssim_weight: float
    """Distortion is `distortion.ERROR_WEIGHT` times the squared error (0 to 255) plus so much times
    1 - SSIM."""

    def __post_init__(self) -> None:
        if not len(self.sizes) == len(self.size_chances) == len(self.batch_sizes) > 0:
            raise ConfigError("sizes, size_chances and batch_sizes have an entry for each size")
        if not self.qualities[0] < self.qualities[1]:
            raise ConfigError("qualities grow")
        if abs(sum(self.size_chances) - 1) > 1e-6 or any(s % STRIDE for s in self.sizes):
            raise ConfigError(f"chances add up to 1, sizes are multiples of {STRIDE}")


@dataclass(frozen=True, slots=True)
class EmbeddingConfig(StageConfig):
    """The second stage: the same training goes on, on embedded states.

    Its steps are counted from the first stage's first.
    """

    planes: int
    """Ternary planes."""
    groups: tuple[int, ...]
    """Channels coded together, in the order of the stream."""
    ranks: tuple[int, ...]
    """Of each group: the place of its first channel among all, by how much they vary."""
    lags: tuple[float, ...]
    """Planes by which each group is behind: its steps are ``3^lag`` times as wide. Groups that
    come late in a plane are ahead by what they wait: -0.2 for one at a fifth of the plane."""
    base_step: float
    """Quantisation step of level 0; each plane has a third of the one before."""
    handover: tuple[int, int]
    """From the first of these steps to the second the lean rate model takes over from the large
    one; before, it learns beside."""
    covered: float
    """Part of the training crops whose largest value of a channel its first plane must hold."""
    quantise_from: float
    """From this fraction of the steps on, the synthesis weights are rounded as published."""
    weight_bits: int
    """Bits of a published synthesis weight; each output channel has a scale of its own."""
    searched: tuple[int, ...]
    """Planes whose digits the encoder chooses in every stream."""


@dataclass(frozen=True, slots=True)
class SynthesisConfig(StageConfig):
    """The third stage: the synthesis network alone goes on, and the latents stay as they are.

    Its steps are counted from the first stage's first, too.
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
    """How much a byte of each plane counts: most in those that people's bytes pay for."""
    fine_from: int
    """Planes from here on are looked at in some of the steps only."""
    fine_chance: float
    """So many of the steps; what they cost counts by so much more."""
    pictures: int
    """Crops of 32 x 32, and as many cells again of 64 x 64."""
    seed: int


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """All that makes a published model of the family."""

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
            raise ConfigError("groups, ranks and lags have an entry for each group")
        taken = sorted(
            r + i for r, size in zip(e.ranks, e.groups, strict=True) for i in range(size)
        )
        if taken != list(range(self.model.channels)):
            raise ConfigError("groups and their ranks must take every channel once")
        if not 0 <= e.handover[0] < e.handover[1]:
            raise ConfigError("handover begins before it ends")
        c = self.context
        if len(c.plane_weights) != e.planes:
            raise ConfigError("plane_weights has an entry for each plane")
        if not 0 < c.fine_from <= e.planes or not 0 < c.fine_chance <= 1:
            raise ConfigError("fine_from is a plane, and fine_chance a chance")

    def to_dict(self) -> dict[str, Any]:
        """As nested plain dictionaries, for a checkpoint or a manifest."""
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
