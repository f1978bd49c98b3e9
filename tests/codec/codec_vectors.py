"""Reads the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def codes_of(planes: list[list[str]], rows: int, columns: int) -> NDArray[np.float32]:
    """``(iterations, planes, rows, columns)`` of -1 and +1, and 0 in stopped cells."""
    codes = [[["0.1".index(c) - 1 for c in text] for text in row] for row in planes]
    return np.array(codes, np.float32).reshape(len(planes), -1, rows, columns)
