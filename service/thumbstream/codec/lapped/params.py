"""Reads the model folder of the lapped family: manifest keys and tables. See docs/model-folder.md.

=================  ===============================================================
manifest           ``groups``, ``planes``, ``look``: `LappedParams`
``linear.npz``     the linear transform, float32: `LinearTables`
``look.npz``       integer tables of the first look, and colour axes: `LookTables`
``contexts.npz``   integer tables of all other latents: `ContextTables`
``analysis.onnx``  ``samples`` (192 per cell) -> ``added`` (to the latents)
``synthesis.onnx`` ``latents``, ``widths`` -> ``added`` (3 x 8 x 8 pixels per cell)
=================  ===============================================================

The field names of the three table classes are the names of the arrays in the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.model_folder import (
    HIDDEN_MAX,
    Artifact,
    check_accumulator_range,
    manifest_errors,
    require_list,
    require_positive,
    require_type,
    shape_error,
)
from thumbstream.codec.tensors import Float
from thumbstream.errors import ArtifactError

SIDE = 8
"""Pixels per side of a cell."""
SAMPLES = 3 * SIDE * SIDE
"""Samples of a cell: its pixels, after the lapping."""
CLASSES = 4
"""Classes of latents; a plane refines one of them."""
UNIT_PLANE = 32
"""Plane ``p`` has the step ``2^((UNIT_PLANE - p) / CLASSES)``."""
MAX_PLANES = 64
AXES = 32
"""Colour axes of a model."""
NODES = 6
"""Per direction, frequencies at which the table of scales has entries."""
MAX_TAP = 3
"""Largest difference of frequencies of a tap of the first look."""
FEATURES = 4
"""Features per channel of the context model's first layer."""
VALUES = 2
"""Inputs per channel of the context model's linear prediction."""
MAX_MAGNITUDE = 15
MAX_VALUE = 1023
"""Limit of a latent, in eighths of the step, as an input of the linear predictions."""
MAX_PREDICTION = 127
"""Limit of the prediction's magnitude as an input of the scale."""
MAX_SHIFT = 16
_INT8, _INT16, _INT32 = np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32)
_FLOAT, _UINT8 = np.dtype(np.float32), np.dtype(np.uint8)
# Features of a channel: magnitude, signed magnitude, and their sums over four neighbours.
_FEATURE_MAX = np.array([1, 1, 4, 4]) * MAX_MAGNITUDE


@dataclass(frozen=True, slots=True)
class LappedParams:
    """Manifest parameters of a model of the lapped family."""

    groups: tuple[int, ...]
    """Number of consecutive channels in each group; group 0 has the DCT over cells."""
    planes: int
    """Number of planes."""
    look: int
    """Number of planes of group 0 that come before everything else, as the first look."""

    def __post_init__(self) -> None:
        if len(self.groups) < 2 or not 0 < self.look <= self.planes <= MAX_PLANES:
            raise ArtifactError(
                f"expected two groups or more and 0 < look <= planes <= {MAX_PLANES}, got "
                f"{len(self.groups)} groups, look {self.look}, planes {self.planes}"
            )

    @property
    def channels(self) -> int:
        """Number of latents per cell."""
        return sum(self.groups)

    @property
    def first(self) -> int:
        """Number of channels of group 0."""
        return self.groups[0]

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> LappedParams:
        """Read the parameters from the manifest of ``artifact``; raises `ArtifactError`."""
        manifest = artifact.manifest
        with manifest_errors(artifact.model_id):
            if require_type(int, manifest["stride"]) != SIDE:
                raise ValueError(f"stride must be {SIDE}")
            return cls(
                groups=require_list(require_positive, manifest["groups"]),
                planes=require_positive(manifest["planes"]),
                look=require_positive(manifest["look"]),
            )


@dataclass(frozen=True, slots=True, eq=False)
class LinearTables:
    """The linear transform. C channels."""

    klt: Float
    """``(C, 192)``: orthonormal rows; samples are ordered by colour, row, column."""
    rotation: Float
    """``(4, 4)``, orthonormal: what the lapping does to the differences across an edge."""
    scales: Float
    """``(C,)``, positive: latents are multiplied by it before they are coded."""
    gain: Float
    """``(C,)``: logit of the factor of a latent in the linear picture, where the synthesis network
    adds to it."""
    gain_slope: Float
    """``(C,)``: change of ``gain`` per unit of width, which is ln(step / scale) / 2."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], params: LappedParams) -> Self:
        """Check types, shapes and values; raises `ArtifactError`."""
        count = params.channels
        tables = cls(**_typed(cls, arrays, dict.fromkeys(_names(cls), _FLOAT)))
        shapes = (count, SAMPLES), (SIDE // 2, SIDE // 2), (count,), (count,), (count,)
        _check_shapes(tables, shapes)
        finite = all(np.isfinite(getattr(tables, name)).all() for name in _names(cls))
        if not finite or tables.scales.min() <= 0:
            raise ArtifactError("linear.npz contains a value that is not finite, or a scale <= 0")
        return tables


@dataclass(frozen=True, slots=True, eq=False)
class LookTables:
    """Integer tables of the coefficients of group 0, which has K channels, and colour axes."""

    scale: NDArray[np.int8]
    """``(K, 6, 6)``: scale of a coefficient in plane 0, at the nodes of both frequencies."""
    slope: NDArray[np.int8]
    """``(K,)``: change of the scale per plane, in 1/64, in addition to that of the step."""
    activity: NDArray[np.int8]
    """``(K, K)``: weights of target, source; sums of magnitudes at low frequencies to scale."""
    magnitudes: NDArray[np.int8]
    """``(n, 5)``: taps from magnitude to scale: target, source, du, dv, weight."""
    values: NDArray[np.int8]
    """``(n, 6)``: taps from value to mean: target, source, du, dv, weight, low weight."""
    axes: NDArray[np.int8]
    """``(32, 3)``: colour axes of any length. Axis 0 is grey, none is opposite to grey."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], params: LappedParams) -> Self:
        """Check types, shapes, indices and the range of sums; raises `ArtifactError`."""
        count = params.first
        tables = cls(**_typed(cls, arrays, dict.fromkeys(_names(cls), _INT8)))
        taps = [table.shape[0] if table.ndim else 0 for table in (tables.magnitudes, tables.values)]
        shapes = (count, NODES, NODES), (count,), (count, count), (taps[0], 5), (taps[1], 6)
        _check_shapes(tables, (*shapes, (AXES, 3)))
        for table in (tables.magnitudes, tables.values):
            channels, offsets = table[:, :2], np.abs(table[:, 2:4].astype(np.int64))
            if len(table) and (
                channels.min() < 0 or channels.max() >= count or offsets.max() > MAX_TAP
            ):
                raise ArtifactError("look.npz contains a tap outside the channels or frequencies")
        # A weight with its low part is at most 2^14, a value 1023: 2^7 taps stay below 2^31.
        if any(np.bincount(tables.values[:, 0]) > 128) or len(tables.magnitudes) > 1 << 12:
            raise ArtifactError("look.npz contains too many taps")
        equal = (tables.axes == tables.axes[:, :1]).all(1)
        if not equal[0] or tables.axes[equal].min() <= 0:
            raise ArtifactError("look.npz contains a colour axis that cannot be rotated to grey")
        return tables


@dataclass(frozen=True, slots=True, eq=False)
class ContextTables:
    """Integer tables of the latents of all groups but 0: ``channels - K`` of them, *coded*."""

    starts: NDArray[np.uint8]
    """``(coded,)``: first plane of each channel, of its class."""
    w1: NDArray[np.int8]
    """``(4 * channels, hidden)``: row ``4 c + f`` is feature ``f`` of channel ``c``."""
    b1: NDArray[np.int32]
    """``(4, groups - 1, 2, hidden)``: by class of the plane, group, parity of the cells."""
    b1_plane: NDArray[np.int16]
    """``(hidden,)``: times the plane."""
    m: NDArray[np.int8]
    """``(hidden, second)``"""
    bm: NDArray[np.int32]
    """``(groups - 1, second)``"""
    w2: NDArray[np.int8]
    """``(2, coded, hidden)``: heads for scale and mean."""
    w3: NDArray[np.int8]
    """``(2, coded, second)``"""
    b2: NDArray[np.int32]
    """``(2, 2, coded)``: by parity of the cells, head."""
    b2_plane: NDArray[np.int16]
    """``(2, coded)``: times the plane."""
    own: NDArray[np.int16]
    """``(3, coded)``: on the scale, of the latent's magnitude, of its neighbours' magnitudes and
    of the magnitude of the linear prediction."""
    predictor: NDArray[np.int8]
    """``(2 * channels, coded)``: rows ``2 c`` for a channel's value in the cell, ``2 c + 1`` for
    the sum over its neighbours; in 1/64."""
    shifts: NDArray[np.uint8]
    """``(4,)``: right shifts of first layer, second layer, scale, mean."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], params: LappedParams) -> Self:
        """Check types, shapes and the range of sums; raises `ArtifactError`."""
        tables = cls(**_typed(cls, arrays, _CONTEXT_TYPES))
        channels, groups = params.channels, len(params.groups) - 1
        coded = channels - params.first
        hidden, second = tables.m.shape if tables.m.ndim == 2 else (0, 0)
        if not tables.m.size:
            raise shape_error()
        _check_shapes(
            tables,
            (
                (coded,),
                (FEATURES * channels, hidden),
                (CLASSES, groups, 2, hidden),
                (hidden,),
                (hidden, second),
                (groups, second),
                (2, coded, hidden),
                (2, coded, second),
                (2, 2, coded),
                (2, coded),
                (3, coded),
                (VALUES * channels, coded),
                (4,),
            ),
        )
        classes = np.arange(params.first, channels) % CLASSES
        if (tables.starts % CLASSES != classes).any() or tables.starts.max() >= params.planes:
            raise ArtifactError("contexts.npz contains a start of another class, or no plane")
        if tables.shifts.max() > MAX_SHIFT:
            raise ArtifactError(f"a shift of the entropy tables is over {MAX_SHIFT}")
        tables._check_sums(params)
        return tables

    def _check_sums(self, params: LappedParams) -> None:
        """Raise `ArtifactError` if float32 cannot represent every sum exactly."""
        wide = {name: np.abs(getattr(self, name).astype(np.int64)) for name in _names(type(self))}
        features = np.tile(_FEATURE_MAX, params.channels)[:, None]
        values = np.tile([MAX_VALUE, 4 * MAX_VALUE], params.channels)[:, None]
        planes = params.planes
        head = HIDDEN_MAX * (wide["w2"].sum(-1) + wide["w3"].sum(-1))
        head = head + planes * wide["b2_plane"] + wide["b2"].max(0)
        own = wide["own"] * np.array([MAX_MAGNITUDE, 4 * MAX_MAGNITUDE, MAX_PREDICTION])[:, None]
        head[0] += own.sum(0)
        check_accumulator_range(
            (wide["w1"] * features).sum(0).max()
            + wide["b1"].max()
            + planes * wide["b1_plane"].max(),
            HIDDEN_MAX * wide["m"].sum(0).max() + wide["bm"].max(),
            head.max(),
            (wide["predictor"] * values).sum(0).max(),
        )


_CONTEXT_TYPES: dict[str, np.dtype[Any]] = {
    "starts": _UINT8,
    "w1": _INT8,
    "b1": _INT32,
    "b1_plane": _INT16,
    "m": _INT8,
    "bm": _INT32,
    "w2": _INT8,
    "w3": _INT8,
    "b2": _INT32,
    "b2_plane": _INT16,
    "own": _INT16,
    "predictor": _INT8,
    "shifts": _UINT8,
}


def _names(cls: type[Any]) -> list[str]:
    return [field.name for field in fields(cls)]


def _typed(
    cls: type[Any], arrays: Mapping[str, NDArray[np.generic]], types: Mapping[str, np.dtype[Any]]
) -> dict[str, Any]:
    """Return the arrays of the fields of ``cls``; raise `ArtifactError` for a wrong one."""
    for name in _names(cls):
        if name not in arrays:
            raise ArtifactError(f"table {name!r} is missing")
        if arrays[name].dtype != types[name]:
            raise ArtifactError(f"table {name}: expected {types[name]}, got {arrays[name].dtype}")
    return {name: arrays[name] for name in _names(cls)}


def _check_shapes(tables: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    for name, shape in zip(_names(type(tables)), shapes, strict=True):
        if getattr(tables, name).shape != shape:
            raise ArtifactError(
                f"table {name}: expected shape {shape}, got {getattr(tables, name).shape}"
            )
