"""Codes and stops of a picture to bytes, and what each prefix of the bytes determines.

XXX
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.iterative.context import Context, ContextModel, half_planes
from thumbstream.codec.range_coder import (
    PROBABILITY_BITS,
    RangeDecoder,
    RangeEncoder,
    count_decodable,
)
from thumbstream.codec.tensors import Float, Grid

ANY_STOP_PROBABILITY = 1 << 12
"""Chance, of 2^16, that some cells stop before an iteration: where none do, it costs 0.09 bits."""
CELL_STOP_PROBABILITY = 1 << 14
"""Chance, of 2^16, that a cell stops, times one more than the neighbours that have stopped."""

Active: TypeAlias = NDArray[np.bool_]
"""``(cells,)``: which cells still get codes."""
Decide: TypeAlias = Callable[[int, int | None], bool | None]
"""Decides by a chance about a cell (None: about all); None when the data have ended."""


def coding_rank(grid: Grid, planes: int) -> NDArray[np.int64]:
    """Place of every code of one iteration in the stream.

    Returns an int64 array of shape ``(planes, rows, columns)`` that holds each of
    ``0 .. planes * cells - 1`` once.
    """
    plane_rank = np.empty(grid.cells, np.int64)
    plane_rank[np.concatenate(half_planes(grid))] = np.arange(grid.cells)
    rank = plane_rank + grid.cells * np.arange(planes)[:, None]
    return rank.reshape(planes, grid.rows, grid.columns)


class CodeEncoder:
    """Codes of one picture to bytes, iteration by iteration."""

    def __init__(self, model: ContextModel, grid: Grid, *, stops: bool = False) -> None:
        """``stops``: whether the bitstream has them."""
        self._context = Context(model, grid)
        self._grid = grid
        self._planes = model.planes
        self._coder = RangeEncoder()
        self._stops = stops
        self._active: Active = np.ones(grid.cells, np.bool_)
        self._begun = False

    def write(self, codes: Float, active: NDArray[np.bool_] | None = None) -> None:
        """Append one iteration: ``codes`` ``(planes, rows, columns)`` of -1 and +1.

        ``active`` ``(rows, columns)``: cells that have codes in it; the others stop here or have
        stopped before (None: no cell stops here). Without stops every cell has codes.
        """
        context = self._context
        if self._stops and self._begun:
            wanted = self._active if active is None else active.reshape(-1)
            self._write_stops(self._active & ~wanted)
            context.next_iteration(self._active)
        else:
            context.next_iteration()
        self._begun = True
        for plane in range(self._planes):
            for half, cells in enumerate(context.halves):
                chosen = codes[plane].reshape(-1)[cells]
                chances = context.probabilities(plane, half).tolist()
                for bit, chance in zip((chosen > 0).tolist(), chances, strict=True):
                    self._coder.encode(bit, chance)
                context.update(plane, half, chosen)

    def stable_length(self) -> int:
        """Bytes that no later iteration can change."""
        return self._coder.stable_length()

    def finish(self) -> bytes:
        """All bytes; nothing may be written after this."""
        return self._coder.finish()

    def _write_stops(self, stops: Active) -> None:
        some = bool(stops.any())

        def decide(chance: int, cell: int | None) -> bool:
            bit = some if cell is None else bool(stops[cell])
            self._coder.encode(bit, chance)
            return bit

        code_early_stops(self._active, self._grid, decide)


@dataclass(frozen=True, slots=True)
class DecodedCodes:
    """What a prefix determines."""

    codes: Float
    """``(iterations, planes, rows, columns)`` of -1 and +1; in the last iteration a code that the
    prefix leaves open has its expected value. 0 in cells that have stopped."""
    decoded_count: int
    """Codes that the prefix determines."""
    active: NDArray[np.bool_]
    """``(iterations, rows, columns)``: cells that have codes in the iteration."""
    stopped: int
    """Cells of which the prefix says that they have stopped."""


@dataclass(frozen=True, slots=True)
class _HalfPlane:
    """Codes whose chances are all known before the first of them is read."""

    iteration: int
    plane: int
    cells: NDArray[np.intp]
    """Those that have a code, in coding order."""
    chances: NDArray[np.int64]
    """``P(+1) * 2^16`` of each code."""
    begin: int
    """Decisions before the first code."""
    known: int
    """Codes before the first code."""

    def expected(self, found: int) -> Float:
        """Mean of each code behind the first ``found``, before it is read."""
        mean = self.chances[found:] * (2.0 ** (1 - PROBABILITY_BITS)) - 1
        return mean.astype(np.float32)


class CodeDecoder:
    """Everything that a range-coded stream, and any prefix of it, determines."""

    def __init__(
        self, data: bytes, model: ContextModel, grid: Grid, *, stops: bool = False
    ) -> None:
        """Read ``data`` to the last decision that they determine."""
        self._data = data
        self._grid = grid
        self._planes = model.planes
        self._coder = RangeDecoder(data)
        self._decided = 0
        self._known = 0
        self._chances: list[int] = []  # of every decision that was asked for
        self._stops: list[int] = []  # which decisions stopped a cell
        self._half_planes: list[_HalfPlane] = []
        self._ends: list[int] = []  # decisions before the end of each half-plane
        self._codes: list[Float] = []  # (planes, cells) of every iteration
        self._active: list[Active] = []
        context = Context(model, grid)
        active: Active = np.ones(grid.cells, np.bool_)
        for iteration in range(model.iterations):
            if iteration and stops:
                active = active.copy()
                if not code_early_stops(active, grid, self._read_stop) or not active.any():
                    break
            context.next_iteration(active if stops else None)
            if not self._read_iteration(context, active):
                break

    def decode_all(self) -> DecodedCodes:
        """What all the data determine."""
        return self._after(self._decided)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedCodes]:
        """What the first ``n`` bytes determine, for every ``n`` of growing ``lengths``."""
        return map(self._after, count_decodable(self._data, self._chances, lengths))

    def _read_iteration(self, context: Context, active: Active) -> bool:
        """Read the codes of one iteration; False when the data do not determine all of them.

        Those that are left open stay 0.
        """
        codes = np.zeros((self._planes, self._grid.cells), np.float32)
        self._codes.append(codes)
        self._active.append(active)
        for plane in range(self._planes):
            for half, cells in enumerate(context.halves):
                if not cells.size:
                    continue
                chances = context.probabilities(plane, half)
                place = _HalfPlane(
                    len(self._codes) - 1, plane, cells, chances, self._decided, self._known
                )
                self._half_planes.append(place)
                self._ends.append(self._decided + len(cells))
                bits = self._read_bits(chances.tolist())
                known = np.where(bits, np.float32(1), np.float32(-1))
                codes[plane, cells[: len(bits)]] = known
                if len(bits) < len(cells):
                    return False
                context.update(plane, half, known)
        return True

    def _read_bits(self, chances: list[int]) -> list[bool]:
        """Decisions until all are made or the data determine no more."""
        decode, bits = self._coder.decode, []
        for chance in chances:
            bit = decode(chance)
            if bit is None:
                break
            bits.append(bit)
        self._chances += chances
        self._decided += len(bits)
        self._known += len(bits)
        return bits

    def _read_stop(self, chance: int, cell: int | None) -> bool | None:
        self._chances.append(chance)
        bit = self._coder.decode(chance)
        if bit and cell is not None:
            self._stops.append(self._decided)
        self._decided += bit is not None
        return bit

    def _after(self, count: int) -> DecodedCodes:
        """What the first ``count`` decisions say."""
        codes, known = self._codes, self._known
        index = bisect_right(self._ends, count)  # of the half-plane that is not known whole
        if index < len(self._ends):
            place = self._half_planes[index]
            found = max(0, count - place.begin)
            known = place.known + found
            codes = codes[: place.iteration]
            begun = index and self._half_planes[index - 1].iteration == place.iteration
            if found or begun or not place.iteration:
                codes = [*codes, self._cut(index, found)]
        iterations = len(codes)
        return DecodedCodes(
            np.stack(codes).reshape(iterations, self._planes, self._grid.rows, self._grid.columns),
            known,
            np.stack(self._active[:iterations]).reshape(-1, self._grid.rows, self._grid.columns),
            bisect_left(self._stops, count),
        )

    def _cut(self, index: int, found: int) -> Float:
        """The iteration of half-plane ``index``, of which only ``found`` codes are known."""
        place = self._half_planes[index]
        codes = self._codes[place.iteration].copy()
        codes[place.plane, place.cells[found:]] = place.expected(found)
        for later in self._half_planes[index + 1 :]:
            if later.iteration > place.iteration:
                break
            codes[later.plane, later.cells] = 0
        return codes


def decode_codes(
    data: bytes, model: ContextModel, grid: Grid, *, stops: bool = False
) -> DecodedCodes:
    """All codes that ``data``, a range-coded stream or any prefix of one, determines.

    At least one iteration is returned: of an empty prefix, its expected values.
    """
    return CodeDecoder(data, model, grid, stops=stops).decode_all()


def code_early_stops(active: Active, grid: Grid, decide: Decide) -> bool:
    """Make the decisions before an iteration, on either side; ``active`` changes in place.

    Returns False when the data ended on the way.
    """
    some = decide(ANY_STOP_PROBABILITY, None)
    if not some:
        return some is not None
    for cell in np.flatnonzero(active).tolist():
        stops = decide(CELL_STOP_PROBABILITY * (1 + _stopped_before(active, grid, cell)), cell)
        if stops is None:
            return False
        active[cell] = not stops
    return True


def _stopped_before(active: Active, grid: Grid, cell: int) -> int:
    """How many of the left and the upper neighbour have stopped; outside the grid none has."""
    left = cell % grid.columns > 0 and not active[cell - 1]
    above = cell >= grid.columns and not active[cell - grid.columns]
    return int(left) + int(above)
