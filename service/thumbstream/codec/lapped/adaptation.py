"""Adaptation of probabilities to a picture: each kind of decision has a factor and offsets.

The context's logits are multiplied by the factor, and the offset of the latents' group is added.
Both change after each step, by what its decisions were. Normative text: docs/bitstream.md,
"Adaptation".
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.planes import StepSymbols
from thumbstream.codec.lapped.probabilities import LOGISTIC, MAX_LOGIT, Integers
from thumbstream.codec.range_coder import PROBABILITY_BITS, Probabilities

SIGNIFICANT: Final = 0
POSITIVE: Final = 1
UPPER: Final = 2
KINDS: Final = 3
"""Kinds of decisions."""
UNIT_FACTOR: Final = 1 << 16
"""Factor that changes nothing."""
MAX_FACTOR: Final = 1 << 18
MAX_OFFSET: Final = 1 << 20
"""Limit of an offset, in 1/256 of a logit's step."""
MAX_OFFSET_CHANGE, MAX_FACTOR_CHANGE = 1 << 16, 1 << 14
"""Limits of a step: many decisions that were thought certain would otherwise throw it far off."""
_OFFSET_INERTIA = 12
_FACTOR_INERTIA = 100
_ONE = 1 << PROBABILITY_BITS


class Adaptation:
    """Factors and offsets of all layers of a picture while it is coded."""

    def __init__(self, layers: int, groups: int) -> None:
        self._factors = np.full((layers, KINDS), UNIT_FACTOR, np.int64)
        self._offsets = np.zeros((layers, KINDS, groups), np.int64)

    def probabilities(self, symbols: StepSymbols) -> tuple[Probabilities, Probabilities]:
        """Return first and second probability, times 2^16, of symbols: ``(layers, symbols)``.

        The second is 0 if a symbol halves an interval: then it has no second decision.
        """
        group, halving, first = symbols.step.group, symbols.halving, symbols.first
        significant, upper = (self._adapted(kind, group, first) for kind in (SIGNIFICANT, UPPER))
        positive = self._adapted(POSITIVE, group, symbols.second)
        return (
            np.where(halving, upper, significant).astype(np.uint16),
            np.where(halving, 0, positive).astype(np.uint16),
        )

    def _adapted(self, kind: int, group: int, logits: Integers) -> Integers:
        """Return the probabilities of ``logits`` ``(layers, symbols)``."""
        z = (self._factors[:, kind, None] * logits) >> 16
        z += self._offsets[:, kind, group, None] >> 8
        return LOGISTIC.take(z + MAX_LOGIT, mode="clip")

    def update(
        self,
        symbols: StepSymbols,
        probabilities: tuple[Probabilities, Probabilities],
        digits: Integers,
    ) -> None:
        """Adapt to the ``digits`` ``(layers, symbols)`` of a step, which had ``probabilities``."""
        (first, second), halving, nonzero = probabilities, symbols.halving, digits != 0
        for kind, chosen, logits, p, true in (
            (SIGNIFICANT, ~halving, symbols.first, first, nonzero),
            (POSITIVE, ~halving & nonzero, symbols.second, second, digits > 0),
            (UPPER, halving, symbols.first, first, nonzero),
        ):
            for layer in np.flatnonzero(chosen.any(1)):
                ours = chosen[layer]
                decisions = (array[layer, ours].astype(np.int64) for array in (logits, p, true))
                self._adapt(int(layer), kind, symbols.step.group, *decisions)

    def _adapt(
        self,
        layer: int,
        kind: int,
        group: int,
        logits: NDArray[np.int64],
        p: NDArray[np.int64],
        true: NDArray[np.int64],
    ) -> None:
        """Adapt to the decisions of one layer and kind in a step."""
        error, variance = _ONE * true - p, (p * (_ONE - p)) >> PROBABILITY_BITS
        change = (int(error.sum()) << 16) // ((_OFFSET_INERTIA << 16) + int(variance.sum()))
        change = min(max(change, -MAX_OFFSET_CHANGE), MAX_OFFSET_CHANGE)
        offset = int(self._offsets[layer, kind, group]) + change
        self._offsets[layer, kind, group] = min(max(offset, -MAX_OFFSET), MAX_OFFSET)
        weight = _FACTOR_INERTIA + (int(variance @ (logits * logits)) >> 32)
        change = (int(error @ logits) >> 8) // weight
        change = min(max(change, -MAX_FACTOR_CHANGE), MAX_FACTOR_CHANGE)
        factor = int(self._factors[layer, kind]) + change
        self._factors[layer, kind] = min(max(factor, 0), MAX_FACTOR)
