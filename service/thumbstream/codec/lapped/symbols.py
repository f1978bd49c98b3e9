"""Codes the symbols of a picture, and reconstructs the latents that each prefix determines.

::

    states -> symbols of a step -> sort by key -> range coder -> bytes          SymbolEncoder
    bytes -> range decoder -> symbols -> refine latents                         SymbolDecoder

The colour axis comes before all symbols, as five digits of the range coder. If there are two layers
(colours and alpha), a step's symbols of the first layer precede those of the second. All symbols
are decoded once; for a prefix only their number is needed, since the state of a latent after fewer
symbols is its state with fewer bits. Normative text: docs/bitstream.md, "Format 8".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, repeat

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec import native
from thumbstream.codec.lapped.adaptation import Adaptation
from thumbstream.codec.lapped.compiled import Coded
from thumbstream.codec.lapped.params import CLASSES
from thumbstream.codec.lapped.planes import (
    Layout,
    Step,
    StepSymbols,
    coarser,
    last_plane,
    refine,
)
from thumbstream.codec.lapped.probabilities import Integers
from thumbstream.codec.lapped.stream_model import (
    DecoderContext,
    StreamModel,
    encoder_symbols,
)
from thumbstream.codec.range_coder import (
    PROBABILITY_BITS,
    Digits,
    PrefixDigitCounter,
    Probabilities,
    RangeDecoder,
    RangeEncoder,
    count_decodable,
)
from thumbstream.codec.tensors import Grid

AXIS_BITS = 5
"""Decisions of the colour axis, of probability 1/2 each."""
NOTHING = -1
"""Number of symbols of a prefix that does not determine the colour axis."""
BATCH_LATENTS = 3 << 13
"""Limit of the latents that are reconstructed at once: 16 prefixes of 32 x 32 pixels."""
_HALF = 1 << (PROBABILITY_BITS - 1)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedLatents:
    """Latents that a prefix of a stream determines."""

    q: Integers
    """States ``(layers, channels, cells)``."""
    levels: Integers
    """Level of each state; the shape is that of `q`."""
    axis: int
    """Colour axis; 0 if the prefix does not determine it."""
    symbols: int
    """Number of symbols that the prefix determines."""
    step: Step | None
    """The step in which the prefix ends; None if the prefix determines every symbol."""
    planes: int
    """Number of planes in which all groups are complete; 0 in the first look."""


class PrefixReconstruction:
    """Reconstructs the latents after any number of symbols, from those after all of them."""

    def __init__(self, layout: Layout, axis: int, q: Integers, coded: Coded) -> None:
        """``q``: states after all known symbols, which are ``coded``; ``axis``: colour axis."""
        self._layout, self._axis, self._q = layout, axis, q
        self._order, self._ends = coded.order, coded.ends
        self._counts = np.bincount(coded.order, minlength=q.size)
        self.size = q.size
        """Number of latents."""

    def at(self, count: int) -> DecodedLatents:
        """Return the latents after the first ``count`` symbols."""
        return self.at_each([count])[0]

    def at_each(self, counts: Sequence[int]) -> list[DecodedLatents]:
        """Return the latents after each number of symbols in ``counts``, which increase.

        The number of symbols may be `NOTHING`.
        """
        axes = [0 if count == NOTHING else self._axis for count in counts]
        counts = [max(count, 0) for count in counts]
        layout, shape = self._layout, (len(counts), *self._q.shape)
        number = np.repeat(np.arange(len(counts)), np.diff(counts, prepend=0))
        coded = number * self._q.size + self._order[: counts[-1]]
        known = np.bincount(coded, minlength=len(counts) * self._q.size).reshape(len(counts), -1)
        known = known.cumsum(0, dtype=np.int32)
        q = coarser(self._q, (self._counts - known).reshape(shape))
        ends = [self._end(count) for count in counts]
        done = np.stack([done for _, _, done in ends])[:, None]
        # Latents without symbols so far have the level of their class before the current plane.
        waiting = last_plane(done - 1, layout.classes)
        known = known.reshape(shape)
        levels = np.where(known == 0, waiting, layout.starts + CLASSES * (known - 1))
        return [
            DecodedLatents(states, known_to, axis, count, step, planes)
            for states, known_to, axis, count, (step, planes, _) in zip(
                q, levels, axes, counts, ends, strict=True
            )
        ]

    def _end(self, count: int) -> tuple[Step | None, int, Integers]:
        """Return `step` and `planes` after ``count`` symbols, and the planes of each channel."""
        params, steps = self._layout.params, self._layout.steps
        index = int(np.searchsorted(self._ends, count, "right"))
        step = steps[index] if index < len(steps) else None
        planes = params.planes if step is None else step.plane
        done = np.full((params.channels, 1), planes, np.int32)
        if step is not None and step.group == 0 and step.plane < params.look:
            done[params.first :] = planes = 0
        else:
            done[: params.first] = max(planes, params.look)
        return step, planes, done


class SymbolEncoder:
    """Encodes a picture's symbols to `data`, and reconstructs latents for prefixes of `data`."""

    def __init__(
        self,
        model: StreamModel,
        q: Integers,
        grid: Grid,
        max_bytes: int | None = None,
        *,
        axis: int = 0,
    ) -> None:
        """Encode the last states ``q`` ``(layers, channels, cells)``; the bytes are in `data`.

        With ``max_bytes``, steps that cannot change the first ``max_bytes`` bytes are not encoded.
        ``axis``: colour axis. Raises `ValueError` for states outside the range of their latent.
        """
        self._layout, self._q, self._axis = model.on_grid(grid).layout, q, axis
        if (np.abs(q) > self._layout.max_states).any():
            raise ValueError("latent out of range")
        coder = RangeEncoder()
        coder.encode_ternary(_axis_digits(axis), *_axis_probabilities())
        if native.LOOPS is None:
            coded = _encode_in_python(coder, model, q, grid, max_bytes)
        else:
            coded = model.on_grid(grid).compiled.encode(native.LOOPS, coder, q, max_bytes)
        self._coded, self.data, self._checkpoints = coded, coder.finish(), coder.checkpoints

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedLatents]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease, nor exceed ``max_bytes`` if it was given. Yields the same
        object for consecutive prefixes that determine the same symbols.
        """
        coded = self._coded
        counts = np.bincount(coded.order, minlength=self._q.size).reshape(self._q.shape)
        planes = (self._layout.last - self._layout.starts) // CLASSES + 1
        known = coarser(self._q, np.maximum(planes, 0) - counts)
        reconstruction = PrefixReconstruction(self._layout, self._axis, known, coded)
        probabilities = map(np.append, _axis_probabilities(), (coded.first, coded.second))
        counter = PrefixDigitCounter(self.data, self._checkpoints, *probabilities)
        digits = map(counter.count, lengths)
        return _reconstruct(reconstruction, (max(NOTHING, n - AXIS_BITS) for n in digits))


class SymbolDecoder:
    """Decodes the symbols of a payload, and reconstructs latents for prefixes of the payload."""

    def __init__(self, data: bytes, model: StreamModel, layers: int, grid: Grid) -> None:
        """Decode the payload ``data`` up to the last symbol that its bytes determine.

        ``layers``: 1, or 2 with alpha.
        """
        self._data = data
        on_grid, coder = model.on_grid(grid), RangeDecoder(data)
        axis = _axis_of(coder.decode_ternary(*_axis_probabilities()))
        if native.LOOPS is None:
            q, self._coded, self._digits = _decode_in_python(coder, model, layers, grid)
        else:
            q = np.zeros((layers, model.params.channels, grid.cells), np.int32)
            self._coded, self._digits = on_grid.compiled.decode(native.LOOPS, coder, q, data)
        self.symbols = len(self._digits)
        """Number of symbols that the data determine."""
        self._reconstruction = PrefixReconstruction(on_grid.layout, axis, q, self._coded)

    def probabilities(self) -> list[list[int]]:
        """Return first and second probability, times 2^16, of every known symbol in coding order.

        The second is 0 if the symbol has no second decision.
        """
        first, second = self._coded.first, self._coded.second
        return [list(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]

    def decode_all(self) -> DecodedLatents:
        """Return the latents that the complete data determine."""
        return self._reconstruction.at(self.symbols)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedLatents]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease. Yields the same object for consecutive prefixes that
        determine the same symbols.
        """
        probabilities, ends = self._decisions()
        decisions = count_decodable(self._data, probabilities.tolist(), lengths)
        counts = (int(np.searchsorted(ends, count, "right")) - 1 for count in decisions)
        return _reconstruct(self._reconstruction, counts)

    def _decisions(self) -> tuple[Integers, NDArray[np.intp]]:
        """Return the probabilities of axis and decoded symbols' decisions, in coding order.

        The second array is the number of decisions up to and including the axis, then each symbol.
        """
        (_, first, second, _), digits = self._coded, self._digits
        signed = (digits != 0) & (second != 0)
        ends = np.cumsum(np.append(AXIS_BITS, 1 + signed))
        probabilities = np.full(ends[-1], _HALF, np.int32)
        probabilities[ends[1:] - 1 - signed] = first
        probabilities[ends[1:][signed] - 1] = second[signed]
        return probabilities, ends


def _axis_digits(axis: int) -> Digits:
    """Return the digits 0 or 1 of a colour axis, the highest first."""
    return ((axis >> np.arange(AXIS_BITS)[::-1]) & 1).astype(np.int8)


def _axis_probabilities() -> tuple[Probabilities, Probabilities]:
    """Return first and second probability of the digits of a colour axis."""
    return np.full(AXIS_BITS, _HALF, np.uint16), np.zeros(AXIS_BITS, np.uint16)


def _axis_of(digits: Digits) -> int:
    """Return the colour axis of its known digits; 0 if one is not known."""
    return int(digits @ (1 << np.arange(AXIS_BITS)[::-1])) if len(digits) == AXIS_BITS else 0


def _encode_in_python(
    coder: RangeEncoder, model: StreamModel, q: Integers, grid: Grid, max_bytes: int | None
) -> Coded:
    adaptation = Adaptation(len(q), len(model.params.groups))
    parts: list[tuple[NDArray[np.intp], Probabilities, Probabilities]] = []
    for symbols in encoder_symbols(model, q, grid):
        order = _coding_order(symbols.key)
        assert symbols.digits is not None
        probabilities = adaptation.probabilities(symbols)
        first, second = (p.take(order) for p in probabilities)
        coder.encode_ternary(symbols.digits.take(order).astype(np.int8), first, second)
        adaptation.update(symbols, probabilities, symbols.digits)
        parts.append((_flat(symbols, q, order), first, second))
        if max_bytes is not None and coder.stable_length() >= max_bytes:
            break
    order, first, second = (np.concatenate(z) for z in zip(*parts, strict=True))
    ends = np.cumsum([len(part[0]) for part in parts])
    return Coded(order, first, second, ends)


def _decode_in_python(
    coder: RangeDecoder, model: StreamModel, layers: int, grid: Grid
) -> tuple[Integers, Coded, Integers]:
    """Return the states, the known symbols and their digits."""
    context = DecoderContext(model, layers, grid)
    adaptation = Adaptation(layers, len(model.params.groups))
    flat = context.q.reshape(-1)
    parts: list[tuple[NDArray[np.intp], Probabilities, Probabilities, Integers]] = []
    lengths: list[int] = []
    for step in context.layout.steps:
        symbols = context.symbols(step)
        order = _coding_order(symbols.key)
        probabilities = adaptation.probabilities(symbols)
        first, second = (p.take(order) for p in probabilities)
        digits = coder.decode_ternary(first, second).astype(np.int32)
        count = len(digits)
        at = _flat(symbols, context.q, order)[:count]
        flat[at] = refine(flat[at], digits)
        parts.append((at, first[:count], second[:count], digits))
        lengths.append(len(order))
        if count < len(order):
            break
        in_order = np.empty_like(digits)
        in_order[order] = digits
        adaptation.update(symbols, probabilities, in_order.reshape(layers, -1))
        context.update(step)
    known, first, second, digits = (np.concatenate(z) for z in zip(*parts, strict=True))
    return context.q, Coded(known, first, second, np.cumsum(lengths)), digits


def _coding_order(key: Integers) -> NDArray[np.intp]:
    """Return the flat indices of symbols ``(layers, symbols)`` in coding order."""
    order = (-key).argsort(axis=-1, kind="stable")
    if len(order) > 1:
        order += np.arange(0, key.size, key.shape[1])[:, None]
    return order.reshape(-1)


def _flat(symbols: StepSymbols, q: Integers, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the index into flattened ``q`` of each symbol in coding order."""
    latents = symbols.step.latents
    layers = np.arange(len(q))[:, None] * q[0].size
    flat: NDArray[np.intp] = (layers + latents).reshape(-1)[order]
    return flat


def _reconstruct(
    reconstruction: PrefixReconstruction, counts: Iterable[int]
) -> Iterator[DecodedLatents]:
    """Yield the latents after each number of symbols in ``counts``, which must not decrease."""
    groups = ((count, len(list(same))) for count, same in groupby(counts))
    while batch := list(islice(groups, max(1, BATCH_LATENTS // reconstruction.size))):
        found = reconstruction.at_each([count for count, _ in batch])
        for decoded, (_, times) in zip(found, batch, strict=True):
            yield from repeat(decoded, times)
