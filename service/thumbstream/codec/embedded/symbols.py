"""Symbols of a picture to bytes, and what each prefix of the bytes determines.

A step's symbols travel by falling chance of not being 0, the most informative first; with two
layers (colours and alpha) those of the first layer come before those of the second. Reading goes
through the bytes once and keeps the chance of every decision, so that how many decisions a prefix
determines says all about it. Who has written the bytes knows that without reading them.
Normative text: docs/bitstream.md, "Bitstream 7".
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
    """The bytes of a picture's symbols, and what any prefix of them determines."""

    def __init__(
        self,
        model: EmbeddedContextModel,
        states: States,
        grid: Grid,
        max_bytes: int | None = None,
    ) -> None:
        """Code finest states ``(layers, channels, cells)``.

        With ``max_bytes`` at least their first so many bytes, and steps that cannot change these
        are left out. Raises `ValueError` for states that are too large.
        """
        self._quantizer, self._shape = model.quantizer, (len(states), grid.rows, grid.columns)
        self._steps: list[OrderedStep] = []
        self._nonzero: list[int] = []
        self._positive: list[int] = []
        coder, behind = RangeEncoder(), self._quantizer.states_by_level(states)
        digits = behind[1:] - 3 * behind[:-1]
        for step, nonzero, positive in batch_probabilities(model, behind, grid):
            self._write(coder, step, digits[step.plane][:, step.channels], nonzero, positive)
            if max_bytes is not None and coder.stable_length() >= max_bytes:
                break
        self.data = coder.finish()
        self._checkpoints = coder.checkpoints

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of growing ``lengths``.

        Prefixes that determine the same symbols give the same object. Of bytes that were written
        with a limit, no prefix may be longer than it.
        """
        counter = PrefixDigitCounter(self.data, self._checkpoints, self._nonzero, self._positive)
        return _unfolded(self._quantizer, self._shape, self._steps, map(counter.count, lengths))

    def _write(
        self,
        coder: RangeEncoder,
        step: Step,
        digits: States,
        nonzero: Probabilities,
        positive: Probabilities,
    ) -> None:
        order = _order(nonzero)
        chosen = digits.take(order)
        some, plus = nonzero.take(order).tolist(), positive.take(order).tolist()
        coder.encode_ternary(chosen.tolist(), some, plus)
        self._steps.append(OrderedStep(step, order, chosen.astype(np.float32)))
        self._nonzero += some
        self._positive += plus


def encode_symbols(
    model: EmbeddedContextModel, states: States, grid: Grid, max_bytes: int | None = None
) -> bytes:
    """The bytes of `SymbolEncoder`."""
    return SymbolEncoder(model, states, grid, max_bytes).data


@dataclass(frozen=True, slots=True, eq=False)
class _Read(OrderedStep):
    """A step of which at least the chances are known."""

    nonzero: Probabilities
    """In the order of its symbols."""
    positive: Probabilities


class SymbolDecoder:
    """Everything that a range-coded stream, and any prefix of it, determines."""

    def __init__(self, data: bytes, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """Read ``data`` to the last symbol that they determine."""
        self._data = data
        self._quantizer = model.quantizer
        self._shape = layers, grid.rows, grid.columns
        self._reads: list[_Read] = []
        self._latents = self._nothing()  # behind all steps that are known whole
        coder, context = RangeDecoder(data), EmbeddedContext(model, layers, grid)
        for step in self._quantizer.steps:
            read = _read(step, context, coder)
            self._reads.append(read)
            if len(read.digits) < len(read.order):
                break
            self._refine(self._latents, read)
            context.update(step, self._latents.states)

    @property
    def decoded_count(self) -> int:
        """Symbols that all the data determine."""
        return sum(len(read.digits) for read in self._reads)

    def probabilities(self) -> list[list[int]]:
        """Of every symbol of the steps that are begun, as they travel: of not 0, and of +1."""
        return [
            list(pair)
            for read in self._reads
            for pair in zip(read.nonzero.tolist(), read.positive.tolist(), strict=True)
        ]

    def decode_all(self) -> DecodedSymbols:
        """What all the data determine."""
        last = self._reads[-1]
        if len(last.digits) == len(last.order):
            return DecodedSymbols(*self._latents.reconstruct(), self.decoded_count, None)
        return _cut(self._latents, last, len(last.digits), self.decoded_count)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of growing ``lengths``.

        Prefixes that determine the same symbols give the same object.
        """
        chances, ends = self._decisions()
        counts = count_decodable(self._data, chances.tolist(), lengths)
        known = (int(np.searchsorted(ends, count, "right")) for count in counts)
        return _unfolded(self._quantizer, self._shape, self._reads, known)

    def _nothing(self) -> DecodedLatents:
        return DecodedLatents(self._quantizer, self._shape)

    def _refine(self, latents: DecodedLatents, read: _Read) -> None:
        digits = np.empty(len(read.order), np.float32)
        digits[read.order] = read.digits
        layers, rows, columns = self._shape
        latents.refine(read.step, digits.reshape(layers, read.step.width, rows * columns))

    def _decisions(self) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
        """Probabilities of all decisions about known symbols, and how many end each symbol."""
        nonzero = np.concatenate([read.nonzero[: len(read.digits)] for read in self._reads])
        positive = np.concatenate([read.positive[: len(read.digits)] for read in self._reads])
        signed = np.concatenate([read.digits for read in self._reads]) != 0
        ends = np.cumsum(1 + signed)
        chances = np.empty(ends[-1] if len(ends) else 0, np.uint16)
        chances[ends - 1 - signed] = nonzero
        chances[ends[signed] - 1] = positive[signed]
        return chances, ends


def _read(step: Step, context: EmbeddedContext, coder: RangeDecoder) -> _Read:
    nonzero, positive = context.probabilities(step)
    order = _order(nonzero)
    nonzero, positive = nonzero.take(order), positive.take(order)
    known, places, signs = coder.decode_ternary(nonzero.tolist(), positive.tolist())
    digits = np.zeros(known, np.float32)
    digits[places] = signs
    return _Read(step, order, digits, nonzero, positive)


def _order(nonzero: Probabilities) -> NDArray[np.intp]:
    """Flat places of symbols ``(layers, symbols)`` as they travel."""
    order = (~nonzero).argsort(axis=-1, kind="stable")
    if len(order) > 1:
        order += np.arange(0, nonzero.size, nonzero.shape[1])[:, None]
    return order.reshape(-1)


def _cut(latents: DecodedLatents, read: _Read, found: int, known: int) -> DecodedSymbols:
    """Behind the first ``found`` symbols of a step."""
    drawn = latents.reconstruct_partial(read.step, read.order[:found], read.digits[:found])
    return DecodedSymbols(*drawn, known, read.step)


def _unfolded(
    quantizer: EmbeddedQuantizer,
    shape: tuple[int, int, int],
    steps: Sequence[OrderedStep],
    known: Iterable[int],
) -> Iterator[DecodedSymbols]:
    """Behind every number of ``known`` symbols, which grow; equal ones are the same object."""
    unfolding = PrefixReconstruction(quantizer, shape, steps)
    found: DecodedSymbols | None = None
    for count in known:
        if found is None or count > found.decoded_count:
            found = unfolding.at(count)
        yield found
