"""The list of published results: which pictures, on which grid, by which codecs.

A TOML file with one table ``[[result]]`` each, whose keys are the fields of `Benchmark`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from thumbstream_models.evaluate.pictures import GRIDS

DEFAULT_CODECS = ("thumbstream", "baselines")
FAST = 48
"""Pictures of a fast run: about a minute on two cores for one grid and one model."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One measurement: a set of pictures on a grid."""

    name: str
    """Name of the JSON file without its suffix."""
    sources: tuple[str, ...]
    """Folders, tars or .npz files of pictures, relative to a folder given on the command line."""
    size: int = 32
    """Pixels of the long side."""
    grid: str = "crop"
    limit: int | None = None
    """Measure this many pictures, evenly spread; None: all."""
    codecs: tuple[str, ...] = DEFAULT_CODECS


def read(path: Path) -> list[Benchmark]:
    """The benchmarks of a TOML file; raises `ValueError` for unknown keys and grids."""
    suite = []
    known = {field.name for field in fields(Benchmark)}
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("result", []):
        if unknown := set(table) - known:
            raise ValueError(f"{path}: unknown keys {', '.join(sorted(unknown))}")
        if not {"name", "sources"} <= set(table):
            raise ValueError(f"{path}: a result needs a name and sources")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        benchmark = Benchmark(**values)
        if benchmark.grid not in GRIDS:
            raise ValueError(f"{path}: {benchmark.name}: unknown grid {benchmark.grid!r}")
        suite.append(benchmark)
    if len({benchmark.name for benchmark in suite}) < len(suite) or not suite:
        raise ValueError(f"{path}: expected one or more results with different names")
    return suite


def limited(benchmark: Benchmark, limit: int) -> Benchmark:
    """The same benchmark on at most ``limit`` pictures."""
    lower = limit if benchmark.limit is None else min(limit, benchmark.limit)
    return replace(benchmark, limit=lower)
