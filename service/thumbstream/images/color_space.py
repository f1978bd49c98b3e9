"""Converts RGB color spaces that are declared without an ICC profile to sRGB.

A file declares such a space by CICP code points (ITU-T H.273; used by AVIF, HEIC and the PNG chunk
``cICP``), or by gamma and chromaticities. Pictures with an HDR transfer function are tone-mapped to
SDR as in Chromium, with the reference white tone mapping operator of SMPTE ST 2094-50: diffuse
white (203 cd/m2) becomes 0.5 in linear SDR, and brighter colors are compressed into the range above
0.5. The brightest color is the peak luminance that the file declares, or else 1000 cd/m2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Chromaticities = tuple[tuple[float, float], ...]
"""CIE xy coordinates of red, green, blue and white, in this order."""

D65 = (0.3127, 0.3290)
ILLUMINANT_C = (0.310, 0.316)
BT709: Chromaticities = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)
BT2020: Chromaticities = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)
SMPTE170M: Chromaticities = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65)

PRIMARIES: dict[int, Chromaticities] = {
    1: BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), ILLUMINANT_C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: SMPTE170M,
    7: SMPTE170M,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), ILLUMINANT_C),
    9: BT2020,
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}

SRGB, PQ, HLG = "srgb", "pq", "hlg"

VIDEO = frozenset({1, 6, 11, 14, 15})
"""H.273 code points of video camera transfer functions. Displays show such video with gamma 2.4."""
VIDEO_GAMMA = 2.4

TRANSFERS: dict[int, str | float] = {
    **dict.fromkeys(VIDEO, VIDEO_GAMMA),
    4: 2.2,
    5: 2.8,
    7: "smpte240m",
    8: 1.0,
    13: SRGB,
    16: PQ,
    17: "smpte428",
    18: HLG,
}

UNSPECIFIED = 2

REFERENCE_WHITE = 203.0
"""Luminance of diffuse white in HDR, cd/m2 (ITU-R BT.2408)."""
DEFAULT_PEAK = 1000.0
"""Luminance of the brightest color, cd/m2, of a file that does not declare one."""
MIN_PEAK = 1.01 * REFERENCE_WHITE
KNEE = 0.5
"""Linear SDR value of diffuse white if the peak is `DEFAULT_PEAK` or more; larger for lower
peaks."""

BAND_PIXELS = 1 << 18
"""Pixels converted at a time, to limit memory: each takes 12 bytes in each of several copies."""


@dataclass(frozen=True, slots=True)
class RgbSpace:
    """An RGB color space: its primaries and white point, and its transfer function."""

    chromaticities: Chromaticities = BT709
    transfer: str | float = SRGB
    """The function's name, or an exponent: linear light is the sample raised to this power."""
    peak: float = DEFAULT_PEAK
    """Luminance of the brightest color of an HDR picture, cd/m2."""

    @property
    def is_srgb(self) -> bool:
        """Whether this is sRGB, so that pixels need no conversion."""
        return self.chromaticities == BT709 and self.transfer == SRGB

    @property
    def is_hdr(self) -> bool:
        """Whether the space has colors brighter than diffuse white (transfer PQ or HLG)."""
        return self.transfer in (PQ, HLG)


def from_cicp(
    primaries: int, transfer: int, *, video_is_srgb: bool, peak: float = 0.0
) -> RgbSpace | None:
    """Return the color space of H.273 code points.

    Returns None if both code points are unspecified or either is unknown. ``peak`` is the luminance
    of the brightest color of the picture in cd/m2; 0 if the file does not declare it. With
    ``video_is_srgb``, a transfer function in `VIDEO` is replaced by that of sRGB, because cameras
    and encoders of AVIF and HEIC write these code points for sRGB pictures.
    """
    if primaries == transfer == UNSPECIFIED:
        return None
    chromaticities = BT709 if primaries == UNSPECIFIED else PRIMARIES.get(primaries)
    function = SRGB if transfer == UNSPECIFIED else TRANSFERS.get(transfer)
    if video_is_srgb and transfer in VIDEO:
        function = SRGB
    if chromaticities is None or function is None:
        return None
    return RgbSpace(chromaticities, function, max(peak, MIN_PEAK) if peak else DEFAULT_PEAK)


def to_srgb(pixels: NDArray[np.uint8], space: RgbSpace) -> NDArray[np.uint8]:
    """Convert ``pixels`` (H, W, 3) from ``space`` to sRGB."""
    out = np.empty_like(pixels)
    rows = max(1, BAND_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        out[top : top + rows] = _to_srgb(pixels[top : top + rows], space)
    return out


def _to_srgb(pixels: NDArray[np.uint8], space: RgbSpace) -> NDArray[np.uint8]:
    linear = _linear_table(space.transfer)[pixels]
    chromaticities = space.chromaticities
    if space.is_hdr:
        linear = _multiply(linear, chromaticities, BT2020)
        linear = _tone_mapped(linear, space.peak / REFERENCE_WHITE, hlg=space.transfer == HLG)
        chromaticities = BT2020
    linear = np.clip(_multiply(linear, chromaticities, BT709), 0, 1)
    samples: NDArray[np.uint8] = _encoding_table()[np.rint(linear * 65535).astype(np.uint16)]
    return samples


def _multiply(linear: Floats, source: Chromaticities, target: Chromaticities) -> Floats:
    if source == target:
        return linear
    converted: Floats = linear @ _matrix(source, target).T
    return converted


def _tone_mapped(linear: Floats, peak: float, *, hlg: bool) -> Floats:
    """Tone-map linear BT.2020 light from HDR (1 is diffuse white) to SDR (1 is SDR white).

    ``peak`` is the luminance of the brightest color, with 1 for diffuse white. With ``hlg``,
    ``linear`` is scene light in 0..1, which is converted to display light first.
    """
    headroom = DEFAULT_PEAK / REFERENCE_WHITE
    if hlg:
        luminance = linear @ _xyz_matrix(BT2020)[1].astype(np.float32)
        linear = linear * (headroom * np.maximum(luminance, 0) ** 0.2)[..., None]
    brightest = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
    knee = 1 - (1 - KNEE) * min(math.log(peak) / math.log(headroom), 1)
    # A quadratic Bezier curve from (1, knee), nearly with its slope, to (peak, 1).
    middle_x, middle_y = 0.35 + 0.65 / knee, 0.35 * knee + 0.65
    a, b = 1 - 2 * middle_x + peak, 2 * (middle_x - 1)
    above = np.clip(brightest, 1, peak) - 1
    t = 2 * above / (b + np.sqrt(b * b + 4 * a * above))
    curve = knee + 2 * (middle_y - knee) * t + (knee - 2 * middle_y + 1) * t * t
    mapped: Floats = linear * (np.where(brightest <= 1, knee * brightest, curve) / brightest)
    return mapped


@lru_cache(maxsize=64)
def _linear_table(transfer: str | float) -> Floats:
    """Return the linear light of each 8-bit sample value, shape (256,).

    1 is SDR white, diffuse white for PQ, and the brightest scene light for HLG.
    """
    e = np.arange(256) / 255
    if isinstance(transfer, float | int):
        light = e**transfer
    elif transfer == SRGB:
        light = np.where(e <= 0.04045, e / 12.92, ((e + 0.055) / 1.055) ** 2.4)
    elif transfer == PQ:
        p = e ** (32 / 2523)
        light = np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)
        light = 10_000 / REFERENCE_WHITE * light ** (16384 / 2610)
    elif transfer == HLG:
        light = np.where(
            e <= 0.5, e * e / 3, (np.exp((e - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
    elif transfer == "smpte240m":
        light = np.where(e < 0.0913, e / 4, ((e + 0.1115) / 1.1115) ** (1 / 0.45))
    else:  # SMPTE ST 428-1, digital cinema
        light = e**2.6 * 52.37 / 48
    table: Floats = light.astype(np.float32)
    return table


@lru_cache(maxsize=1)
def _encoding_table() -> NDArray[np.uint8]:
    """Return the 8-bit sRGB sample for linear light i / 65535, for i in 0..65535."""
    light = np.arange(65536) / 65535
    samples = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.rint(255 * samples).astype(np.uint8)
    return table


@lru_cache(maxsize=64)
def _matrix(source: Chromaticities, target: Chromaticities) -> Floats:
    """Return the 3 x 3 matrix from linear RGB of ``source`` to linear RGB of ``target``.

    Includes the Bradford adaptation from the white point of ``source`` to that of ``target``.
    Raises LinAlgError if the primaries of a space are on one line.
    """
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    cones = [bradford @ _xyz(*space[3]) for space in (source, target)]
    adaptation = np.linalg.inv(bradford) @ np.diag(cones[1] / cones[0]) @ bradford
    matrix = np.linalg.inv(_xyz_matrix(target)) @ adaptation @ _xyz_matrix(source)
    result: Floats = matrix.astype(np.float32)
    return result


def _xyz_matrix(space: Chromaticities) -> NDArray[np.float64]:
    """Return the 3 x 3 matrix from linear RGB of ``space`` to CIE XYZ.

    Raises LinAlgError if the primaries are on one line.
    """
    primaries = np.stack([_xyz(*point) for point in space[:3]], axis=1)
    return primaries * np.linalg.solve(primaries, _xyz(*space[3]))


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y]) if y else np.array([x, 0.0, 1 - x])
