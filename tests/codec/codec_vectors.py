"""Reads the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import reference_embedded
from codec_embedded import TYPES
from numpy.typing import NDArray

from thumbstream.codec.embedded.context import EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import EmbeddedQuantizer

FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def codes_of(planes: list[list[str]], rows: int, columns: int) -> NDArray[np.float32]:
    """``(iterations, planes, rows, columns)`` of -1 and +1, and 0 in stopped cells."""
    codes = [[["0.1".index(c) - 1 for c in text] for text in row] for row in planes]
    return np.array(codes, np.float32).reshape(len(planes), -1, rows, columns)


def states_of(layers: list[list[list[int]]]) -> NDArray[np.int32]:
    """``(layers, channels, cells)``: final states of the embedded family."""
    return np.array(layers, np.int32)


def embedded_model(golden: dict[str, Any]) -> EmbeddedContextModel:
    """The small model in a file of vectors."""
    layout = {k: tuple(v) if isinstance(v, list) else v for k, v in golden["layout"].items()}
    tables = {name: np.array(golden["tables"][name], dtype) for name, dtype in TYPES.items()}
    return EmbeddedContextModel(tables, EmbeddedQuantizer(EmbeddedParams(**layout)))


def embedded_reference(golden: dict[str, Any]) -> reference_embedded.Model:
    """The same for the reference implementation."""
    layout = golden["layout"]
    return reference_embedded.Model(
        golden["tables"], layout["groups"], layout["starts"], layout["planes"]
    )
