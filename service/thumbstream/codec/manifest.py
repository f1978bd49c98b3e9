"""Values of a manifest, taken at their word or not at all: "8" is no 8, 8.5 no 8 and true no 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from thumbstream.errors import ArtifactError

T = TypeVar("T")


@contextmanager
def manifest_errors(name: str) -> Iterator[None]:
    """Whatever a wrong manifest makes the readers here raise becomes an `ArtifactError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{name}: the manifest is wrong: {error!r}") from error


def exactly(kind: type[T], value: object) -> T:
    """``value`` itself, of this very type; raises `TypeError`."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def at_least(least: int, value: object) -> int:
    """A whole number from ``least``; raises `TypeError` or `ValueError`."""
    if (number := exactly(int, value)) < least:
        raise ValueError(f"{number} is less than {least}")
    return number


def positive(value: object) -> int:
    """A whole number from 1; raises `TypeError` or `ValueError`."""
    if (number := exactly(int, value)) < 1:
        raise ValueError(f"{number} is not positive")
    return number


def factor(value: object) -> float:
    """A finite number above 0; raises `TypeError`, `ValueError` or `OverflowError`."""
    number = float(exactly(int, value)) if isinstance(value, int) else exactly(float, value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{number} is no factor: not finite and positive")
    return number


def one_of(choices: tuple[str, ...], value: object) -> str:
    """One of ``choices``; raises `TypeError` or `ValueError`."""
    if (name := exactly(str, value)) not in choices:
        raise ValueError(f"{name!r} is none of {', '.join(choices)}")
    return name


def list_of(read: Callable[[object], T], value: object) -> tuple[T, ...]:
    """Every element of a list, read; raises `TypeError` and what ``read`` raises."""
    return tuple(read(element) for element in exactly(list, value))
