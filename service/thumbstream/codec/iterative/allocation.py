"""Where cells should stop: iterations are spent where they help most.

For a slope (squared error that a bit must save) every cell has one best number of iterations, a
point of the convex hull of its rate-distortion course. Telling a stop costs bits, too, so cells
stop together at few iterations, chosen greedily. Steeper slopes give shorter streams: the slope is
found by bisection, and what the streams around it are worth by really decoding them.
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

SOME_STOP_BITS = 4.0
"""Cost of saying that some cells stop here."""
CELL_STOPS_BITS = 1.0
"""Cost of saying so, or not, of one cell: about."""
FLATTEST, STEEPEST = -4.0, 20.0
"""log2 of the slopes that are tried: from every iteration for every cell to one."""
BISECTIONS = 9
"""Steps that find a slope to within a twentieth of an octave."""
AROUND_QUALITY = (0.0, -0.5, -1.0)
AROUND_BYTES = (1.0, 0.5, 0.0, -0.5, -1.0, -2.0)
"""Octaves beside the slope that was found: a longer stream, cut, may be the better one."""

Iterations: TypeAlias = NDArray[np.intp]
"""``(rows, columns)``: how many iterations each cell gets, at least one."""


@dataclass(frozen=True, slots=True)
class RateDistortionTraces:
    """How every cell of a picture goes on, iteration by iteration."""

    pixels: NDArray[np.uint8]
    x_hats: NDArray[np.uint8]
    """``(iterations, H, W, 3)``: the picture after each, when no cell stops."""
    stride: int
    """Pixels a cell."""
    planes: int
    """Codes, and so about bits, that an iteration costs a cell."""
    write: Callable[[Iterations], bytes]
    """The stream in which the cells get so many iterations, to the last of them."""

    def everything(self) -> Iterations:
        """Every iteration for every cell."""
        height, width, _ = self.pixels.shape
        shape = -(-height // self.stride), -(-width // self.stride)
        return np.full(shape, len(self.x_hats), np.intp)

    def picture(self, iterations: Iterations) -> NDArray[np.uint8]:
        """What the whole stream of ``iterations`` decodes to."""
        height, width, _ = self.pixels.shape
        each = iterations.repeat(self.stride, 0).repeat(self.stride, 1)[:height, :width] - 1
        picture: NDArray[np.uint8] = np.take_along_axis(self.x_hats, each[None, ..., None], 0)[0]
        return picture

    def errors(self) -> NDArray[np.float64]:
        """``(iterations, rows, columns)``: squared error of every cell after every iteration."""
        squares = np.square(self.x_hats.astype(np.float64) - self.pixels).sum(-1)
        height, width = squares.shape[1:]
        rows, columns = range(0, height, self.stride), range(0, width, self.stride)
        return np.add.reduceat(np.add.reduceat(squares, rows, 1), columns, 2)


def encode_with_stops(codec: PrefixDecoder, courses: RateDistortionTraces, target: Target) -> bytes:
    """The stream that serves ``target`` best, with or without stops."""
    plain = courses.write(courses.everything())
    if target.measure == BYTES:
        return _best_of_size(codec, courses, plain, int(target.value))
    found = shortest_prefix(codec, courses.pixels, plain, target)
    best = plain if found is None else found
    for stream in _reaching(courses, target):
        other = shortest_prefix(codec, courses.pixels, stream, target)
        if other is not None and (found is None or len(other) < len(best)):
            found = best = other
    return best


def allocate(errors: NDArray[np.float64], planes: int, slope: float) -> Iterations:
    """Iterations a cell at which error + slope x bits is least, the stops' own bits counted.

    ``errors``: ``(iterations, rows, columns)``, squared.
    """
    count, *shape = errors.shape
    bits = planes * np.arange(1, count + 1)
    costs = errors.reshape(count, -1) + slope * bits[:, None]

    def best(levels: list[int]) -> tuple[float, NDArray[np.intp]]:
        """Least cost when cells end at one of ``levels``, and which each takes."""
        chosen = np.asarray(levels)[costs[levels].argmin(0)]
        active, stops = chosen.size, 0.0
        for ended in np.unique(chosen, return_counts=True)[1][:-1]:
            stops += SOME_STOP_BITS + CELL_STOPS_BITS * active
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


def _reaching(courses: RateDistortionTraces, target: Target) -> Iterator[bytes]:
    """Streams of which a part reaches ``target``, that of the steepest slope first."""
    errors = courses.errors()

    def reaches(slope: float) -> bool:
        iterations = allocate(errors, courses.planes, 2**slope)
        return target.reached(courses.pixels, courses.picture(iterations))

    if reaches(FLATTEST):
        slope = _steepest(reaches)
        yield from _streams(courses, errors, [slope + octaves for octaves in AROUND_QUALITY])


def _best_of_size(
    codec: PrefixDecoder, courses: RateDistortionTraces, plain: bytes, size: int
) -> bytes:
    """Of the streams with and without stops, cut to ``size`` bytes, that of highest PSNR."""
    errors = courses.errors()

    def fills(slope: float) -> bool:
        return len(courses.write(allocate(errors, courses.planes, 2**slope))) >= size

    if size <= parse_header(plain).length:
        return plain[:size]
    slope = _steepest(fills)
    slopes = [slope + octaves for octaves in AROUND_BYTES]
    streams = [plain[:size], *(stream[:size] for stream in _streams(courses, errors, slopes))]
    x_hats = [next(codec.decode_prefixes(stream, [len(stream)])) for stream in streams]
    return streams[int(psnr(courses.pixels, np.stack(x_hats)).argmax())]


def _streams(
    courses: RateDistortionTraces, errors: NDArray[np.float64], slopes: list[float]
) -> Iterator[bytes]:
    """A stream for every slope (log2) that leads to stops of its own.

    Its longest cells go on to the last iteration: the stream is to be cut, and then its last bytes
    hold codes that are true.
    """
    seen = {courses.everything().tobytes()}
    for slope in slopes:
        iterations = allocate(errors, courses.planes, 2**slope)
        iterations[iterations == iterations.max()] = len(errors)
        if iterations.tobytes() not in seen:
            seen.add(iterations.tobytes())
            yield courses.write(iterations)


def _steepest(holds: Callable[[float], bool]) -> float:
    """Largest log2 slope at which ``holds``, when it does at the flattest and then for a while."""
    low, high = FLATTEST, STEEPEST
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
