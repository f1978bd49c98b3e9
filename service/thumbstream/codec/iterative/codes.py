"""Binary codes and early stops of a picture to bytes, and what each prefix of them determines.

Order: iteration by iteration; within an iteration first the early stops, then the codes plane by
plane; within a plane the even squares of a checkerboard, then the odd ones; within such a
half-plane in raster order (`thumbstream.codec.iterative.context.half_planes`)::

    codes (planes, rows, columns) -> P(+1) per half-plane -> range coder -> bytes   CodeEncoder
    bytes -> range decoder -> codes -> update of the context model                  CodeDecoder

Decoding passes over the bytes once and records the probability of every decision. A decoder of a
prefix makes the same decisions until its bytes run out, so the number of decisions that a prefix
determines gives everything about it, without running the context model again.

Early stops exist only in formats whose cells are independent. Before every iteration but the first,
one decision says whether any cell stops, and if so one decision per active cell says whether it
stops. Cells stop in clusters, so the probability depends on the neighbours.

Normative text: docs/bitstream.md, "Order of the codes" and "Stops".
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
"""Probability times 2^16 that any cell stops before an iteration; costs 0.09 bits if none does."""
CELL_STOP_PROBABILITY = 1 << 14
"""Probability times 2^16 that a cell stops, per stopped neighbour plus one."""

Active: TypeAlias = NDArray[np.bool_]
"""``(cells,)``: cells that still get codes."""
Decide: TypeAlias = Callable[[int, int | None], bool | None]
"""Codes one decision, given its probability and its cell (None: any cell); None at the end."""


def coding_rank(grid: Grid, planes: int) -> NDArray[np.int64]:
    """Position in the stream of every code of one iteration.

    Returns an int64 array of shape ``(planes, rows, columns)`` that contains each of
    ``0 .. planes * cells - 1`` once.
    """
    plane_rank = np.empty(grid.cells, np.int64)
    plane_rank[np.concatenate(half_planes(grid))] = np.arange(grid.cells)
    rank = plane_rank + grid.cells * np.arange(planes)[:, None]
    return rank.reshape(planes, grid.rows, grid.columns)


class CodeEncoder:
    """Codes of one picture to bytes, iteration by iteration."""

    def __init__(self, model: ContextModel, grid: Grid, *, stops: bool = False) -> None:
        """``stops``: whether the format has early stops."""
        self._context = Context(model, grid)
        self._grid = grid
        self._planes = model.planes
        self._coder = RangeEncoder()
        self._stops = stops
        self._active: Active = np.ones(grid.cells, np.bool_)
        self._started = False

    def write(self, codes: Float, active: NDArray[np.bool_] | None = None) -> None:
        """Append one iteration: ``codes`` ``(planes, rows, columns)`` of -1 and +1.

        ``active`` ``(rows, columns)``: cells that have codes in this iteration; the others stop now
        or stopped earlier (None: no cell stops). Without early stops every cell has codes.
        """
        context = self._context
        if self._stops and self._started:
            active_cells = self._active if active is None else active.reshape(-1)
            self._write_stops(self._active & ~active_cells)
            context.next_iteration(self._active)
        else:
            context.next_iteration()
        self._started = True
        for plane in range(self._planes):
            for half, cells in enumerate(context.halves):
                half_plane = codes[plane].reshape(-1)[cells]
                probabilities = context.probabilities(plane, half).tolist()
                for bit, probability in zip((half_plane > 0).tolist(), probabilities, strict=True):
                    self._coder.encode(bit, probability)
                context.update(plane, half, half_plane)

    def stable_length(self) -> int:
        """Number of leading bytes that no later iteration can change."""
        return self._coder.stable_length()

    def finish(self) -> bytes:
        """All bytes; call it once, at the end."""
        return self._coder.finish()

    def _write_stops(self, stops: Active) -> None:
        any_stop = bool(stops.any())

        def decide(probability: int, cell: int | None) -> bool:
            bit = any_stop if cell is None else bool(stops[cell])
            self._coder.encode(bit, probability)
            return bit

        code_early_stops(self._active, self._grid, decide)


@dataclass(frozen=True, slots=True)
class DecodedCodes:
    """What a prefix of a stream determines."""

    codes: Float
    """``(iterations, planes, rows, columns)`` of -1 and +1. In the last iteration, codes that the
    prefix does not determine have their expected value. 0 in stopped cells."""
    decoded_count: int
    """Codes that the prefix determines."""
    active: NDArray[np.bool_]
    """``(iterations, rows, columns)``: cells that have codes in the iteration."""
    stopped: int
    """Cells that have stopped according to the prefix."""


@dataclass(frozen=True, slots=True)
class _HalfPlane:
    """Codes whose probabilities are all known before the first of them is read."""

    iteration: int
    plane: int
    cells: NDArray[np.intp]
    """Cells that have a code, in coding order."""
    probabilities: NDArray[np.int64]
    """``P(+1) * 2^16`` of each code."""
    decisions_before: int
    """Decisions before the first code."""
    codes_before: int
    """Codes before the first code."""

    def expected(self, begin: int) -> Float:
        """Expected value of each code from ``begin`` on."""
        mean = self.probabilities[begin:] * (2.0 ** (1 - PROBABILITY_BITS)) - 1
        return mean.astype(np.float32)


class CodeDecoder:
    """Codes that a range-coded stream, and any prefix of it, determines."""

    def __init__(
        self, data: bytes, model: ContextModel, grid: Grid, *, stops: bool = False
    ) -> None:
        """Decode ``data`` to the last decision that they determine."""
        self._data = data
        self._grid = grid
        self._planes = model.planes
        self._coder = RangeDecoder(data)
        self._decisions = 0  # decoded so far
        self._known = 0  # codes decoded so far
        self._probabilities: list[int] = []  # of every decision that was attempted
        self._stops: list[int] = []  # indices of the decisions that stopped a cell
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
        return self._after(self._decisions)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedCodes]:
        """What the first ``n`` bytes determine, for every ``n`` of increasing ``lengths``."""
        return map(self._after, count_decodable(self._data, self._probabilities, lengths))

    def _read_iteration(self, context: Context, active: Active) -> bool:
        """Read the codes of one iteration; False if the data do not determine all of them.

        Codes that are not determined stay 0.
        """
        codes = np.zeros((self._planes, self._grid.cells), np.float32)
        self._codes.append(codes)
        self._active.append(active)
        for plane in range(self._planes):
            for half, cells in enumerate(context.halves):
                if not cells.size:
                    continue
                probabilities = context.probabilities(plane, half)
                self._half_planes.append(
                    _HalfPlane(
                        len(self._codes) - 1,
                        plane,
                        cells,
                        probabilities,
                        self._decisions,
                        self._known,
                    )
                )
                self._ends.append(self._decisions + len(cells))
                bits = self._read_bits(probabilities.tolist())
                half_plane = np.where(bits, np.float32(1), np.float32(-1))
                codes[plane, cells[: len(bits)]] = half_plane
                if len(bits) < len(cells):
                    return False
                context.update(plane, half, half_plane)
        return True

    def _read_bits(self, probabilities: list[int]) -> list[bool]:
        """Decisions until all are read or the data determine no more."""
        decode, bits = self._coder.decode, []
        for probability in probabilities:
            bit = decode(probability)
            if bit is None:
                break
            bits.append(bit)
        self._probabilities += probabilities
        self._decisions += len(bits)
        self._known += len(bits)
        return bits

    def _read_stop(self, probability: int, cell: int | None) -> bool | None:
        self._probabilities.append(probability)
        bit = self._coder.decode(probability)
        if bit and cell is not None:
            self._stops.append(self._decisions)
        self._decisions += bit is not None
        return bit

    def _after(self, decisions: int) -> DecodedCodes:
        """The result of the first ``decisions`` decisions."""
        codes, known = self._codes, self._known
        index = bisect_right(self._ends, decisions)  # the first half-plane that is incomplete
        if index < len(self._ends):
            half_plane = self._half_planes[index]
            found = max(0, decisions - half_plane.decisions_before)
            known = half_plane.codes_before + found
            codes = codes[: half_plane.iteration]
            started = index and self._half_planes[index - 1].iteration == half_plane.iteration
            if found or started or not half_plane.iteration:
                codes = [*codes, self._partial_iteration(index, found)]
        iterations = len(codes)
        return DecodedCodes(
            np.stack(codes).reshape(iterations, self._planes, self._grid.rows, self._grid.columns),
            known,
            np.stack(self._active[:iterations]).reshape(-1, self._grid.rows, self._grid.columns),
            bisect_left(self._stops, decisions),
        )

    def _partial_iteration(self, index: int, found: int) -> Float:
        """The iteration of half-plane ``index`` if only ``found`` of its codes are known."""
        half_plane = self._half_planes[index]
        codes = self._codes[half_plane.iteration].copy()
        codes[half_plane.plane, half_plane.cells[found:]] = half_plane.expected(found)
        for later in self._half_planes[index + 1 :]:
            if later.iteration > half_plane.iteration:
                break
            codes[later.plane, later.cells] = 0
        return codes


def decode_codes(
    data: bytes, model: ContextModel, grid: Grid, *, stops: bool = False
) -> DecodedCodes:
    """All codes that ``data``, a range-coded stream or any prefix of one, determines.

    Has at least one iteration: for an empty prefix, expected values.
    """
    return CodeDecoder(data, model, grid, stops=stops).decode_all()


def code_early_stops(active: Active, grid: Grid, decide: Decide) -> bool:
    """Code the stops before an iteration, in encoder and decoder; changes ``active`` in place.

    Returns False if the data ended before the last decision.
    """
    any_stop = decide(ANY_STOP_PROBABILITY, None)
    if not any_stop:
        return any_stop is not None
    for cell in np.flatnonzero(active).tolist():
        stopped_neighbours = _stopped_neighbours(active, grid, cell)
        stops = decide(CELL_STOP_PROBABILITY * (1 + stopped_neighbours), cell)
        if stops is None:
            return False
        active[cell] = not stops
    return True


def _stopped_neighbours(active: Active, grid: Grid, cell: int) -> int:
    """Number of stopped cells among the left and the upper neighbour inside the grid."""
    left = cell % grid.columns > 0 and not active[cell - 1]
    above = cell >= grid.columns and not active[cell - grid.columns]
    return int(left) + int(above)
