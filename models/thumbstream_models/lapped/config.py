"""A training of the lapped family as data, read from one commented TOML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbstream.codec.lapped.params import SIDE
from thumbstream_models.training import config as configs
from thumbstream_models.training.config import ConfigError, DataConfig, Schedule

FAMILY = "lapped"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shapes of the transform and of its rate model."""

    family: str
    groups: tuple[int, ...]
    """Channels coded together, strongest first; those of the first group get the DCT over cells."""
    analysis_width: int
    analysis_blocks: int
    synthesis_widths: tuple[int, int, int, int]
    """Channels at an eighth, a quarter, a half and the whole of the picture's side."""
    synthesis_blocks: tuple[int, int, int, int]
    synthesis_bits: int
    """Of most weights of the synthesis, in training as in a client."""
    rate_hidden: int
    """Units of the first layer of the rate model; a client's tables have as many."""
    rate_middle: int
    """Units of its second layer."""

    def __post_init__(self) -> None:
        if self.family != FAMILY:
            raise ConfigError(f"the family of this configuration is {FAMILY}, not {self.family!r}")
        if not 2 <= self.synthesis_bits <= 8:
            raise ConfigError("synthesis_bits is from 2 to 8")
        if not self.groups or min(self.groups) < 1:
            raise ConfigError("groups has one size or more, each at least 1")

    @property
    def channels(self) -> int:
        """Latents per cell."""
        return sum(self.groups)


@dataclass(frozen=True, slots=True)
class CropsConfig:
    """The crops that are made once, before the training."""

    sizes: tuple[int, ...]
    """Sides in pixels."""
    per_picture: tuple[int, ...]
    """Crops of each size that are made of every picture that is large enough."""
    frequencies: tuple[float, ...]
    """Of batches of each size; they add up to 1."""
    batch_sizes: tuple[int, ...]
    qualities: tuple[tuple[float, float], ...]
    """Every picture of a batch is a stream cut at a quality of its own, uniform between these:
    `quantisation.cuts`."""

    def __post_init__(self) -> None:
        lists = (self.per_picture, self.frequencies, self.batch_sizes, self.qualities)
        if {len(values) for values in lists} != {len(self.sizes)} or not self.sizes:
            raise ConfigError(
                "per_picture, frequencies, batch_sizes and qualities have an entry for each size"
            )
        if not all(low < high for low, high in self.qualities):
            raise ConfigError("the two qualities of a size grow")
        if abs(sum(self.frequencies) - 1) > 1e-6 or any(size % SIDE for size in self.sizes):
            raise ConfigError(f"frequencies add up to 1, sizes are multiples of {SIDE}")


@dataclass(frozen=True, slots=True)
class DistortionConfig:
    """Weights where bytes are few, and where they are many."""

    error: tuple[float, float]
    """Of the squared error on the 0 to 255 scale."""
    ssim: tuple[float, float]
    """Of 1 - SSIM."""
    chroma: tuple[float, float]
    """Of the squared error of the chroma of small areas."""


@dataclass(frozen=True, slots=True)
class TrainingConfig(Schedule):
    """How the networks are trained: the learning rate is constant, and falls at the end."""

    analysis_speed: float
    """The learning rate of the analysis, as a share of that of all other weights."""
    decay_steps: int
    """Last steps in which the learning rate falls to its final value."""


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """How the integer tables are fitted to a trained transform."""

    pictures: int
    """Crops of the first size; of the others as many cells, as far as there are."""
    steps: int
    batch_size: int
    """Crops of 32 x 32, or as many cells."""
    learning_rate: float
    value_taps: int
    """Most non-zero weights of the predictions of the first look."""
    magnitude_taps: int
    """Most non-zero weights by which its scales depend on near magnitudes."""
    seed: int


@dataclass(frozen=True, slots=True)
class LappedConfig:
    """All that a training of the transform depends on."""

    model_id: str
    model: ModelConfig
    data: DataConfig
    crops: CropsConfig
    distortion: DistortionConfig
    training: TrainingConfig
    contexts: ContextConfig

    def to_dict(self) -> dict[str, Any]:
        """As nested plain dictionaries, for a checkpoint or a manifest."""
        return dataclasses.asdict(self)


_SECTIONS: dict[str, type[Any]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "crops": CropsConfig,
    "distortion": DistortionConfig,
    "training": TrainingConfig,
    "contexts": ContextConfig,
}


def is_lapped(values: dict[str, Any]) -> bool:
    """Whether nested dictionaries are a configuration of this family."""
    model = values.get("model")
    return isinstance(model, dict) and model.get("family") == FAMILY


def from_dict(values: dict[str, Any]) -> LappedConfig:
    """Build a `LappedConfig` from nested dictionaries; raises `ConfigError`."""
    configs.check_keys(LappedConfig, values)
    sections: dict[str, Any] = {}
    for name, section in _SECTIONS.items():
        plain = values[name]
        if section in (DistortionConfig, CropsConfig) and isinstance(plain, dict):
            plain = {key: _tuples(value) for key, value in plain.items()}
        sections[name] = configs.section(section, plain)
    return LappedConfig(model_id=values["model_id"], **sections)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def load(path: Path) -> LappedConfig:
    """Read a `LappedConfig` from a TOML file; raises `ConfigError`."""
    return from_dict(configs.read_toml(path))
