"""Golden vectors of the embedded family, written by `make.py`. See README.md."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import write_header
from thumbstream.codec.embedded.context import EmbeddedContext, EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer, States
from thumbstream.codec.embedded.symbols import SymbolDecoder, encode_symbols
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.tensors import Grid, cell_grid

SMALL = EmbeddedParams(channels=5, planes=3, groups=(2, 3), starts=(0, 1, 0, 2, 1), base_step=1.5)
"""In plane 1 the started channels of the second group are not contiguous."""

Vector = dict[str, Any]


def small_vectors() -> Vector:
    """A tiny model and states of one and of two layers on several grids."""
    rng = np.random.default_rng(77)
    tables = _tables(rng)
    model = EmbeddedContextModel(tables, EmbeddedQuantizer(SMALL))
    vectors = []
    for layers, rows, columns in ((1, 1, 1), (1, 1, 4), (1, 3, 2), (2, 1, 1), (2, 2, 2)):
        grid = Grid(rows, columns)
        for name, states in _states(model, layers, grid, rng).items():
            vector = _coded(model, states, grid)
            title = f"{name}, {layers} of {rows} x {columns}"
            vector["chances"] = _probabilities(model, states, grid)  # words: ok
            vectors.append({"name": title, **vector})
    return {
        "layout": dataclasses.asdict(SMALL),
        "tables": {name: table.tolist() for name, table in tables.items()},
        "vectors": vectors,
    }


def model_vectors(artifact: Artifact) -> Vector:
    """Complete streams of states for the tables of a published model."""
    quantizer = EmbeddedQuantizer(EmbeddedParams.from_artifact(artifact))
    model = EmbeddedContextModel(artifact.arrays("entropy.npz"), quantizer)
    rng = np.random.default_rng(1511)
    vectors = []
    for width, height, alpha in (
        *((32, 32, False), (32, 21, False), (21, 32, False), (32, 1, False), (8, 8, False)),
        *((1, 8, False), (40, 24, False), (24, 40, False), (32, 32, True), (8, 5, True)),
    ):
        header = write_header(artifact.bitstream_id, width, height, alpha=alpha)
        grid = cell_grid(height, width, artifact.stride)
        chosen = _states(model, 1 + alpha, grid, rng)
        names = list(chosen) if grid.cells == 1 else ["probable"]
        for name in names:
            vector = _coded(model, chosen[name], grid)
            vectors.append(
                {
                    "name": f"{name}, {width} x {height}{' with alpha' if alpha else ''}",
                    "width": width,
                    "height": height,
                    "alpha": alpha,
                    "states": vector["states"],
                    "hex": header.hex() + vector["hex"],
                    "known": [0] * len(header) + vector["known"],
                }
            )
    return {
        "model": artifact.model_id,
        "bitstream_id": artifact.bitstream_id,
        "tables_sha256": artifact.manifest["files"]["entropy.npz"]["sha256"],
        "vectors": vectors,
    }


def _tables(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    groups, channels, hidden, second = len(SMALL.groups), SMALL.channels, 3, 2
    odds = (np.arange(2048) - 1023.5) / 160
    return {
        "a": rng.integers(-90, 91, (4 * channels, hidden)).astype(np.int8),
        "b": rng.integers(-90, 91, (4 * channels, hidden)).astype(np.int8),
        "b1": rng.integers(-80, 360, (SMALL.planes, groups, hidden)).astype(np.int32),
        "m": rng.integers(-40, 41, (hidden, second)).astype(np.int8),
        "bm": rng.integers(-20, 900, (groups, second)).astype(np.int32),
        "w2": rng.integers(-15, 16, (2, channels, hidden)).astype(np.int8),
        "w3": rng.integers(-15, 16, (2, channels, second)).astype(np.int8),
        "own": rng.integers(-400, 401, (5, channels)).astype(np.int16),
        "b2": rng.integers(-1500, 900, (SMALL.planes, 2, channels)).astype(np.int32),
        "predictor": rng.integers(-40, 41, (2 * channels, channels)).astype(np.int8),
        "gain": rng.integers(-9, 10, (SMALL.planes, 2, channels)).astype(np.int16),
        "probability": np.clip(np.rint(65536 / (1 + np.exp(-odds))), 1, 65535).astype(np.uint16),
        "shifts": np.array([2, 4, 3], np.uint8),
        "prediction_shifts": np.arange(SMALL.planes, dtype=np.uint8)[::-1] + 4,
    }


def _states(
    model: EmbeddedContextModel, layers: int, grid: Grid, rng: np.random.Generator
) -> dict[str, States]:
    """Final states ``(layers, channels, cells)``: sampled from the model, random, extreme."""
    quantizer = model.quantizer
    most = np.broadcast_to(quantizer.max_states, (layers, quantizer.params.channels, grid.cells))
    squares = np.indices(most.shape).sum(0) % 2
    return {
        "probable": _sampled(model, layers, grid, rng),
        "random": rng.integers(-most, most + 1).astype(np.int32),
        "all 0": np.zeros(most.shape, np.int32),
        "largest": (most * (2 * squares - 1)).astype(np.int32),
    }


def _sampled(
    model: EmbeddedContextModel, layers: int, grid: Grid, rng: np.random.Generator
) -> States:
    context = EmbeddedContext(model, layers, grid)
    latents = DecodedLatents(model.quantizer, (layers, grid.rows, grid.columns))
    for step in model.quantizer.steps:
        nonzero, positive = context.probabilities(step)
        signs = np.where(rng.integers(0, 65536, positive.shape) < positive, 1, -1)
        digits = np.where(rng.integers(0, 65536, nonzero.shape) < nonzero, signs, 0)
        latents.refine(step, digits.astype(np.float32).reshape(layers, step.width, grid.cells))
        context.update(step, latents.states)
    return latents.states.astype(np.int32)


def _coded(model: EmbeddedContextModel, states: States, grid: Grid) -> Vector:
    data, layers = encode_symbols(model, states, grid), len(states)
    return {
        "layers": layers,
        "rows": grid.rows,
        "columns": grid.columns,
        "states": states.tolist(),
        "hex": data.hex(),
        "known": [
            SymbolDecoder(data[:n], model, layers, grid).decoded_count for n in range(len(data) + 1)
        ],
    }


def _probabilities(model: EmbeddedContextModel, states: States, grid: Grid) -> list[list[int]]:
    """P(nonzero) and P(+1) times 2^16 of every symbol, in coding order."""
    decoder = SymbolDecoder(encode_symbols(model, states, grid), model, len(states), grid)
    return decoder.probabilities()
