"""The work on some pictures, as it is sent to other processes and machines.

`make` reads the files, and hands back what belongs into the store; nothing is written here, and no
password of a store leaves the process that was given it. What is wrong with a picture is an answer;
what is wrong with the installation (a model that is not there, another version) is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import thumbstream
from thumbstream import published_models as zoo
from thumbstream.bulk.journal import Entry, Made
from thumbstream.bulk.scan import Found
from thumbstream.codec.targets import Target
from thumbstream.encoding import PREVIEW_BYTES, Order, draw
from thumbstream.errors import ThumbstreamError
from thumbstream.ids import identify
from thumbstream.images import Alpha, Limits
from thumbstream.models import PictureCodec


class VersionError(ThumbstreamError):
    """A worker that has another version of the package than the process that sends it work."""


@dataclass(frozen=True)
class Recipe:
    """How streams are made. ``model`` and ``device`` as in `zoo.load`, the rest as in `Order`."""

    model: str
    size: int
    max_bytes: int | None = None
    target: Target | None = None
    alpha: Alpha = Alpha.KEEP
    curves: bool = True
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    version: str = thumbstream.__version__

    def facts(self) -> dict[str, object]:
        """What decides about the bytes that are stored: two runs of one job agree in it."""
        goal = None if self.target is None else f"{self.target.measure}:{self.target.goal:g}"
        return {
            "model": self.model,
            "size": self.size,
            "max_bytes": self.max_bytes,
            "target": goal,
            "alpha": str(self.alpha),
            "curves": self.curves,
        }


class Outcome(NamedTuple):
    """A line for the journal, and what the store must keep before it may be written."""

    entry: Entry
    values: Sequence[tuple[str, bytes]] = ()


def make(recipe: Recipe, batch: Sequence[Found]) -> list[Outcome]:
    """Streams of some pictures. Raises `ThumbstreamError` when none could be made at all."""
    if recipe.version != thumbstream.__version__:
        raise VersionError(
            f"a worker has thumbstream {thumbstream.__version__}, this is {recipe.version}"
        )
    codec = zoo.load(recipe.model, device=recipe.device)  # opened once a process
    return [_make_one(codec, recipe, found) for found in batch]


def _make_one(codec: PictureCodec, recipe: Recipe, found: Found) -> Outcome:
    try:
        with Path(found.path).open("rb") as file:
            order = Order(file, recipe.size, recipe.max_bytes, recipe.target, alpha=recipe.alpha)
            drawn = draw(codec, order, recipe.limits, curves=recipe.curves)
    except (ThumbstreamError, OSError) as error:
        return Outcome(Entry(found, reason=reason_of(error)))
    except Exception as error:  # One picture of a million must not end the run, whatever it is.
        return Outcome(Entry(found, reason=f"{type(error).__name__}: {error}"))
    key = identify(drawn.stream)
    made = Made(key, len(drawn.stream), drawn.width, drawn.height, drawn.stream[:PREVIEW_BYTES])
    return Outcome(Entry(found, made), drawn.entries(key))


def reason_of(error: Exception) -> str:
    """Why a file could not be used, without its name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
