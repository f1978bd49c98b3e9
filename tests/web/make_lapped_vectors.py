"""Writes lapped-vectors.json: streams of a small model of format 8, by the Python codec.

    PYTHONPATH=service:tests/codec python tests/web/make_lapped_vectors.py

Per vector: the bytes after the header, the states that they determine and their number; the same of
the first look alone, and some samples that the linear transform draws from each, in true colours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import codec_lapped
import numpy as np

from thumbstream.codec.lapped.colours import ColourAxes, rotate
from thumbstream.codec.lapped.linear import LinearTransform, from_frequencies
from thumbstream.codec.lapped.params import AXES
from thumbstream.codec.lapped.planes import Layout
from thumbstream.codec.lapped.symbols import DecodedLatents, SymbolDecoder, SymbolEncoder
from thumbstream.codec.tensors import Grid

PARAMS = codec_lapped.PARAMS
MODEL = codec_lapped.stream_model()
LINEAR = codec_lapped.linear_tables()
LOOK = codec_lapped.look_tables()
ROTATIONS = ColourAxes(LOOK.axes).rotations
GRIDS = ((4, 4, 1), (3, 4, 1), (4, 2, 2), (1, 1, 1), (8, 5, 1))
LENGTHS = (0, 1, 5, 12, 24, 400)


def tables() -> dict[str, Any]:
    """The tables that the modules take."""
    contexts = codec_lapped.context_tables()
    names = {"b1_plane": "b1Plane", "b2_plane": "b2Plane"}
    return {
        **{
            names.get(name, name): array.ravel().tolist()
            for name, array in codec_lapped.arrays(contexts).items()
        },
        "groups": list(PARAMS.groups),
        "planes": PARAMS.planes,
        "first": PARAMS.first,
        "look": PARAMS.look,
        "scale": LOOK.scale.ravel().tolist(),
        "slope": LOOK.slope.tolist(),
        "activity": LOOK.activity.ravel().tolist(),
        "taps": LOOK.magnitudes.tolist(),
        "valueTaps": LOOK.values.tolist(),
        "axes": LOOK.axes.ravel().tolist(),
        "klt": LINEAR.klt.ravel().astype(float).tolist(),
        "rotation": LINEAR.rotation.ravel().astype(float).tolist(),
        "scales": LINEAR.scales.astype(float).tolist(),
    }


def vectors(rows: int, columns: int, layers: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Prefixes of one stream."""
    grid = Grid(rows, columns)
    layout = MODEL.on_grid(grid).layout
    spread = np.where(np.arange(PARAMS.channels) < PARAMS.first, 2.0, 0.4)[:, None]
    latents = rng.laplace(0, 1, (layers, PARAMS.channels, grid.cells)) * spread
    q, axis = layout.quantize(latents.astype(np.float32)), int(rng.integers(1, AXES))
    data = SymbolEncoder(MODEL, q, grid, axis=axis).data
    return [vector(data[:n], layout, layers, grid) for n in LENGTHS]


def vector(data: bytes, layout: Layout, layers: int, grid: Grid) -> dict[str, Any]:
    """What one prefix determines, in the first look and in all."""
    first, look = PARAMS.first, PARAMS.look
    symbols = sum(len(s.latents) for s in layout.steps if s.group == 0 and s.plane < look) * layers
    decoder = SymbolDecoder(data, MODEL, layers, grid)
    known = min(decoder.symbols, symbols)
    found = decoder._reconstruction.at(known)
    everything = decoder.decode_all()
    return {
        "rows": grid.rows,
        "columns": grid.columns,
        "hex": data.hex(),
        "axis": everything.axis,
        "look": {
            "known": known,
            "states": found.q[:, :first].reshape(layers, -1).tolist(),
            "samples": samples(layout, found, first),
        },
        "all": {
            "known": everything.symbols,
            "states": everything.q.reshape(layers, -1).tolist(),
            "samples": samples(layout, everything, PARAMS.channels),
        },
    }


def samples(layout: Layout, found: DecodedLatents, channels: int) -> list[list[float]]:
    """One sample in 64 of each layer, drawn from the first ``channels``."""
    first, grid = PARAMS.first, layout.grid
    values = layout.values(found.q, found.levels)
    values = values.reshape(len(values), -1, grid.rows, grid.columns)
    values[:, channels:] = 0
    values[:, :first] = from_frequencies(values[:, :first])
    drawn = LinearTransform(LINEAR).pixels(values / LINEAR.scales[:, None, None])
    drawn[:1] = rotate(ROTATIONS[[found.axis]].swapaxes(1, 2), drawn[:1])
    rounded: list[list[float]] = np.round(
        drawn[:, :, 3::8, 5::8].reshape(len(values), -1), 5
    ).tolist()
    return rounded


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    found = [one for grid in GRIDS for one in vectors(*grid, rng)]
    path = Path(__file__).with_name("lapped-vectors.json")
    rows = ",\n".join(json.dumps(one) for one in found)
    path.write_text(f'{{"tables": {json.dumps(tables())},\n"vectors": [\n{rows}\n]}}\n')
