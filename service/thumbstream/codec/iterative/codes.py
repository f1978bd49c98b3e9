"""Codes the binary codes and early stops of a picture, and decodes any prefix of the bytes.

Order: iteration by iteration; within an iteration first the early stops, then the codes plane by
plane; within a plane the even cells of a checkerboard, then the odd cells; within such a half-plane
row by row (`thumbstream.codec.iterative.context.half_planes`)::

    codes (planes, rows, columns) -> P(+1) per half-plane -> range coder -> bytes   CodeEncoder
    bytes -> range decoder -> codes -> update of the context model                  CodeDecoder

`CodeDecoder` decodes the data once and records the probability of every decision. The decoder of a
prefix makes the same decisions until the prefix ends. The codes of a prefix therefore follow from
the number of decisions that the prefix determines, and the context model does not run again.

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
"""Probability times 2^16 that any cell stops before an iteration. If no cell stops, the decision
costs 0.09 bits."""
CELL_STOP_PROBABILITY = 1 << 14
"""Probability times 2^16 that a cell without stopped neighbours stops. A cell with ``n`` stopped
neighbours has ``n + 1`` times this probability."""

Active: TypeAlias = NDArray[np.bool_]
"""``(cells,)``: whether each cell has codes, that is, has not stopped."""
Decide: TypeAlias = Callable[[int, int | None], bool | None]
"""Function that encodes or decodes one stop decision and returns it. Its arguments are the
probability times 2^16 and the cell (None for the decision whether any cell stops). It returns None
if the data of a decoder do not determine the decision."""


def coding_rank(grid: Grid, planes: int) -> NDArray[np.int64]:
    """Return the position in coding order of every code of an iteration without stopped cells.

    The array ``(planes, rows, columns)`` contains each integer ``0 .. planes * cells - 1`` once.
    """
    plane_rank = np.empty(grid.cells, np.int64)
    plane_rank[np.concatenate(half_planes(grid))] = np.arange(grid.cells)
    rank = plane_rank + grid.cells * np.arange(planes)[:, None]
    return rank.reshape(planes, grid.rows, grid.columns)


class CodeEncoder:
    """Encodes the codes of one picture to bytes, iteration by iteration."""

    def __init__(self, model: ContextModel, grid: Grid, *, stops: bool = False) -> None:
        """Start a stream without iterations. ``stops``: whether the format has early stops."""
        self._context = Context(model, grid)
        self._grid = grid
        self._planes = model.planes
        self._coder = RangeEncoder()
        self._stops = stops
        self._active: Active = np.ones(grid.cells, np.bool_)
        self._started = False

    def write(self, codes: Float, active: NDArray[np.bool_] | None = None) -> None:
        """Encode the ``codes`` -1 and +1 of one iteration, ``(planes, rows, columns)``.

        ``active`` ``(rows, columns)``: whether each cell has codes in this iteration; all other
        cells stop now or stopped earlier (None: no cell stops now). Ignored in the first iteration
        and in formats without early stops, where every cell has codes.
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
        """Return a lower bound of the leading bytes that no later iteration can change."""
        return self._coder.stable_length()

    def finish(self) -> bytes:
        """Return all bytes. Call this method once, after the last iteration."""
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
    """Codes and early stops that a prefix of a stream determines."""

    codes: Float
    """``(iterations, planes, rows, columns)``: -1 and +1, or 0 in stopped cells. In the last
    iteration, codes that the prefix does not determine have their expected value in the half-plane
    in which the prefix ends, and are 0 in later half-planes."""
    decoded_count: int
    """Number of codes that the prefix determines."""
    active: NDArray[np.bool_]
    """``(iterations, rows, columns)``: whether each cell has codes in each iteration."""
    stopped: int
    """Number of cells that the prefix determines to have stopped."""


@dataclass(frozen=True, slots=True)
class _HalfPlane:
    """The active cells of a half-plane; no code's probability depends on another of these codes."""

    iteration: int
    plane: int
    cells: NDArray[np.intp]
    """Flat indices of the cells that have a code, in coding order."""
    probabilities: NDArray[np.int64]
    """``P(+1) * 2^16`` of each code, in coding order."""
    decisions_before: int
    """Number of decisions of the stream before the half-plane's first code."""
    codes_before: int
    """Number of codes of the stream before the half-plane's first code."""

    def expected(self, begin: int) -> Float:
        """Return the expected value of the code at index ``begin`` and of each later code."""
        mean = self.probabilities[begin:] * (2.0 ** (1 - PROBABILITY_BITS)) - 1
        return mean.astype(np.float32)


class CodeDecoder:
    """Decodes the codes and early stops of a payload and of its prefixes."""

    def __init__(
        self, data: bytes, model: ContextModel, grid: Grid, *, stops: bool = False
    ) -> None:
        """Decode the payload ``data`` up to the last decision that its bytes determine.

        ``stops``: whether the format has early stops.
        """
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
        """Return the codes that the complete data determine."""
        return self._after(self._decisions)

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedCodes]:
        """Yield the codes that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease.
        """
        return map(self._after, count_decodable(self._data, self._probabilities, lengths))

    def _read_iteration(self, context: Context, active: Active) -> bool:
        """Read the codes of one iteration; return False if the data do not determine all codes.

        Codes that the data do not determine are 0 in ``self._codes``.
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
        """Read decisions with ``probabilities`` until all are read or the data determine no more.

        ``probabilities``: times 2^16. Returns the decisions that the data determine.
        """
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
        """Return the codes and early stops that the first ``decisions`` decisions determine."""
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
        """Return the codes of one iteration, known up to the first ``found`` of a half-plane.

        ``index``: index of this half-plane in ``self._half_planes``. The half-plane's unknown codes
        have their expected value; codes of later half-planes are 0.
        """
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
    """Return the codes that ``data``, a payload or a prefix of a payload, determines.

    The result has at least one iteration, also for empty ``data`` (see `DecodedCodes.codes`).
    """
    return CodeDecoder(data, model, grid, stops=stops).decode_all()


def code_early_stops(active: Active, grid: Grid, decide: Decide) -> bool:
    """Encode or decode the early stops before an iteration; updates ``active`` in place.

    ``active`` is the state before these stops; ``decide`` codes each decision. Returns False if
    the data of a decoder end before the last decision.
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
    """Return the number of stopped cells among the left and the upper neighbour of ``cell``."""
    left = cell % grid.columns > 0 and not active[cell - 1]
    above = cell >= grid.columns and not active[cell - grid.columns]
    return int(left) + int(above)
