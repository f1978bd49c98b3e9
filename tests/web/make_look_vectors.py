"""Writes look-vectors.json: the first look of streams of a small model, by the Python codec.

    PYTHONPATH=service:tests/codec python tests/web/make_look_vectors.py

Per vector: the bytes after the header, the states of group 0 that they determine in the first look,
their number, and the samples that the linear transform draws from these alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import codec_lapped
import numpy as np

from thumbstream.codec.lapped.linear import LinearTransform, from_frequencies
from thumbstream.codec.lapped.planes import Layout
from thumbstream.codec.lapped.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.tensors import Grid

PARAMS = codec_lapped.PARAMS
MODEL = codec_lapped.stream_model()
LINEAR = codec_lapped.linear_tables()
LOOK = codec_lapped.look_tables()
GRIDS = ((4, 4, 1), (3, 4, 1), (4, 2, 2), (1, 1, 1), (8, 5, 1))
LENGTHS = (0, 1, 5, 12, 24, 400)


def tables() -> dict[str, Any]:
    """The tables that look.js and look_picture.js take."""
    first = PARAMS.first
    return {
        "first": first,
        "look": PARAMS.look,
        "scale": LOOK.scale.ravel().tolist(),
        "slope": LOOK.slope.tolist(),
        "activity": LOOK.activity.ravel().tolist(),
        "taps": LOOK.magnitudes.tolist(),
        "valueTaps": LOOK.values.tolist(),
        "klt": LINEAR.klt[:first].ravel().astype(float).tolist(),
        "rotation": LINEAR.rotation.ravel().astype(float).tolist(),
        "scales": LINEAR.scales[:first].astype(float).tolist(),
    }


def vectors(rows: int, columns: int, layers: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Prefixes of one stream."""
    grid = Grid(rows, columns)
    layout = MODEL.on_grid(grid).layout
    spread = np.where(np.arange(PARAMS.channels) < PARAMS.first, 2.0, 0.4)[:, None]
    latents = rng.laplace(0, 1, (layers, PARAMS.channels, grid.cells)) * spread
    data = SymbolEncoder(MODEL, layout.quantize(latents.astype(np.float32)), grid).data
    return [vector(data[:n], layout, layers, grid) for n in LENGTHS]


def vector(data: bytes, layout: Layout, layers: int, grid: Grid) -> dict[str, Any]:
    """The first look of one prefix."""
    first, look = PARAMS.first, PARAMS.look
    symbols = sum(len(s.latents) for s in layout.steps if s.group == 0 and s.plane < look) * layers
    decoder = SymbolDecoder(data, MODEL, layers, grid)
    known = min(decoder.symbols, symbols)
    found = decoder._reconstruction.at(known)
    values = np.zeros((layers, PARAMS.channels, grid.rows, grid.columns), np.float32)
    coefficients = layout.values(found.q, found.levels)[:, :first]
    values[:, :first] = from_frequencies(coefficients.reshape(values[:, :first].shape))
    samples = LinearTransform(LINEAR).pixels(values / LINEAR.scales[:, None, None])
    return {
        "rows": grid.rows,
        "columns": grid.columns,
        "hex": data.hex(),
        "known": known,
        "states": found.q[:, :first].reshape(layers, -1).tolist(),
        "samples": np.round(samples[:, :, 3::8, 5::8].reshape(layers, -1), 5).tolist(),
    }


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    found = [one for grid in GRIDS for one in vectors(*grid, rng)]
    path = Path(__file__).with_name("look-vectors.json")
    lines = ",\n".join(json.dumps(one) for one in found)
    path.write_text(f'{{"tables": {json.dumps(tables())},\n"vectors": [\n{lines}\n]}}\n')
