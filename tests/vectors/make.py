"""Writes the golden vectors next to this file: ``python tests/vectors/make.py [--overwrite]``.

Tests read the vectors and never write them. A file that would change is not written unless
``--overwrite`` is given: other bytes for the same symbols break every stored stream. README.md
explains the fields.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tests load this file by its path

import lapped_vectors

from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.iterative.codes import CodeEncoder, decode_codes
from thumbstream.codec.iterative.context import Context, ContextModel, half_planes
from thumbstream.codec.iterative.params import IterativeParams
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.range_coder import RangeDecoder, RangeEncoder
from thumbstream.codec.tensors import Grid, cell_grid
from thumbstream.models import installed_models

HERE = Path(__file__).resolve().parent
ZOO = HERE.parents[1] / "models" / "zoo"
EVEN = 1 << 15
"""Probability of one half."""

Vector = dict[str, Any]


def header_vectors() -> Vector:
    """All short forms, the other forms for every long side, truncated and hostile headers."""
    short = [(32, height) for height in range(1, 33)] + [(width, 32) for width in range(1, 32)]
    headers = [write_header(bitstream_id, *shape) for bitstream_id in (0, 8) for shape in short]
    headers += [bytes([first]) for first in range(0x7E, 0x96)]
    headers += [bytes([0xC3, code]) for code in range(63 + 24)]
    for long in range(8, 257, 8):
        bitstream_id = 0 if long != 32 else 5
        shapes = [(bitstream_id, long, long), (bitstream_id, long, 1), (127, 1, long)]
        headers += [write_header(*shape) for shape in shapes]
        for shape in ((long, long), (long, 1), (1, long), (long - 1, long)):
            headers += [write_header(8, *shape, alpha=alpha) for alpha in (False, True)]
    shapes = [(0, 256, 255), (0, 255, 256), (0, 40, 24), (0, 24, 40), (1, 32, 21), (64, 21, 32)]
    headers += [write_header(*shape) for shape in [*shapes, (8, 64, 43), (8, 43, 64)]]
    headers = list(dict.fromkeys(headers))
    cut = (
        *("a0", "a7", "bf", "bf01", "b000", "c3", "cf", "df", "df01", "e0", "e3", "ff", "e000"),
        *("e381", "ffff", "e787"),
    )
    hostile = {
        "": "empty",
        "96": "reserved first byte",
        "97ffff": "reserved first byte",
        "9f": "reserved first byte",
        "9f000000": "reserved first byte",
        "a3": "two bytes where a shorter form exists",
        "a31f": "two bytes where a shorter form exists",
        "a00f": "impossible shape",
        "a0ff": "impossible shape",
        "a77f": "impossible shape",
        "afff": "impossible shape",
        "b0010f": "impossible shape",
        "bf01ff": "impossible shape",
        "bfffff": "impossible shape",
        "c00f": "impossible shape",
        "c357": "impossible aspect ratio",
        "c3ff": "impossible aspect ratio",
        "df01ff": "impossible shape",
        "e300": "extended form where a shorter form exists",
        "e3001f": "extended form where a shorter form exists",
        "e380": "extended form where a shorter form exists",
        "e38000": "extended form where a shorter form exists",
        "e308": "extended form where a shorter form exists",
        "e38800": "extended form where a shorter form exists",
        "e708": "extended form where a shorter form exists",
        "e78800": "extended form where a shorter form exists",
        "e00008": "short side over the long side",
        "e000ff": "short side over the long side",
        "e30120": "short side over the long side",
        "e08008": "short side over the long side",
        "e08007": "square marked as portrait",
        "e3811f": "square marked as portrait",
        "e7873f": "square marked as portrait",
        "ff80ff": "square marked as portrait",
    }
    return {
        "valid": [_parsed(header) for header in headers],
        "cut": [_parsed(bytes.fromhex(text)) for text in cut],
        "hostile": [{"hex": text, "reason": reason} for text, reason in hostile.items()],
    }


def _parsed(header: bytes) -> Vector:
    fields = parse_header(header)
    return {
        "hex": header.hex(),
        "bitstream_id": fields.bitstream_id,
        "width": fields.width,
        "height": fields.height,
        "length": fields.length,
        "alpha": fields.alpha,
        "aspect": list(fields.aspect),
    }


def range_coder_vectors() -> list[Vector]:
    """Decisions and their bytes: ordinary, extreme, and carries through 0xff bytes."""
    rng = random.Random(1511)
    any_probability = [rng.randint(1, 65535) for _ in range(600)]
    likely = [probability > rng.randrange(65536) for probability in any_probability]
    decisions = {
        "nothing": ([], []),
        "one true": ([EVEN], [True]),
        "one false": ([EVEN], [False]),
        "bits as they are": ([EVEN] * 64, [rng.random() < 0.5 for _ in range(64)]),
        "all true": ([EVEN] * 40, [True] * 40),
        "all false": ([EVEN] * 40, [False] * 40),
        "true at 1": ([1] * 20, [True] * 20),
        "false at 1": ([1] * 2000, [False] * 2000),
        "true at 65535": ([65535] * 2000, [True] * 2000),
        "false at 65535": ([65535] * 20, [False] * 20),
        "extremes in turn": ([1, 65535] * 30, [bool(i % 3 == 0) for i in range(60)]),
        "as probable": (any_probability, likely),
        "against the odds": (any_probability[:120], [not bit for bit in likely[:120]]),
        "long": ([rng.choice((200, 9000, 60000)) for _ in range(3000)], []),
        "carry through seven bytes": _carrying(7),
        "carry in the last bytes": _carrying_at_the_end(7),
        "carry that never comes": _not_carrying(7),
    }
    probabilities, _ = decisions["long"]
    decisions["long"] = (
        probabilities,
        [probability > rng.randrange(65536) for probability in probabilities],
    )
    return [
        _range_coded(name, probabilities, bits) for name, (probabilities, bits) in decisions.items()
    ]


def _straddling(pending: int, seed: int = 0) -> tuple[list[int], list[bool], int, int]:
    """Decisions that keep the number 1/2 inside the interval until ``pending`` bytes depend on it.

    Returns them, the distance from the low end of the interval to 1/2, and the interval's width.
    """
    rng = random.Random(seed)
    low, width, digits = 0, 1 << 32, 4
    probabilities: list[int] = []
    bits: list[bool] = []
    while digits < 4 + pending + 1:
        probability = rng.randrange(20000, 45000)
        boundary = low + (width * probability >> 16)
        if boundary == 256**digits // 2:
            continue
        probabilities.append(probability)
        bits.append(boundary > 256**digits // 2)
        low, width = (low, boundary - low) if bits[-1] else (boundary, low + width - boundary)
        while width < 1 << 24:
            low, width, digits = low * 256, width * 256, digits + 1
    return probabilities, bits, 256**digits // 2 - low, width


def _carrying(pending: int) -> tuple[list[int], list[bool]]:
    """The last decision selects the part of the interval that begins just above 1/2."""
    probabilities, bits, below_half, width = _straddling(pending)
    return [*probabilities, -(-((below_half + 1) << 16) // width)], [*bits, False]


def _not_carrying(pending: int) -> tuple[list[int], list[bool]]:
    """The last decision selects the part of the interval that ends just below 1/2."""
    probabilities, bits, below_half, width = _straddling(pending)
    return [*probabilities, (below_half << 16) // width], [*bits, True]


def _carrying_at_the_end(pending: int) -> tuple[list[int], list[bool]]:
    """No decision determines it: the shortest end of the stream is 1/2 itself."""
    return next(
        (probabilities, bits)
        for probabilities, bits, below_half, width in (
            _straddling(pending, seed) for seed in range(999)
        )
        if 0 < below_half < 1 << 24 and below_half + (1 << 24) <= width
    )


def _range_coded(name: str, probabilities: Sequence[int], bits: Sequence[bool]) -> Vector:
    coder = RangeEncoder()
    for bit, probability in zip(bits, probabilities, strict=True):
        coder.encode(bit, probability)
    data = coder.finish()
    return {
        "name": name,
        "probabilities": list(probabilities),
        "bits": "".join("01"[bit] for bit in bits),
        "hex": data.hex(),
        "known": [_decodable(data[:n], probabilities) for n in range(len(data) + 1)],
    }


def _decodable(data: bytes, probabilities: Sequence[int]) -> int:
    coder = RangeDecoder(data)
    for count, probability in enumerate(probabilities):
        if coder.decode(probability) is None:
            return count
    return len(probabilities)


def _tiny_tables(rng: np.random.Generator, iterations: int) -> dict[str, NDArray[Any]]:
    odds = (np.arange(2048) - 1023.5) / 160
    return {
        "w1": rng.integers(-25, 26, (iterations, 3, 2, 9, 4)).astype(np.int8),
        "b1": rng.integers(-20, 90, (iterations, 4, 4)).astype(np.int16),
        "w2": rng.integers(-60, 61, (iterations, 4, 4)).astype(np.int8),
        "b2": rng.integers(-900, 900, (iterations, 4)).astype(np.int32),
        "probability": np.clip(np.rint(65536 / (1 + np.exp(-odds))), 1, 65535).astype(np.uint16),
    }


def context_model_vectors() -> Vector:
    """A tiny model and code arrays on several grids."""
    rng = np.random.default_rng(31)
    tables = _tiny_tables(rng, 2)
    model = ContextModel(tables)
    vectors = []
    for rows, columns in ((1, 1), (1, 5), (4, 4), (3, 7)):
        grid = Grid(rows, columns)
        for name, codes in _code_arrays(model, grid, rng).items():
            vector = _coded(f"{name}, {rows} x {columns}", codes, model, grid)
            vectors.append({**vector, "probabilities": _probabilities(codes, model, grid)})
    return {"tables": {k: v.tolist() for k, v in tables.items()}, "vectors": vectors}


def stops_vectors() -> Vector:
    """A tiny model with early stops, in several patterns."""
    rng = np.random.default_rng(8)
    tables = _tiny_tables(rng, 4)
    model = ContextModel(tables)
    vectors = []
    for rows, columns in ((1, 1), (1, 5), (4, 4), (3, 7)):
        grid = Grid(rows, columns)
        for name, ends in _stop_patterns(model, grid, rng).items():
            codes = _sampled(model, grid, rng)
            vectors.append(
                _coded(
                    f"{name}, {rows} x {columns}", _stopped(codes, ends), model, grid, stops=True
                )
            )
    return {"tables": {k: v.tolist() for k, v in tables.items()}, "vectors": vectors}


def _stop_patterns(
    model: ContextModel, grid: Grid, rng: np.random.Generator
) -> dict[str, NDArray[np.intp]]:
    """Number of iterations of every cell ``(rows, columns)``, at least 1."""
    row, column = np.indices((grid.rows, grid.columns))
    last = model.iterations
    return {
        "no stops": np.full((grid.rows, grid.columns), last),
        "all at once": np.full((grid.rows, grid.columns), min(2, last)),
        "any": rng.integers(1, last + 1, (grid.rows, grid.columns)),
        "right half": np.where(2 * column < grid.columns, last, 1),
        "a row at a time": np.minimum(row + 1, last),
    }


def _stopped(codes: NDArray[np.float32], ends: NDArray[np.intp]) -> NDArray[np.float32]:
    """``codes``, 0 in stopped cells, up to the first iteration without active cells."""
    active = np.arange(len(codes))[:, None, None] < ends
    iterations = int(active.any((1, 2)).sum())
    return np.where(active[:, None], codes, np.float32(0))[: iterations + 1]


def model_vectors(model_id: str) -> Vector:
    """Complete streams of codes or symbols for the tables of a published model."""
    artifact = open_artifact(ZOO / model_id)
    if artifact.family == "lapped":
        return lapped_vectors.model_vectors(artifact)
    layout = IterativeParams.from_artifact(artifact)
    model = ContextModel(artifact.arrays("entropy.npz"))
    rng = np.random.default_rng(1511)
    vectors = []
    shapes = ((32, 32), (32, 24), (21, 32), (32, 1), (8, 8), (1, 8), (40, 24), (3, 256), (48, 48))
    for width, height in shapes:
        header = write_header(artifact.bitstream_id, width, height)
        grid = cell_grid(height, width, artifact.stride)
        arrays = _code_arrays(model, grid, rng)
        names = list(arrays) if (width, height) == (32, 32) else ["probable"]
        if layout.cell_stops:
            for name, ends in _stop_patterns(model, grid, rng).items():
                arrays[f"stops: {name}"] = _stopped(arrays["probable"], ends)
            names += [name for name in arrays if name.startswith("stops: ")]
        for name in names:
            title = f"{name}, {width} x {height}"
            vector = _coded(title, arrays[name], model, grid, stops=layout.cell_stops)
            stream = header + bytes.fromhex(vector["hex"])
            known = [0] * len(header) + vector["known"]
            vectors.append(
                {
                    "name": vector["name"],
                    "width": width,
                    "height": height,
                    "codes": vector["codes"],
                    "hex": stream.hex(),
                    "known": known,
                }
            )
    return {
        "model": artifact.model_id,
        "bitstream_id": artifact.bitstream_id,
        "tables_sha256": artifact.manifest["files"]["entropy.npz"]["sha256"],
        "vectors": vectors,
    }


def _code_arrays(
    model: ContextModel, grid: Grid, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Arrays ``(iterations, planes, rows, columns)``: sampled from the model, random, patterns."""
    shape = (model.iterations, model.planes, grid.rows, grid.columns)
    squares = np.indices(shape).sum(0) % 2
    return {
        "probable": _sampled(model, grid, rng),
        "random": rng.choice(np.array([-1, 1], np.float32), shape),
        "all -1": np.full(shape, -1, np.float32),
        "all +1": np.ones(shape, np.float32),
        "squares": (2 * squares - 1).astype(np.float32),
    }


def _sampled(model: ContextModel, grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    codes = np.empty((model.iterations, model.planes, grid.cells), np.float32)
    context = Context(model, grid)
    for t in range(model.iterations):
        context.next_iteration()
        for plane in range(model.planes):
            for half, cells in enumerate(half_planes(grid)):
                probability = context.probabilities(plane, half)
                sampled = np.where(rng.integers(0, 65536, len(cells)) < probability, 1, -1)
                codes[t, plane, cells] = sampled
                context.update(plane, half, sampled.astype(np.float32))
    return codes.reshape(*codes.shape[:2], grid.rows, grid.columns)


def _coded(
    name: str,
    codes: NDArray[np.float32],
    model: ContextModel,
    grid: Grid,
    *,
    stops: bool = False,
) -> Vector:
    writer = CodeEncoder(model, grid, stops=stops)
    for iteration in codes:
        writer.write(iteration, iteration[0] != 0)
    data = writer.finish()
    return {
        "name": name,
        "rows": grid.rows,
        "columns": grid.columns,
        "codes": [
            ["".join("0.1"[int(code) + 1] for code in plane.flat) for plane in iteration]
            for iteration in codes
        ],
        "hex": data.hex(),
        "known": [
            decode_codes(data[:n], model, grid, stops=stops).decoded_count
            for n in range(len(data) + 1)
        ],
    }


def _probabilities(codes: NDArray[np.float32], model: ContextModel, grid: Grid) -> list[int]:
    context = Context(model, grid)
    probabilities: list[int] = []
    for iteration in codes:
        context.next_iteration()
        for plane in range(model.planes):
            for half, cells in enumerate(half_planes(grid)):
                probabilities += context.probabilities(plane, half).tolist()
                context.update(plane, half, iteration[plane].reshape(-1)[cells])
    return probabilities


def to_text(content: Any, depth: int = 0) -> str:
    """JSON with one line per vector, so that a diff shows which one changed."""
    pad = " " * depth
    if isinstance(content, dict) and depth == 0:
        items = (f"{pad} {json.dumps(k)}: {to_text(v, depth + 1)}" for k, v in content.items())
        return "{\n" + ",\n".join(items) + "\n}"
    if isinstance(content, list | dict) and depth <= 1 and content:
        if isinstance(content, dict):
            items = (f"{pad} {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
            return "{\n" + ",\n".join(items) + f"\n{pad}}}"
        return "[\n" + ",\n".join(f"{pad} {json.dumps(v)}" for v in content) + f"\n{pad}]"
    return json.dumps(content)


def write(path: Path, content: Any, *, overwrite: bool) -> str:
    """Write one file; returns what was done. `FileExistsError` if it would change."""
    text = to_text(content) + "\n"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before == text:
        return "unchanged"
    if before is not None and not overwrite:
        raise FileExistsError(f"{path.name} would change; use --overwrite to allow it")
    path.write_text(text, encoding="utf-8")
    return "written" if before is None else "overwritten"


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Make every file; returns 1 if one would have changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--overwrite", action="store_true", help="change files that exist")
    parser.add_argument("--model", action="append", help="only the vectors of this published model")
    args = parser.parse_args(arguments)
    makers = {
        model_id: lambda m=model_id: model_vectors(m) for model_id in installed_models().installed
    }
    if args.model:
        makers = {model_id: makers[model_id] for model_id in args.model}
    else:
        makers["header"] = header_vectors
        makers["rangecoder"] = range_coder_vectors
        makers["context-model"] = context_model_vectors
        makers["stops"] = stops_vectors
        makers["lapped"] = lapped_vectors.small_vectors
    status = 0
    for name, make in makers.items():
        path = folder / f"{name}.json"
        try:
            print(f"{path.name}: {write(path, make(), overwrite=args.overwrite)}")
        except FileExistsError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
