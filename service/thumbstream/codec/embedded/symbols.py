"""Codes the symbols of a picture, and reconstructs the latents that each prefix determines.

A step's symbols are coded by decreasing probability of being nonzero, so the most informative
symbols come first. If there are two layers (colours and alpha), the step's symbols of the first
layer precede its symbols of the second layer::

    states -> digits of a step -> sort by P(nonzero) -> range coder -> bytes    SymbolEncoder
    bytes -> range decoder -> digits -> put in place -> refine latents          SymbolDecoder

`SymbolDecoder` decodes the data once and records the probability of every decision. To reconstruct
a prefix, it then only counts the symbols that the prefix determines. `SymbolEncoder` knows all
symbols, so it counts them with the checkpoints of the range coder and decodes only the last few.
Normative text: docs/bitstream.md, "Format 7".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel, Probabilities
from thumbstream.codec.embedded.context_batch import batch_probabilities
from thumbstream.codec.embedded.quantizer import (
    DecodedLatents,
    DecodedSymbols,
    EmbeddedQuantizer,
    OrderedStep,
    PrefixReconstruction,
    States,
    Step,
)
from thumbstream.codec.range_coder import (
    PrefixDigitCounter,
    RangeDecoder,
    RangeEncoder,
    count_decodable,
)
from thumbstream.codec.tensors import Grid


class SymbolEncoder:
    """Encodes a picture's symbols to `data`, and reconstructs latents for prefixes of `data`."""

    def __init__(
        self,
        model: EmbeddedContextModel,
        states: States,
        grid: Grid,
        max_bytes: int | None = None,
    ) -> None:
        """Encode the final ``states`` ``(layers, channels, cells)``; the bytes are in `data`.

        With ``max_bytes``, steps that cannot change the first ``max_bytes`` bytes are not encoded.
        Raises `ValueError` for states outside the range of their channel.
        """
        self._quantizer, self._shape = model.quantizer, (len(states), grid.rows, grid.columns)
        self._steps: list[OrderedStep] = []
        self._nonzero: list[Probabilities] = []
        self._positive: list[Probabilities] = []
        coder, by_level = RangeEncoder(), self._quantizer.states_by_level(states)
        digits = by_level[1:] - 3 * by_level[:-1]
        for step, nonzero, positive in batch_probabilities(model, by_level, grid):
            self._encode_step(coder, step, digits[step.plane][:, step.channels], nonzero, positive)
            if max_bytes is not None and coder.stable_length() >= max_bytes:
                break
        self.data = coder.finish()
        self._checkpoints = coder.checkpoints

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease, nor exceed ``max_bytes`` if it was given. Yields the same
        object for consecutive prefixes that determine the same symbols.
        """
        nonzero, positive = (np.concatenate(steps) for steps in (self._nonzero, self._positive))
        counter = PrefixDigitCounter(self.data, self._checkpoints, nonzero, positive)
        return _reconstruct(self._quantizer, self._shape, self._steps, map(counter.count, lengths))

    def _encode_step(
        self,
        coder: RangeEncoder,
        step: Step,
        digits: States,
        nonzero: Probabilities,
        positive: Probabilities,
    ) -> None:
        order = _coding_order(nonzero)
        ordered = digits.take(order)
        ordered_nonzero, ordered_positive = nonzero.take(order), positive.take(order)
        coder.encode_ternary(ordered.astype(np.int8), ordered_nonzero, ordered_positive)
        self._steps.append(OrderedStep(step, order, ordered.astype(np.float32)))
        self._nonzero.append(ordered_nonzero)
        self._positive.append(ordered_positive)


def encode_symbols(
    model: EmbeddedContextModel, states: States, grid: Grid, max_bytes: int | None = None
) -> bytes:
    """Return the bytes to which `SymbolEncoder` encodes ``states``."""
    return SymbolEncoder(model, states, grid, max_bytes).data


@dataclass(frozen=True, slots=True, eq=False)
class _DecodedStep(OrderedStep):
    """A step that is decoded completely, or up to the last symbol that the data determine."""

    nonzero: Probabilities
    """P(nonzero) times 2^16 of all symbols of the step, in coding order."""
    positive: Probabilities
    """P(+1 if nonzero) times 2^16 of all symbols of the step, in coding order."""


class SymbolDecoder:
    """Decodes the symbols of a payload, and reconstructs latents for prefixes of the payload."""

    def __init__(self, data: bytes, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """Decode the payload ``data`` up to the last symbol that its bytes determine.

        ``layers``: 1, or 2 with alpha.
        """
        self._data = data
        self._quantizer = model.quantizer
        self._shape = layers, grid.rows, grid.columns
        self._steps: list[_DecodedStep] = []
        self._latents = DecodedLatents(self._quantizer, self._shape)  # after all complete steps
        coder, context = RangeDecoder(data), EmbeddedContext(model, layers, grid)
        for step in self._quantizer.steps:
            decoded = _decode_step(step, context, coder)
            self._steps.append(decoded)
            if len(decoded.digits) < len(decoded.order):
                break
            self._refine(decoded)
            context.update(step, self._latents.states)

    @property
    def decoded_count(self) -> int:
        """Number of symbols that the data determine."""
        return sum(len(step.digits) for step in self._steps)

    def probabilities(self) -> list[list[int]]:
        """Return ``[P(nonzero), P(+1 if nonzero)]``, times 2^16, of every symbol in coding order.

        Includes all symbols of the step in which the data end, but no later step.
        """
        return [
            list(pair)
            for step in self._steps
            for pair in zip(step.nonzero.tolist(), step.positive.tolist(), strict=True)
        ]

    def decode_all(self) -> DecodedSymbols:
        """Return the latents that the complete data determine."""
        last = self._steps[-1]
        if len(last.digits) == len(last.order):
            return DecodedSymbols(*self._latents.reconstruct(), self.decoded_count, None)
        known = len(last.digits)
        partial = self._latents.reconstruct_partial(last.step, last.order[:known], last.digits)
        return DecodedSymbols(*partial, self.decoded_count, last.step)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease. Yields the same object for consecutive prefixes that
        determine the same symbols.
        """
        probabilities, ends = self._decisions()
        decisions = count_decodable(self._data, probabilities.tolist(), lengths)
        counts = (int(np.searchsorted(ends, count, "right")) for count in decisions)
        return _reconstruct(self._quantizer, self._shape, self._steps, counts)

    def _refine(self, decoded: _DecodedStep) -> None:
        digits = np.empty(len(decoded.order), np.float32)
        digits[decoded.order] = decoded.digits
        layers, rows, columns = self._shape
        shape = layers, decoded.step.width, rows * columns
        self._latents.refine(decoded.step, digits.reshape(shape))

    def _decisions(self) -> tuple[Probabilities, NDArray[np.intp]]:
        """Return the probabilities of all decisions of the decoded symbols, in coding order.

        The second array is the number of decisions up to and including each symbol.
        """
        nonzero = np.concatenate([step.nonzero[: len(step.digits)] for step in self._steps])
        positive = np.concatenate([step.positive[: len(step.digits)] for step in self._steps])
        signed = np.concatenate([step.digits for step in self._steps]) != 0
        ends = np.cumsum(1 + signed)
        probabilities = np.empty(ends[-1] if len(ends) else 0, np.uint16)
        probabilities[ends - 1 - signed] = nonzero
        probabilities[ends[signed] - 1] = positive[signed]
        return probabilities, ends


def _decode_step(step: Step, context: EmbeddedContext, coder: RangeDecoder) -> _DecodedStep:
    nonzero, positive = context.probabilities(step)
    order = _coding_order(nonzero)
    nonzero, positive = nonzero.take(order), positive.take(order)
    digits = coder.decode_ternary(nonzero, positive).astype(np.float32)
    return _DecodedStep(step, order, digits, nonzero, positive)


def _coding_order(nonzero: Probabilities) -> NDArray[np.intp]:
    """Return the flat indices of symbols ``(layers, symbols)`` in coding order.

    Layer by layer; within a layer by decreasing P(nonzero), equal values by increasing index.
    """
    order = (~nonzero).argsort(axis=-1, kind="stable")
    if len(order) > 1:
        order += np.arange(0, nonzero.size, nonzero.shape[1])[:, None]
    return order.reshape(-1)


def _reconstruct(
    quantizer: EmbeddedQuantizer,
    shape: tuple[int, int, int],
    steps: Sequence[OrderedStep],
    counts: Iterable[int],
) -> Iterator[DecodedSymbols]:
    """Yield the latents after each number of symbols in ``counts``, which must not decrease.

    Equal consecutive counts yield the same object.
    """
    reconstruction = PrefixReconstruction(quantizer, shape, steps)
    decoded: DecodedSymbols | None = None
    for count in counts:
        if decoded is None or count > decoded.decoded_count:
            decoded = reconstruction.at(count)
        yield decoded
