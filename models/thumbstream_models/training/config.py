"""A training run as data: one frozen dataclass tree, read from one commented TOML file.

Unknown or missing keys are errors: a misspelt option must not silently train another model.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")


class ConfigError(ValueError):
    """A training configuration that cannot be used."""


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is one of {', '.join(known)}, not {value!r}")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of the network."""

    family: str
    """Which builder of `networks.FAMILIES`."""
    iterations: int
    """Iterations that the network is trained for (16 in the paper)."""
    code_planes: int
    """Binary codes per cell and iteration."""
    encoder_filters: tuple[int, ...]
    """Channels (or units) of the encoder's layers; how many, the family says."""
    decoder_filters: tuple[int, ...]
    reconstruction: str = "one_shot"
    """``one_shot``: every iteration draws the whole picture; ``additive``: it adds to the last."""
    weights: str = "shared"
    """``shared``: the same weights in every iteration; ``per_stage``: its own for each."""

    def __post_init__(self) -> None:
        _one_of("reconstruction", self.reconstruction, ("one_shot", "additive"))
        _one_of("weights", self.weights, ("shared", "per_stage"))


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What a training picture is."""

    size: int
    """Side of the square crops, in pixels, after reduction."""
    min_crop: float
    """Smallest side of a crop, as a fraction of the picture's short side."""
    whole_fraction: float
    """Fraction of crops that take the whole short side."""
    max_aspect: float
    """Crops of up to this aspect ratio are squeezed into the square."""
    validation_pictures: int
    window: int = 0
    """Train on random squares of so many pixels of the reduced crops, a multiple of 8; 0: on whole
    crops. Cells that do not see each other learn more from many pictures than from whole ones."""

    def side(self) -> int:
        """Pixels of the squares that a training step sees."""
        return self.window or self.size


@dataclass(frozen=True, slots=True)
class Schedule:
    """What every training says: how long, how fast, from which seed."""

    steps: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    gradient_clip: float
    ema_decay: float
    seed: int
    validate_every: int


@dataclass(frozen=True, slots=True)
class TrainingConfig(Schedule):
    """How a network of the paper is trained."""

    batch_size: int
    loss: str
    """``l2``: mean squared residual; ``log_l2``: mean over pictures of its logarithm."""
    curriculum: float
    """Until this fraction of the steps, unroll `curriculum_iterations` at most."""
    curriculum_iterations: int
    min_iterations: int
    """Fewest iterations that a batch is unrolled for; the most is `ModelConfig.iterations`."""
    unroll_power: float
    """Batches are unrolled for ``min + (max - min) * u ** power`` iterations, ``u ~ U(0, 1)``."""
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
    """Part of the pictures of a batch whose last iteration is not cut. 1: nothing is ever cut, as
    for a network of one fixed rate."""

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, ("adam", "muon"))
        _one_of("precision", self.precision, ("measured", "bfloat16", "float32"))


@dataclass(frozen=True, slots=True)
class Config:
    """A whole training run."""

    model_id: str
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig

    def to_dict(self) -> dict[str, Any]:
        """As nested plain dictionaries, for a checkpoint or a manifest."""
        return dataclasses.asdict(self)


def from_dict(values: dict[str, Any]) -> Config:
    """Build a `Config` from nested dictionaries; raises `ConfigError`."""
    check_keys(Config, values)
    return Config(
        model_id=values["model_id"],
        model=section(ModelConfig, values["model"]),
        data=section(DataConfig, values["data"]),
        training=section(TrainingConfig, values["training"]),
    )


def load(path: Path) -> Config:
    """Read a `Config` from a TOML file; raises `ConfigError`."""
    return from_dict(read_toml(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None


def section(cls: type[_T], values: dict[str, Any]) -> _T:
    """A frozen dataclass from a table; raises `ConfigError`."""
    check_keys(cls, values)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def check_keys(cls: type[Any], values: object) -> None:
    """Raise `ConfigError` unless ``values`` has the fields of a dataclass, and no others."""
    if not isinstance(values, dict):
        raise ConfigError(f"{cls.__name__} must be a table, not {values!r}")
    fields = dataclasses.fields(cls)
    optional = {field.name for field in fields if field.default is not dataclasses.MISSING}
    odd = sorted({field.name for field in fields} ^ (values.keys() | optional))
    if odd:
        raise ConfigError(f"{cls.__name__}: missing or unknown keys {odd}")
