"""Measures and stores the rate-distortion curve of a stream: the quality of its prefixes.

A curve is stored next to its stream. Each point is six bytes, big-endian::

    u16 length in bytes | u16 SSIM x 65535, at least 0 | u16 PSNR in dB x 512

Qualities are rounded down, so a stored quality never exceeds the measured quality (except an SSIM
below 0, which is stored as 0). Few prefixes are measured, because decoding them is most of the cost
of an upload; `RateCurve.shortest` interpolates between them (docs/adr/0011).
"""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.prefix_search import (
    MIN_CANDIDATE,
    PrefixDecoder,
    count_layers,
    max_candidates,
)
from thumbstream.codec.quality import psnr, ssim
from thumbstream.errors import CurveError

log = logging.getLogger(__name__)

GROWTH = 2**0.75
"""Least ratio of one measured length to the previous measured length."""
MARGIN = 0.25
"""Fraction of the way from the interpolated length to the next measured length that `shortest` adds
as a margin. With it, responses are as long as those from a curve of three times the points, and the
quality of one in twelve is below the goal, by less than 0.01 SSIM on average."""
NEAR = 31 / 32
"""Fraction of a measured length from which on `shortest` returns that length: what its last bytes
bring is known, and they may complete a refinement."""
_POINT = struct.Struct(">HHH")
MAX_LENGTH = 0xFFFF
"""Largest length that a point can store. The curve of a longer stream ends at this length."""
_SSIM_STEPS = 65535
_PSNR_STEPS = 512
_ROUNDING = 1e-9
"""Added before rounding down, so that a curve that is read and written again does not change."""
_CACHED_CURVES = 1024
"""Limit of the parsed curves in memory, about 2 KB each. Parsing a curve takes longer than the rest
of a reply."""


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Measured quality of prefixes of a stream, by increasing length.

    The last prefix is the complete stream, or `MAX_LENGTH` bytes of a longer one.
    """

    lengths: tuple[int, ...]
    """Lengths of the prefixes in bytes, increasing."""
    ssim: tuple[float, ...]
    """SSIM of each prefix."""
    psnr: tuple[float, ...]
    """PSNR of each prefix in dB."""

    def shortest(self, measure: str, value: float) -> int | None:
        """Return the least length in bytes whose quality is estimated to be at least ``value``.

        Between two measured lengths, quality is interpolated over the logarithm of the length, with
        `MARGIN`. Returns None if no measured prefix reaches ``value``. ``measure`` is ``ssim`` or
        ``psnr``; raises `ValueError` for other measures.
        """
        if measure not in ("ssim", "psnr"):
            raise ValueError(f"unknown measure {measure!r}; use ssim or psnr")
        qualities = self.ssim if measure == "ssim" else self.psnr
        index = next((i for i, quality in enumerate(qualities) if quality >= value), None)
        if not index:
            return None if index is None else self.lengths[0]
        before, after = self.lengths[index - 1 : index + 1]
        low, high = qualities[index - 1 : index + 1]  # low < value <= high
        place = (value - low) / (high - low)
        place += MARGIN * (1 - place)
        length = math.ceil(before * math.pow(after / before, place))
        return after if length > NEAR * after else length

    def to_bytes(self) -> bytes:
        """Serialize the curve, six bytes per point."""
        points = zip(
            self.lengths,
            (_steps(value, _SSIM_STEPS) for value in self.ssim),
            (_steps(value, _PSNR_STEPS) for value in self.psnr),
            strict=True,
        )
        return b"".join(_POINT.pack(*point) for point in points)

    @classmethod
    def from_bytes(cls, data: bytes) -> RateCurve:
        """Parse a curve that `to_bytes` serialized; raises `CurveError`."""
        if not data or len(data) % _POINT.size:
            raise CurveError(
                f"a curve has {_POINT.size} bytes per point and at least one point, "
                f"got {len(data)} bytes"
            )
        lengths, ssims, psnrs = zip(*_POINT.iter_unpack(data), strict=True)
        if lengths[0] < 1 or any(a >= b for a, b in pairwise(lengths)):
            raise CurveError("the lengths of a curve must increase from 1")
        return cls(
            lengths,
            tuple(value / _SSIM_STEPS for value in ssims),
            tuple(value / _PSNR_STEPS for value in psnrs),
        )

    @classmethod
    def from_stored(cls, stored: bytes | None) -> RateCurve | None:
        """Parse a curve as read from the store; return None if it is missing or damaged.

        A damaged curve is logged and raises no error, so its stream can be served without a curve.
        """
        return None if stored is None else _from_stored(stored)


def measure_curve(decoder: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes) -> RateCurve:
    """Measure the curve of ``stream``, which was encoded from ``pixels`` ``(H, W, 3 or 4)``.

    Raises `ValueError` if the stream decodes to another shape than that of ``pixels``, and
    `BitstreamError` if the stream is invalid.
    """
    lengths = _measured_lengths(min(len(stream), MAX_LENGTH), pixels)
    x_hats = list(decoder.decode_prefixes(stream, lengths))
    if any(x_hat.shape != pixels.shape for x_hat in x_hats):
        raise ValueError("the stream is of a picture with another width, height or alpha")
    decoded = np.stack(x_hats)
    return RateCurve(
        lengths, tuple(ssim(pixels, decoded).tolist()), tuple(psnr(pixels, decoded).tolist())
    )


def _measured_lengths(length: int, pixels: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return lengths from `MIN_CANDIDATE` (or less) to ``length``, at equal ratios."""
    most = max_candidates(pixels.shape[0] * pixels.shape[1], count_layers(pixels))
    ratio = max(1.0, length / MIN_CANDIDATE)
    steps = max(1, min(most, int(math.log(ratio, GROWTH))))
    lengths = {round(length * math.pow(ratio, -i / steps)) for i in range(steps + 1)}
    return tuple(sorted(lengths))


def _steps(value: float, steps: int) -> int:
    return max(0, int(value * steps + _ROUNDING))


@lru_cache(maxsize=_CACHED_CURVES)
def _from_stored(stored: bytes) -> RateCurve | None:
    try:
        return RateCurve.from_bytes(stored)
    except CurveError as error:
        log.warning("ignoring a stored curve of %d bytes: %s", len(stored), error)
        return None
