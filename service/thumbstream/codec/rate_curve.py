"""The rate-distortion curve of one stream: how good its prefixes are, by really decoding them.

Six bytes a point, so that it can be kept beside the stream::

    u16 length in bytes | u16 SSIM x 65535, at least 0 | u16 PSNR in dB x 512      (big-endian)

Qualities are rounded down: a stored curve never promises what the prefix does not keep.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.prefix_search import PrefixDecoder, candidate_lengths
from thumbstream.codec.quality import psnr, ssim
from thumbstream.errors import CurveError

log = logging.getLogger(__name__)

_POINT = struct.Struct(">HHH")
MAX_LENGTH = 0xFFFF
"""Bytes of the last point of a longer stream: the most that the format holds."""
_SSIM_STEPS = 65535
_PSNR_STEPS = 512
_ROUNDING = 1e-9
"""Of a quality that is read and written again: it must not fall by a step."""
_CACHED_CURVES = 1024
"""Parsed curves in memory, about 2 KB each: parsing one takes longer than the rest of a reply."""


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Quality of some prefixes of a stream, the shortest first and the whole stream last."""

    lengths: tuple[int, ...]
    """Bytes, growing."""
    ssim: tuple[float, ...]
    psnr: tuple[float, ...]
    """Decibels."""

    def shortest(self, measure: str, goal: float) -> int | None:
        """Shortest measured length that reaches ``goal``; None when none does.

        ``measure`` is ``ssim`` or ``psnr``; raises `ValueError` for others.
        """
        if measure not in ("ssim", "psnr"):
            raise ValueError(f"a curve knows ssim and psnr, not {measure!r}")
        qualities = self.ssim if measure == "ssim" else self.psnr
        reached = (n for n, q in zip(self.lengths, qualities, strict=True) if q >= goal)
        return next(reached, None)

    def to_bytes(self) -> bytes:
        """Six bytes a point."""
        points = zip(
            self.lengths,
            (_steps(value, _SSIM_STEPS) for value in self.ssim),
            (_steps(value, _PSNR_STEPS) for value in self.psnr),
            strict=True,
        )
        return b"".join(_POINT.pack(*point) for point in points)

    @classmethod
    def from_bytes(cls, data: bytes) -> RateCurve:
        """The curve that `to_bytes` wrote; raises `CurveError`."""
        if not data or len(data) % _POINT.size:
            raise CurveError(f"{len(data)} bytes are no curve: it has {_POINT.size} a point")
        lengths, ssims, psnrs = zip(*_POINT.iter_unpack(data), strict=True)
        if lengths[0] < 1 or any(a >= b for a, b in pairwise(lengths)):
            raise CurveError("the lengths of a curve must grow from 1")
        return cls(
            lengths,
            tuple(value / _SSIM_STEPS for value in ssims),
            tuple(value / _PSNR_STEPS for value in psnrs),
        )

    @classmethod
    def from_stored(cls, stored: bytes | None) -> RateCurve | None:
        """The curve of a value of the store, or None for no value and for one that is damaged.

        A damaged curve is logged; streams are served without it.
        """
        return None if stored is None else _from_stored(stored)


def measure_curve(decoder: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes) -> RateCurve:
    """The curve of ``stream``, which was made of ``pixels`` ``(H, W, 3 or 4)``.

    Raises `ValueError` when the stream is of a picture of another shape, and `BitstreamError`.
    """
    lengths = tuple(candidate_lengths(min(len(stream), MAX_LENGTH)))
    x_hats = list(decoder.decode_prefixes(stream, lengths))
    if any(x_hat.shape != pixels.shape for x_hat in x_hats):
        raise ValueError("the stream is not one of these pixels: another width or height")
    drawn = np.stack(x_hats)
    return RateCurve(
        lengths, tuple(ssim(pixels, drawn).tolist()), tuple(psnr(pixels, drawn).tolist())
    )


def _steps(value: float, steps: int) -> int:
    return max(0, int(value * steps + _ROUNDING))


@lru_cache(maxsize=_CACHED_CURVES)
def _from_stored(stored: bytes) -> RateCurve | None:
    try:
        return RateCurve.from_bytes(stored)
    except CurveError as error:
        log.warning("stored curve of %d bytes cannot be read: %s", len(stored), error)
        return None
