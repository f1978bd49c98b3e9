"""The latents of a picture while its symbols become known, one after the other.

Every symbol has a place in the stream, and places of a latent grow from plane to plane: how many
planes of it are known among the first so many symbols says its level, and with that its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.quantizer import Nesting, Step
from thumbstream.codec.runtime import Float

_NEVER = np.iinfo(np.int32).max
"""Place of symbols that do not become known."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSymbols:
    """What a prefix determines."""

    values: Float
    """``(layers, channels, rows, columns)``: latents, each as far as it is known."""
    levels: Float
    """Of the same shape: to which level that is."""
    known: int
    """Symbols that the prefix determines."""
    step: Step | None
    """Where it ends; None when it determines every symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderedStep:
    """A step's symbols as they travel."""

    step: Step
    order: NDArray[np.intp]
    """Flat places of its symbols, ``(layers, step.width, cells)``, as they travel."""
    digits: Float
    """Of the symbols that are known, in this order."""


class Unfolding:
    """Latents behind any number of symbols."""

    def __init__(
        self, nesting: Nesting, shape: tuple[int, int, int], steps: Sequence[OrderedStep]
    ) -> None:
        """``shape``: layers, rows and columns of cells. ``steps``: the first, in their order."""
        layers, rows, columns = shape
        layout = nesting.layout
        every = layout.planes, layers, layout.channels, rows * columns
        places = np.arange(np.prod(every)).reshape(every)
        found = np.concatenate(
            [
                places[one.step.plane][:, one.step.channels]
                .reshape(-1)
                .take(one.order[: len(one.digits)])
                for one in steps
            ]
        )
        self._places = np.full(every, _NEVER, np.int32).reshape(layout.planes, -1)
        self._places.reshape(-1)[found] = np.arange(len(found))
        digits = np.zeros(every, np.float32)
        digits.reshape(-1)[found] = np.concatenate([one.digits for one in steps])
        self._values = np.zeros((layout.planes + 1, *every[1:]), np.float32)
        for plane in range(layout.planes):
            np.multiply(self._values[plane], 3, out=self._values[plane + 1])
            self._values[plane + 1] += digits[plane]
        self._values *= nesting.intervals[:, None, None, None]
        starts = np.asarray(layout.starts, np.intp)[:, None]
        self._starts = np.broadcast_to(starts, every[1:]).reshape(-1)
        self._latents = np.arange(self._starts.size)
        self._shape = layers, layout.channels, rows, columns
        self._ends = np.cumsum([len(one.order) for one in steps])
        self._steps: list[Step | None] = [one.step for one in steps]
        if len(steps) == len(nesting.steps):
            self._steps.append(None)

    def at(self, known: int) -> DecodedSymbols:
        """What the first ``known`` symbols determine, of those that are known here."""
        levels = self._starts + np.add.reduce(self._places < known, axis=0, dtype=np.intp)
        values = self._values.reshape(-1).take(levels * self._latents.size + self._latents)
        return DecodedSymbols(
            values.reshape(self._shape),
            levels.astype(np.float32).reshape(self._shape),
            known,
            self._steps[int(np.searchsorted(self._ends, known, "right"))],
        )
