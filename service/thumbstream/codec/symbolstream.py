"""Symbols of a picture to bytes, and what each prefix of the bytes determines.

A step's symbols travel by falling chance of not being 0, the most informative first; with two
layers (colours and alpha) those of the first layer come before those of the second. Reading goes
through the bytes once and keeps the chance of every decision, so that how many decisions a prefix
determines says all about it. Normative text: docs/bitstream.md, "Bitstream 7".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.codes import Grid
from thumbstream.codec.embedded_context import Chances, EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.nested import Integers, Latents, Step
from thumbstream.codec.networks import Float
from thumbstream.codec.rangecoder import RangeDecoder, RangeEncoder, decided


def write_symbols(
    model: EmbeddedContextModel, states: Integers, grid: Grid, max_bytes: int | None = None
) -> bytes:
    """The bytes of finest states ``(layers, channels, cells)``.

    With ``max_bytes`` at least their first so many, and steps that cannot change these are left
    out. Raises `ValueError` for states that are too large.
    """
    nesting, layers = model.nesting, len(states)
    context, coder = EmbeddedContext(model, layers, grid), RangeEncoder()
    latents = Latents(nesting, (layers, grid.rows, grid.columns))
    digits = nesting.digits(states)
    for step in nesting.steps:
        nonzero, positive = context.chances(step)
        order = _order(nonzero)
        chosen = digits[step.plane][:, step.channels]
        coder.encode_ternary(
            chosen.take(order).tolist(), nonzero.take(order).tolist(), positive.take(order).tolist()
        )
        if max_bytes is not None and coder.settled() >= max_bytes:
            break
        latents.refine(step, chosen.astype(np.float32))
        context.learn(step, latents.states)
    return coder.finish()


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
class _Read:
    """A step of which at least the chances are known."""

    step: Step
    order: NDArray[np.intp]
    """Flat places of its symbols, ``(layers, step.width, cells)``, as they travel."""
    nonzero: Chances
    """In this order."""
    positive: Chances
    digits: Float
    """Of the symbols that the data determine, in this order."""


class SymbolTrace:
    """Everything that a range-coded stream, and any prefix of it, determines."""

    def __init__(self, data: bytes, model: EmbeddedContextModel, layers: int, grid: Grid) -> None:
        """Read ``data`` to the last symbol that they determine."""
        self._data = data
        self._nesting = model.nesting
        self._shape = layers, grid.rows, grid.columns
        self._reads: list[_Read] = []
        self._latents = self._nothing()  # behind all steps that are known whole
        coder, context = RangeDecoder(data), EmbeddedContext(model, layers, grid)
        for step in self._nesting.steps:
            read = _read(step, context, coder)
            self._reads.append(read)
            if len(read.digits) < len(read.order):
                break
            self._refine(self._latents, read)
            context.learn(step, self._latents.states)

    @property
    def known(self) -> int:
        """Symbols that all the data determine."""
        return sum(len(read.digits) for read in self._reads)

    def chances(self) -> list[list[int]]:
        """Of every symbol of the steps that are begun, as they travel: of not 0, and of +1."""
        return [
            list(pair)
            for read in self._reads
            for pair in zip(read.nonzero.tolist(), read.positive.tolist(), strict=True)
        ]

    def whole(self) -> DecodedSymbols:
        """What all the data determine."""
        last = self._reads[-1]
        if len(last.digits) == len(last.order):
            return DecodedSymbols(*self._latents.drawn(), self.known, None)
        return _cut(self._latents, last, len(last.digits), self.known)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of growing ``lengths``.

        Prefixes that determine the same symbols give the same object.
        """
        chances, ends = self._decisions()
        latents, before, index = self._nothing(), 0, 0
        found: DecodedSymbols | None = None
        for count in decided(self._data, chances.tolist(), lengths):
            known = int(np.searchsorted(ends, count, "right"))
            if found is None or known > found.known:
                while index < len(self._reads) and known - before >= len(self._reads[index].order):
                    before += len(self._reads[index].order)
                    self._refine(latents, self._reads[index])
                    index += 1
                if index == len(self._nesting.steps):
                    found = DecodedSymbols(*latents.drawn(), known, None)
                else:
                    found = _cut(latents, self._reads[index], known - before, known)
            yield found

    def _nothing(self) -> Latents:
        return Latents(self._nesting, self._shape)

    def _refine(self, latents: Latents, read: _Read) -> None:
        digits = np.empty(len(read.order), np.float32)
        digits[read.order] = read.digits
        layers, rows, columns = self._shape
        latents.refine(read.step, digits.reshape(layers, read.step.width, rows * columns))

    def _decisions(self) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
        """Chances of all decisions about known symbols, and how many end each symbol."""
        nonzero = np.concatenate([read.nonzero[: len(read.digits)] for read in self._reads])
        positive = np.concatenate([read.positive[: len(read.digits)] for read in self._reads])
        signed = np.concatenate([read.digits for read in self._reads]) != 0
        ends = np.cumsum(1 + signed)
        chances = np.empty(ends[-1] if len(ends) else 0, np.uint16)
        chances[ends - 1 - signed] = nonzero
        chances[ends[signed] - 1] = positive[signed]
        return chances, ends


def _read(step: Step, context: EmbeddedContext, coder: RangeDecoder) -> _Read:
    nonzero, positive = context.chances(step)
    order = _order(nonzero)
    nonzero, positive = nonzero.take(order), positive.take(order)
    known, places, signs = coder.decode_ternary(nonzero.tolist(), positive.tolist())
    digits = np.zeros(known, np.float32)
    digits[places] = signs
    return _Read(step, order, nonzero, positive, digits)


def _order(nonzero: Chances) -> NDArray[np.intp]:
    """Flat places of symbols ``(layers, symbols)`` as they travel."""
    order = (~nonzero).argsort(axis=-1, kind="stable")
    if len(order) > 1:
        order += np.arange(0, nonzero.size, nonzero.shape[1])[:, None]
    return order.reshape(-1)


def _cut(latents: Latents, read: _Read, found: int, known: int) -> DecodedSymbols:
    """Behind the first ``found`` symbols of a step."""
    drawn = latents.drawn_with(read.step, read.order[:found], read.digits[:found])
    return DecodedSymbols(*drawn, known, read.step)
