"""Symbols of a picture to bytes, and the symbols that each prefix of the bytes determines.

A step's symbols are coded by decreasing probability of being nonzero, the most informative first;
with two layers (colours and alpha), those of the first layer precede those of the second::

    states -> digits of a step -> sort by P(nonzero) -> range coder -> bytes    SymbolEncoder
    bytes -> range decoder -> digits -> put in place -> refine latents          SymbolDecoder

Decoding passes over the bytes once and records the probability of every decision. The number of
decisions that a prefix determines then gives everything about it; an encoder can count them
without decoding. Normative text: docs/bitstream.md, "Format 7".
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
    """Bytes of a picture's symbols, and the symbols that any prefix of them determines."""

    def __init__(
        self,
        model: EmbeddedContextModel,
        states: States,
        grid: Grid,
        max_bytes: int | None = None,
    ) -> None:
        """Encode final states ``(layers, channels, cells)`` to ``data``.

        With ``max_bytes``, steps that cannot change the first ``max_bytes`` bytes are omitted.
        Raises `ValueError` for states out of range.
        """
        self._quantizer, self._shape = model.quantizer, (len(states), grid.rows, grid.columns)
        self._steps: list[OrderedStep] = []
        self._nonzero: list[int] = []
        self._positive: list[int] = []
        coder, by_level = RangeEncoder(), self._quantizer.states_by_level(states)
        digits = by_level[1:] - 3 * by_level[:-1]
        for step, nonzero, positive in batch_probabilities(model, by_level, grid):
            self._encode_step(coder, step, digits[step.plane][:, step.channels], nonzero, positive)
            if max_bytes is not None and coder.stable_length() >= max_bytes:
                break
        self.data = coder.finish()
        self._checkpoints = coder.checkpoints

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of increasing ``lengths``.

        Yields the same object for prefixes that determine the same symbols. If ``max_bytes`` was
        given, no length may exceed it.
        """
        counter = PrefixDigitCounter(self.data, self._checkpoints, self._nonzero, self._positive)
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
        ordered_nonzero = nonzero.take(order).tolist()
        ordered_positive = positive.take(order).tolist()
        coder.encode_ternary(ordered.tolist(), ordered_nonzero, ordered_positive)
        self._steps.append(OrderedStep(step, order, ordered.astype(np.float32)))
        self._nonzero += ordered_nonzero
        self._positive += ordered_positive


def encode_symbols(
    model: EmbeddedContextModel, states: States, grid: Grid, max_bytes: int | None = None
) -> bytes:
    """The bytes of `SymbolEncoder`."""
    return SymbolEncoder(model, states, grid, max_bytes).data


@dataclass(frozen=True, slots=True, eq=False)
class _DecodedStep(OrderedStep):
    """A step, decoded completely or to the end of the data."""

    nonzero: Probabilities
    """Of all symbols of the step, in coding order."""
    positive: Probabilities


class SymbolDecoder:
    """Symbols that a range-coded stream, and any prefix of it, determines."""

    def __init__(self, data: bytes, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """Decode ``data`` to the last symbol that they determine."""
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
        """P(nonzero) and P(+1) times 2^16 of every symbol of the steps that were started."""
        return [
            list(pair)
            for step in self._steps
            for pair in zip(step.nonzero.tolist(), step.positive.tolist(), strict=True)
        ]

    def decode_all(self) -> DecodedSymbols:
        """What all the data determine."""
        last = self._steps[-1]
        if len(last.digits) == len(last.order):
            return DecodedSymbols(*self._latents.reconstruct(), self.decoded_count, None)
        known = len(last.digits)
        partial = self._latents.reconstruct_partial(last.step, last.order[:known], last.digits)
        return DecodedSymbols(*partial, self.decoded_count, last.step)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of increasing ``lengths``.

        Yields the same object for prefixes that determine the same symbols.
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
        """Probabilities of all decisions of the decoded symbols, and their number per symbol.

        The second array is cumulative: decisions up to and including each symbol.
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
    count, indices, signs = coder.decode_ternary(nonzero.tolist(), positive.tolist())
    digits = np.zeros(count, np.float32)
    digits[indices] = signs
    return _DecodedStep(step, order, digits, nonzero, positive)


def _coding_order(nonzero: Probabilities) -> NDArray[np.intp]:
    """Flat indices of symbols ``(layers, symbols)``, by decreasing probability in each layer."""
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
    """The result of decoding each of increasing ``counts`` of symbols; reused for equal counts."""
    reconstruction = PrefixReconstruction(quantizer, shape, steps)
    decoded: DecodedSymbols | None = None
    for count in counts:
        if decoded is None or count > decoded.decoded_count:
            decoded = reconstruction.at(count)
        yield decoded
