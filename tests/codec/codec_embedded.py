"""A small untrained model of the embedded family, with cosine waves as weights.

The analysis projects each cell onto a few waves and the synthesis sums them up, so quality rises
with the number of bytes. The integer tables are random, so contexts matter.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from codec_folders import entry
from codec_systems import COLOURS, STRIDE
from numpy.typing import NDArray
from onnx_graphs import image, model, node, value

from thumbstream.codec.embedded.params import EmbeddedParams

PLANES = 4
GROUPS = (2, 4, 6)
STARTS = (0, 0, 0, 1, 1, 1, 1, 2, 1, 2, 2, 3)
"""In one group the started channels are not contiguous."""
BASE_STEP = 2.0
"""The first plane divides [-1, 1] into three."""
LAYOUT = EmbeddedParams(len(STARTS), PLANES, GROUPS, STARTS, BASE_STEP)
HIDDEN = 5
SECOND = 3
TYPES = {
    "a": np.int8,
    "b": np.int8,
    "b1": np.int32,
    "m": np.int8,
    "bm": np.int32,
    "w2": np.int8,
    "w3": np.int8,
    "own": np.int16,
    "b2": np.int32,
    "predictor": np.int8,
    "gain": np.int16,
    "probability": np.uint16,
    "shifts": np.uint8,
    "prediction_shifts": np.uint8,
}
"""Types of the tables."""


def embedded_folder(
    folder: Path, layout: EmbeddedParams = LAYOUT, *, search: bool = False, **changes: Any
) -> Path:
    """A published folder; ``changes`` are keys of its manifest."""
    files = {
        "analysis.onnx": _analysis(layout.channels),
        "synthesis.onnx": _synthesis(layout.channels),
        "entropy.npz": archive(embedded_tables(layout)),
    }
    if search:
        files["search.onnx"] = _search(layout.channels)
        files["search.npz"] = archive(search_tables(layout))
    manifest = {
        "format": 1,
        "model_id": "tiny-embedded",
        "family": "embedded",
        "bitstream_id": 7,
        "stride": STRIDE,
        "channels": layout.channels,
        "planes": layout.planes,
        "groups": list(layout.groups),
        "starts": list(layout.starts),
        "base_step": layout.base_step,
        "files": {name: entry(data) for name, data in files.items()},
        "training": {},
        "measured": {},
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def embedded_tables(
    layout: EmbeddedParams = LAYOUT, hidden: int = HIDDEN, second: int = SECOND, seed: int = 7
) -> dict[str, NDArray[np.generic]]:
    """Random integer tables; symbols of later groups and planes are more often 0."""
    rng = np.random.default_rng(seed)
    groups, channels, planes = len(layout.groups), layout.channels, layout.planes
    odds = (np.arange(2048) - 1023.5) / 128
    probability = np.clip(np.rint(65536 / (1 + np.exp(-odds))), 1, 65535)
    b2 = rng.integers(-900, 900, (planes, 2, channels))
    b2[:, 0] -= 90 * np.arange(channels) * 12 // channels
    tables: dict[str, NDArray[Any]] = {
        "a": rng.integers(-60, 61, (4 * channels, hidden)),
        "b": rng.integers(-60, 61, (4 * channels, hidden)),
        "b1": rng.integers(-80, 360, (planes, groups, hidden)),
        "m": rng.integers(-30, 31, (hidden, second)),
        "bm": rng.integers(-20, 900, (groups, second)),
        "w2": rng.integers(-9, 10, (2, channels, hidden)),
        "w3": rng.integers(-9, 10, (2, channels, second)),
        "own": rng.integers(-300, 301, (5, channels)),
        "b2": b2,
        "predictor": rng.integers(-40, 41, (2 * channels, channels)),
        "gain": rng.integers(-9, 10, (planes, 2, channels)),
        "probability": probability,
        "shifts": np.array([2, 4, 3]),
        "prediction_shifts": np.arange(planes)[::-1] + 4,
    }
    return {name: array.astype(TYPES[name]) for name, array in tables.items()}


def archive(tables: dict[str, NDArray[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **tables)  # type: ignore[arg-type]
    return buffer.getvalue()


def waves(channels: int) -> NDArray[np.float32]:
    """``(channels, 3, 8, 8)``, orthogonal: luminance, two colours, rising frequency."""
    u = (np.arange(STRIDE) + 0.5) * np.pi / STRIDE
    wave = [np.cos(k * u) for k in range(STRIDE)]
    colours = np.array([[1, 1, 1], [1, 0, -1], [0.5, -1, 0.5]])
    kinds = [
        (y + x + 1.5 * (colour > 0), y, x, colour)
        for y in range(STRIDE)
        for x in range(STRIDE)
        for colour in range(3)
    ]
    return np.stack(
        [
            colours[colour][:, None, None] * np.outer(wave[y], wave[x])
            for _, y, x, colour in sorted(kinds)[:channels]
        ]
    ).astype(np.float32)


def _analysis(channels: int) -> bytes:
    kernel = waves(channels)
    kernel /= np.square(kernel).sum((1, 2, 3), keepdims=True)
    conv = node("Conv", ["pixels", "kernel"], ["latents"], strides=[STRIDE] * 2)
    outputs = [image("latents", channels)]
    return model([conv], [image("pixels", COLOURS)], outputs, {"kernel": kernel})


def _synthesis(channels: int) -> bytes:
    inputs = [image("values", channels), image("levels", channels)]
    outputs = [image("x_hat", COLOURS)]
    return model(_reconstruction(), inputs, outputs, _constants(channels))


def _reconstruction() -> list[bytes]:
    """Scales a value of level L by 1 - 0.1 / (L + 1), so that levels matter."""
    return [
        node("Add", ["levels", "one"], ["above"]),
        node("Div", ["tenth", "above"], ["doubt"]),
        node("Sub", ["one", "doubt"], ["trust"]),
        node("Mul", ["values", "trust"], ["trusted"]),
        node("ConvTranspose", ["trusted", "kernel"], ["x_hat"], strides=[STRIDE] * 2),
    ]


def _constants(channels: int) -> dict[str, NDArray[np.float32]]:
    return {
        "one": np.array(1, np.float32),
        "tenth": np.array(0.1, np.float32),
        "kernel": waves(channels),
    }


def _search(channels: int) -> bytes:
    """Squared error of the synthesis, and its gradient."""
    nodes = [
        *_reconstruction(),
        node("Sub", ["x_hat", "pixels"], ["error"]),
        node("ReduceSumSquare", ["error", "axes"], ["distortion"], keepdims=0),
        node("Conv", ["error", "kernel"], ["slope"], strides=[STRIDE] * 2),
        node("Mul", ["slope", "trust"], ["half"]),
        node("Mul", ["half", "two"], ["gradient"]),
    ]
    names = {"values": channels, "levels": channels, "pixels": COLOURS}
    outputs = [value("distortion", ["batch"]), image("gradient", channels)]
    axes = np.array([1, 2, 3], np.int64)
    constants = {**_constants(channels), "two": np.array(2, np.float32), "axes": axes}
    return model(nodes, [image(*one) for one in names.items()], outputs, constants)


def search_tables(layout: EmbeddedParams = LAYOUT) -> dict[str, NDArray[np.generic]]:
    """Exact curvature, and slopes for high rates: one bit reduces the error by a factor of 4."""
    energy = np.square(waves(layout.channels)).sum((1, 2, 3))
    widths = layout.base_step / 3.0 ** np.arange(1, layout.planes + 1)
    slopes = 12 / (2 * np.log(2) * widths**2 * energy.mean())
    return {
        "curvature": (2 * energy).astype(np.float32),
        "slopes": slopes.astype(np.float32),
        "everywhere": np.ones(layout.planes, np.bool_),
    }
