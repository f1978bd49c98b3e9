"""The list of results that are published: which pictures, on which grid, by which codecs.

A TOML file with a table ``[[result]]`` for each, whose keys are the fields of `Run`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from thumbstream_models.evaluate.pictures import GRIDS

DEFAULT_CODECS = ("thumbstream", "baselines")
FAST = 48
"""Pictures of a fast run: a minute or so on two cores, for one grid and model."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: a set of pictures on a grid."""

    name: str
    """Of the JSON file, without its suffix."""
    sources: tuple[str, ...]
    """Folders, tars or .npz files of pictures, relative to a folder given on the command line."""
    size: int = 32
    """Pixels of the long side."""
    grid: str = "crop"
    limit: int | None = None
    """Measure this many pictures, evenly spread; None: all."""
    codecs: tuple[str, ...] = DEFAULT_CODECS


def read(path: Path) -> list[Run]:
    """The runs of a plan; raises `ValueError` for keys or grids that do not exist."""
    runs = []
    known = {field.name for field in fields(Run)}
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("result", []):
        if unknown := set(table) - known:
            raise ValueError(f"{path}: unknown keys {', '.join(sorted(unknown))}")
        if not {"name", "sources"} <= set(table):
            raise ValueError(f"{path}: a result needs a name and sources")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        run = Run(**values)
        if run.grid not in GRIDS:
            raise ValueError(f"{path}: {run.name}: unknown grid {run.grid!r}")
        runs.append(run)
    if len({run.name for run in runs}) < len(runs) or not runs:
        raise ValueError(f"{path}: wants results, each of a name of its own")
    return runs


def shortened(run: Run, limit: int) -> Run:
    """The same of at most ``limit`` pictures."""
    return replace(run, limit=limit if run.limit is None else min(limit, run.limit))
