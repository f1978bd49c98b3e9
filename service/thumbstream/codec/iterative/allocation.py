"""Allocates iterations to cells by rate and distortion, for formats with early stops.

For a given slope (the squared error that one bit must save), every cell has a best number of
iterations: a point on the convex hull of the cell's rate-distortion trace. Coding a stop costs bits
as well. Cells therefore stop together before few iterations, which are chosen greedily. Steeper
slopes give shorter streams. The slope for a target is found by bisection; then streams for slopes
near the one found are decoded and measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.prefix_search import BYTES, PrefixDecoder, Target, shortest_prefix
from thumbstream.codec.quality import psnr

ANY_STOP_BITS = 4.0
"""Cost in bits of the decision whether any cell stops, if a cell does stop."""
CELL_STOP_BITS = 1.0
"""Approximate cost in bits of the decision whether one cell stops."""
MIN_LOG_SLOPE, MAX_LOG_SLOPE = -4.0, 20.0
"""Range of log2 slopes: from all iterations for every cell to one iteration for every cell."""
BISECTIONS = 9
"""Number of bisection steps; they find a log2 slope to within 0.05."""
QUALITY_OFFSETS = (0.0, -0.5, -1.0)
"""Offsets to the log2 slope found for a quality target. Negative offsets give longer streams, whose
shortest sufficient prefix may be shorter."""
BYTES_OFFSETS = (1.0, 0.5, 0.0, -0.5, -1.0, -2.0)
"""Offsets to the log2 slope found for a target in bytes. A longer stream, cut to the target, may be
better than a stream of that length."""

Iterations: TypeAlias = NDArray[np.intp]
"""``(rows, columns)``: number of iterations of each cell, at least 1."""


@dataclass(frozen=True, slots=True)
class RateDistortionTraces:
    """Decoded pictures after every iteration, and a function that writes streams."""

    pixels: NDArray[np.uint8]
    """``(H, W, 3)``: the original picture."""
    x_hats: NDArray[np.uint8]
    """``(iterations, H, W, 3)``: the decoded picture after each iteration if no cell stops."""
    stride: int
    """Pixels per side of a cell."""
    planes: int
    """Number of codes per cell and iteration, which is about the cost of these codes in bits."""
    write: Callable[[Iterations], bytes]
    """Function that returns the complete stream for an allocation."""

    def all_iterations(self) -> Iterations:
        """Return the allocation in which no cell stops early."""
        height, width, _ = self.pixels.shape
        shape = -(-height // self.stride), -(-width // self.stride)
        return np.full(shape, len(self.x_hats), np.intp)

    def picture(self, iterations: Iterations) -> NDArray[np.uint8]:
        """Return the picture to which the complete stream for ``iterations`` decodes."""
        height, width, _ = self.pixels.shape
        last = iterations.repeat(self.stride, 0).repeat(self.stride, 1)[:height, :width] - 1
        picture: NDArray[np.uint8] = np.take_along_axis(self.x_hats, last[None, ..., None], 0)[0]
        return picture

    def errors(self) -> NDArray[np.float64]:
        """Return the squared error of each cell after each iteration.

        Shape ``(iterations, rows, columns)``; summed over the samples of a cell.
        """
        squares = np.square(self.x_hats.astype(np.float64) - self.pixels).sum(-1)
        height, width = squares.shape[1:]
        rows, columns = range(0, height, self.stride), range(0, width, self.stride)
        return np.add.reduceat(np.add.reduceat(squares, rows, 1), columns, 2)


def encode_with_stops(codec: PrefixDecoder, traces: RateDistortionTraces, target: Target) -> bytes:
    """Return the best stream found for ``target``, with or without early stops.

    For a quality, the shortest stream that reaches it, or the complete stream without stops if no
    stream does. For a number of bytes, the stream of at most that length with the highest PSNR.
    """
    without_stops = traces.write(traces.all_iterations())
    if target.measure == BYTES:
        return _best_for_size(codec, traces, without_stops, int(target.value))
    found = shortest_prefix(codec, traces.pixels, without_stops, target)
    best = without_stops if found is None else found
    for stream in _candidates(traces, target):
        other = shortest_prefix(codec, traces.pixels, stream, target)
        if other is not None and (found is None or len(other) < len(best)):
            found = best = other
    return best


def allocate(errors: NDArray[np.float64], planes: int, slope: float) -> Iterations:
    """Return the iterations per cell that minimize error + slope x bits, by a greedy search.

    ``errors``: squared errors ``(iterations, rows, columns)``. ``planes``: codes per cell and
    iteration. ``slope``: squared error per bit. The bits include those of the stops.
    """
    count, *shape = errors.shape
    bits = planes * np.arange(1, count + 1)
    costs = errors.reshape(count, -1) + slope * bits[:, None]

    def best(levels: list[int]) -> tuple[float, NDArray[np.intp]]:
        """Return the least cost if every cell ends after one of the iterations ``levels``.

        Also returns that iteration (index from 0) of each cell.
        """
        chosen = np.asarray(levels)[costs[levels].argmin(0)]
        active, stops = chosen.size, 0.0
        for ended in np.unique(chosen, return_counts=True)[1][:-1]:
            stops += ANY_STOP_BITS + CELL_STOP_BITS * active
            active -= ended
        return float(costs[chosen, np.arange(chosen.size)].sum() + slope * stops), chosen

    levels: list[int] = []
    cost, chosen = np.inf, np.empty(0, np.intp)
    while len(levels) < count:
        further = [best(sorted([*levels, t])) for t in range(count) if t not in levels]
        least, ends = min(further, key=lambda option: option[0])
        if least >= cost:
            break
        cost, chosen = least, ends
        levels = np.unique(chosen).tolist()
    return chosen.reshape(shape) + 1


def _candidates(traces: RateDistortionTraces, target: Target) -> Iterator[bytes]:
    """Yield streams for slopes at which the allocation reaches the quality ``target``.

    The steepest such slope comes first. Yields no stream if no slope reaches ``target``.
    """
    errors = traces.errors()

    def reaches(slope: float) -> bool:
        iterations = allocate(errors, traces.planes, 2**slope)
        return target.reached(traces.pixels, traces.picture(iterations))

    if reaches(MIN_LOG_SLOPE):
        slope = _bisect_slope(reaches)
        yield from _streams(traces, errors, [slope + offset for offset in QUALITY_OFFSETS])


def _best_for_size(
    codec: PrefixDecoder, traces: RateDistortionTraces, without_stops: bytes, size: int
) -> bytes:
    """Return the stream of at most ``size`` bytes with the highest PSNR.

    ``without_stops``: the complete stream without early stops, one of the candidates.
    """
    errors = traces.errors()

    def fills(slope: float) -> bool:
        return len(traces.write(allocate(errors, traces.planes, 2**slope))) >= size

    if size <= parse_header(without_stops).length:
        return without_stops[:size]
    slope = _bisect_slope(fills)
    slopes = [slope + offset for offset in BYTES_OFFSETS]
    streams = [
        without_stops[:size],
        *(stream[:size] for stream in _streams(traces, errors, slopes)),
    ]
    x_hats = [next(codec.decode_prefixes(stream, [len(stream)])) for stream in streams]
    return streams[int(psnr(traces.pixels, np.stack(x_hats)).argmax())]


def _streams(
    traces: RateDistortionTraces, errors: NDArray[np.float64], slopes: list[float]
) -> Iterator[bytes]:
    """Yield one stream per log2 slope.

    Skips allocations that were already written or that stop no cell early. Cells with the highest
    iteration count are extended to the final iteration, so that a stream that is later cut has
    useful codes up to the cut.
    """
    seen = {traces.all_iterations().tobytes()}
    for slope in slopes:
        iterations = allocate(errors, traces.planes, 2**slope)
        iterations[iterations == iterations.max()] = len(errors)
        if iterations.tobytes() not in seen:
            seen.add(iterations.tobytes())
            yield traces.write(iterations)


def _bisect_slope(holds: Callable[[float], bool]) -> float:
    """Return the largest log2 slope at which ``holds`` returns True.

    ``holds`` must return True up to a certain slope, and False above that slope.
    """
    low, high = MIN_LOG_SLOPE, MAX_LOG_SLOPE
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
