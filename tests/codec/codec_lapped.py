"""A small model of the lapped family, from a fixed seed, without trained weights.

The rows of its KLT are cosine waves, so quality rises with the number of bytes. The integer tables
are random, so contexts matter.
"""

from __future__ import annotations

import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from codec_folders import entry
from codec_systems import STRIDE
from numpy.typing import NDArray
from onnx_graphs import image, model, node

from thumbstream.codec.lapped.params import (
    AXES,
    CLASSES,
    ContextTables,
    LappedParams,
    LinearTables,
    LookTables,
)
from thumbstream.codec.lapped.stream_model import StreamModel

PARAMS = LappedParams(groups=(3, 2, 4), planes=40, look=28)
HIDDEN, SECOND = 6, 5


def axes() -> NDArray[np.int8]:
    found = np.random.default_rng(5).integers(-40, 128, (AXES, 3))
    found[0] = 127
    return found.astype(np.int8)


def look_tables(params: LappedParams = PARAMS) -> LookTables:
    rng, count = np.random.default_rng(1), params.first
    falling = -3 * np.arange(6)
    scale = -10 + falling[:, None] + falling - 8 * np.arange(count)[:, None, None]
    values = rng.integers(-20, 20, (20, 6))
    magnitudes = rng.integers(-8, 32, (25, 5))
    for taps in (values, magnitudes):
        taps[:, :2] = rng.integers(0, count, (len(taps), 2))
        taps[:, 2:4] = rng.integers(-3, 4, (len(taps), 2))
    return LookTables(
        scale=scale.astype(np.int8),
        slope=rng.integers(-20, 0, count).astype(np.int8),
        activity=rng.integers(-3, 20, (count, count)).astype(np.int8),
        magnitudes=magnitudes.astype(np.int8),
        values=values.astype(np.int8),
        axes=axes(),
    )


def context_tables(params: LappedParams = PARAMS) -> ContextTables:
    rng = np.random.default_rng(2)
    channels, groups = params.channels, len(params.groups) - 1
    coded = channels - params.first
    classes = np.arange(params.first, channels) % CLASSES
    starts = 20 + 4 * rng.integers(0, 2, coded) + classes
    return ContextTables(
        starts=starts.astype(np.uint8),
        w1=rng.integers(-6, 7, (4 * channels, HIDDEN)).astype(np.int8),
        b1=rng.integers(-200, 600, (CLASSES, groups, 2, HIDDEN)).astype(np.int32),
        b1_plane=rng.integers(-10, 10, HIDDEN).astype(np.int16),
        m=rng.integers(-30, 30, (HIDDEN, SECOND)).astype(np.int8),
        bm=rng.integers(-100, 900, (groups, SECOND)).astype(np.int32),
        w2=rng.integers(-20, 20, (2, coded, HIDDEN)).astype(np.int8),
        w3=rng.integers(-20, 20, (2, coded, SECOND)).astype(np.int8),
        b2=rng.integers(-500, 500, (2, 2, coded)).astype(np.int32),
        b2_plane=np.stack([np.full(coded, 64), np.zeros(coded)]).astype(np.int16),
        own=rng.integers(-20, 60, (3, coded)).astype(np.int16),
        predictor=rng.integers(-12, 12, (2 * channels, coded)).astype(np.int8),
        shifts=np.array([3, 5, 6, 9], np.uint8),
    )


def linear_tables(params: LappedParams = PARAMS) -> LinearTables:
    rng, channels = np.random.default_rng(3), params.channels
    rotation = np.linalg.qr(np.eye(4) + 0.2 * rng.normal(size=(4, 4)))[0]
    klt = waves(channels).reshape(channels, -1)
    tables = (
        klt / np.linalg.norm(klt, axis=1, keepdims=True),
        rotation * np.sign(np.diag(rotation)),
        np.linspace(1.2, 0.8, channels),
        np.full(channels, 4.0),
        -np.ones(channels),
    )
    return LinearTables(*(table.astype(np.float32) for table in tables))


def arrays(tables: Any) -> dict[str, NDArray[np.generic]]:
    """The arrays of a file, by name."""
    return {field.name: getattr(tables, field.name) for field in fields(tables)}


def lapped_folder(folder: Path, params: LappedParams = PARAMS, **changes: Any) -> Path:
    """A published folder; ``changes`` are keys of its manifest."""
    files = {
        "linear.npz": archive(arrays(linear_tables(params))),
        "look.npz": archive(arrays(look_tables(params))),
        "contexts.npz": archive(arrays(context_tables(params))),
        "analysis.onnx": _analysis(params.channels),
        "synthesis.onnx": _synthesis(params.channels),
    }
    manifest = {
        "format": 1,
        "model_id": "tiny-lapped",
        "family": "lapped",
        "bitstream_id": 8,
        "stride": 8,
        "groups": list(params.groups),
        "planes": params.planes,
        "look": params.look,
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


def _analysis(channels: int) -> bytes:
    kernel = np.random.default_rng(4).normal(0, 0.003, (channels, 192, 1, 1)).astype(np.float32)
    conv = node("Conv", ["samples", "kernel"], ["added"])
    return model([conv], [image("samples", 192)], [image("added", channels)], {"kernel": kernel})


def _synthesis(channels: int) -> bytes:
    """Adds a wave of each latent, weighed by its width."""
    nodes = [
        node("Mul", ["latents", "widths"], ["weighed"]),
        node("ConvTranspose", ["weighed", "kernel"], ["added"], strides=[8, 8]),
    ]
    inputs = [image("latents", channels), image("widths", channels)]
    kernel = waves(channels) * np.float32(0.002)
    return model(nodes, inputs, [image("added", 3)], {"kernel": kernel})


def stream_model(params: LappedParams = PARAMS) -> StreamModel:
    return StreamModel(params, look_tables(params), context_tables(params))


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
