"""Golden vectors of the lapped family, written by `make.py`. See README.md."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from thumbstream.codec.bitstream import write_header
from thumbstream.codec.lapped.adaptation import Adaptation
from thumbstream.codec.lapped.linear import integer_cosines
from thumbstream.codec.lapped.params import (
    AXES,
    CLASSES,
    ContextTables,
    LappedParams,
    LookTables,
)
from thumbstream.codec.lapped.planes import refine
from thumbstream.codec.lapped.probabilities import Integers, decision_tables, logistic_table
from thumbstream.codec.lapped.stream_model import DecoderContext, StreamModel
from thumbstream.codec.lapped.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.tensors import Grid, cell_grid

SMALL = LappedParams(groups=(2, 3, 2), planes=14, look=6)

Vector = dict[str, Any]


def small_vectors() -> Vector:
    """A tiny model and states of one and of two layers on several grids."""
    rng = np.random.default_rng(78)
    look, contexts = _look(rng), _contexts(rng)
    model = StreamModel(SMALL, look, contexts)
    vectors = []
    for layers, rows, columns in ((1, 1, 1), (1, 1, 4), (1, 3, 2), (2, 1, 1), (2, 2, 2), (1, 4, 5)):
        grid = Grid(rows, columns)
        for name, q in _states(model, layers, grid, rng).items():
            if grid.cells > 8 and name != "probable":
                continue
            vector = _coded(model, q, grid, 5 * len(vectors) % AXES)
            data = bytes.fromhex(vector["hex"])
            vector["probabilities"] = SymbolDecoder(data, model, layers, grid).probabilities()
            vectors.append({"name": f"{name}, {layers} of {rows} x {columns}", **vector})
    return {
        "params": dataclasses.asdict(SMALL),
        "decisions": dict(
            zip(
                ("significant", "positive", "upper"),
                (table.tolist() for table in decision_tables()),
                strict=True,
            )
        ),
        "logistic": logistic_table().tolist(),
        "cosines": {str(n): integer_cosines(n).astype(int).tolist() for n in (1, 2, 3, 5)},
        "look": _lists(look),
        "contexts": _lists(contexts),
        "vectors": vectors,
    }


def model_vectors(artifact: Artifact) -> Vector:
    """Complete streams of states for the tables of a published model."""
    params = LappedParams.from_artifact(artifact)
    model = StreamModel(
        params,
        LookTables.from_arrays(artifact.arrays("look.npz"), params),
        ContextTables.from_arrays(artifact.arrays("contexts.npz"), params),
    )
    rng = np.random.default_rng(1511)
    vectors = []
    for width, height, alpha in (
        *((32, 32, False), (32, 21, False), (21, 32, False), (32, 1, False), (8, 8, False)),
        *((1, 8, False), (40, 24, False), (32, 32, True), (8, 5, True)),
    ):
        header = write_header(artifact.bitstream_id, width, height, alpha=alpha)
        grid = cell_grid(height, width, artifact.stride)
        chosen = _states(model, 1 + alpha, grid, rng)
        for name in list(chosen) if grid.cells == 1 else ["probable"]:
            vector = _coded(model, chosen[name], grid, 5 * len(vectors) % AXES)
            vectors.append(
                {
                    "name": f"{name}, {width} x {height}{' with alpha' if alpha else ''}",
                    "width": width,
                    "height": height,
                    "alpha": alpha,
                    "axis": vector["axis"],
                    "states": vector["states"],
                    "hex": header.hex() + vector["hex"],
                    "known": [0] * len(header) + vector["known"],
                }
            )
    files = artifact.manifest["files"]
    return {
        "model": artifact.model_id,
        "bitstream_id": artifact.bitstream_id,
        "tables_sha256": {name: files[name]["sha256"] for name in ("look.npz", "contexts.npz")},
        "vectors": vectors,
    }


def _look(rng: np.random.Generator) -> LookTables:
    count = SMALL.first
    taps = {"magnitudes": rng.integers(-30, 60, (7, 5)), "values": rng.integers(-40, 41, (8, 6))}
    for table in taps.values():
        table[:, :2] = rng.integers(0, count, (len(table), 2))
        table[:, 2:4] = rng.integers(-3, 4, (len(table), 2))
    axes = np.random.default_rng(5).integers(-40, 128, (AXES, 3))
    axes[0] = 1
    return LookTables(
        scale=rng.integers(-20, 30, (count, 6, 6)).astype(np.int8),
        slope=rng.integers(-90, 20, count).astype(np.int8),
        activity=rng.integers(-20, 40, (count, count)).astype(np.int8),
        **{name: table.astype(np.int8) for name, table in {**taps, "axes": axes}.items()},
    )


def _contexts(rng: np.random.Generator) -> ContextTables:
    channels, groups, hidden, second = SMALL.channels, len(SMALL.groups) - 1, 3, 2
    coded = channels - SMALL.first
    starts = np.arange(SMALL.first, channels) % CLASSES + CLASSES * rng.integers(0, 2, coded)
    return ContextTables(
        starts=starts.astype(np.uint8),
        w1=rng.integers(-20, 21, (4 * channels, hidden)).astype(np.int8),
        b1=rng.integers(-80, 900, (CLASSES, groups, 2, hidden)).astype(np.int32),
        b1_plane=rng.integers(-30, 31, hidden).astype(np.int16),
        m=rng.integers(-40, 41, (hidden, second)).astype(np.int8),
        bm=rng.integers(-20, 900, (groups, second)).astype(np.int32),
        w2=rng.integers(-15, 16, (2, coded, hidden)).astype(np.int8),
        w3=rng.integers(-15, 16, (2, coded, second)).astype(np.int8),
        b2=rng.integers(-500, 900, (2, 2, coded)).astype(np.int32),
        b2_plane=rng.integers(-20, 80, (2, coded)).astype(np.int16),
        own=rng.integers(-30, 61, (3, coded)).astype(np.int16),
        predictor=rng.integers(-20, 21, (2 * channels, coded)).astype(np.int8),
        shifts=np.array([3, 5, 6, 8], np.uint8),
    )


def _lists(tables: LookTables | ContextTables) -> Vector:
    return {
        field.name: getattr(tables, field.name).tolist() for field in dataclasses.fields(tables)
    }


def _states(
    model: StreamModel, layers: int, grid: Grid, rng: np.random.Generator
) -> dict[str, Integers]:
    """Last states ``(layers, channels, cells)``: sampled from the model, random, extreme."""
    most = np.stack([model.on_grid(grid).layout.max_states] * layers)
    squares = np.indices(most.shape).sum(0) % 2
    return {
        "probable": _sampled(model, layers, grid, rng),
        "random": rng.integers(-most, most + 1).astype(np.int32),
        "all 0": np.zeros(most.shape, np.int32),
        "largest": (most * (2 * squares - 1)).astype(np.int32),
    }


def _sampled(model: StreamModel, layers: int, grid: Grid, rng: np.random.Generator) -> Integers:
    context = DecoderContext(model, layers, grid)
    adaptation = Adaptation(layers, len(model.params.groups))
    flat = context.q.reshape(layers, -1)
    for step in context.layout.steps:
        symbols = context.symbols(step)
        first, second = adaptation.probabilities(symbols)
        signs = np.where(rng.integers(0, 65536, second.shape) < second, 1, -1)
        signs[symbols.halving] = 1
        digits = np.where(rng.integers(0, 65536, first.shape) < first, signs, 0).astype(np.int32)
        flat[:, step.latents] = refine(flat[:, step.latents], digits)
        adaptation.update(symbols, (first, second), digits)
        context.update(step)
    return context.q


def _coded(model: StreamModel, q: Integers, grid: Grid, axis: int) -> Vector:
    data, layers = SymbolEncoder(model, q, grid, axis=axis).data, len(q)
    return {
        "layers": layers,
        "rows": grid.rows,
        "columns": grid.columns,
        "axis": axis,
        "states": q.tolist(),
        "hex": data.hex(),
        "known": [
            SymbolDecoder(data[:n], model, layers, grid).symbols for n in range(len(data) + 1)
        ],
    }
