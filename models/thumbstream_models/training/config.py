"""What the configurations of all trainings share: pictures, schedule, strict reading of TOML.

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


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless ``value`` is among ``known``."""
    if value not in known:
        raise ConfigError(f"{name} is one of {', '.join(known)}, not {value!r}")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What a training picture is."""

    size: int
    """Side of the square crops, in pixels, after reduction."""
    min_crop: float
    """Smallest side of a crop, as a fraction of the picture's short side."""
    whole_fraction: float
    """Fraction of crops whose side is the picture's short side."""
    max_aspect: float
    """Crops of up to this aspect ratio are squeezed into the square."""
    validation_pictures: int
    window: int = 0
    """Train on random squares of this side in the reduced crops, a multiple of 8; 0: on entire
    crops. Systems with independent cells learn more from many pictures than from large ones."""

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
