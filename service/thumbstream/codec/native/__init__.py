"""Loads the compiled inner loops of the codec, if there are any for this machine.

`LOOPS` is the library, or None: then the Python twins of its functions run, which give the same
bytes, several times slower. The library calls no other library, so one file for each processor
architecture runs with every libc and every version of Python (docs/adr/0022). ``loops.c`` is the
source, and ``build.sh`` compiles it.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INT = ctypes.c_int64
_POINTER = ctypes.c_void_p


class EncoderState(ctypes.Structure):
    """``Encoder`` of loops.c."""

    _fields_ = (("low", ctypes.c_uint64), ("range", ctypes.c_uint64), ("written", _INT))


class DecoderState(ctypes.Structure):
    """``Decoder`` of loops.c."""

    _fields_ = (
        ("code", ctypes.c_uint64),
        ("range", ctypes.c_uint64),
        ("position", _INT),
        ("missing", _INT),
    )


_SIZES = (
    *("layers", "rows", "columns", "channels", "first", "planes", "look", "groups", "hidden"),
    *("second", "steps"),
)
_FIRST_TABLES = (
    *("w1", "m", "heads", "predictor", "b1", "b1_plane", "bm", "b2", "b2_plane", "own", "shifts"),
    *("base", "slope", "activity", "low"),
)
_TAPS_AND_STEPS = (
    *("value_begin", "value_source", "value_weight"),
    *("magnitude_begin", "magnitude_source", "magnitude_weight", "row_cosines", "column_cosines"),
    *("classes", "step_plane", "step_group", "step_parity", "step_begin", "latents"),
    *("significant", "positive", "upper", "logistic", "magnitudes"),
)
_MEMORY = (
    *("q", "x", "units", "seen", "values", "before", "sums", "transform", "keys", "scratch"),
    *("step_first", "step_second", "factors", "offsets"),
)


class LappedTables(ctypes.Structure):
    """``Tables`` of lapped.c: sizes, then addresses of tables and of memory to work in."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _FIRST_TABLES),
        ("low_count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in (*_TAPS_AND_STEPS, *_MEMORY)),
    )


_TABLES = ctypes.POINTER(LappedTables)
_ARGUMENTS: dict[str, list[Any]] = {
    "encode_ternary": [
        ctypes.POINTER(EncoderState), _POINTER, _POINTER, _POINTER, _POINTER, _INT, _INT, _POINTER,
    ],
    "decode_ternary": [
        ctypes.POINTER(DecoderState), ctypes.c_char_p, _INT, _POINTER, _POINTER, _INT, _POINTER,
    ],
    "encode_lapped": [
        _TABLES, _POINTER, ctypes.POINTER(EncoderState), _POINTER, _INT, *[_POINTER] * 5,
        ctypes.POINTER(_INT),
    ],
    "decode_lapped": [
        _TABLES, ctypes.POINTER(DecoderState), ctypes.c_char_p, _INT, *[_POINTER] * 5,
        ctypes.POINTER(_INT),
    ],
}  # fmt: skip


def load() -> ctypes.CDLL | None:
    """Load the library for this machine; None if there is none or the system does not load it."""
    path = Path(__file__).with_name(f"loops-{sys.platform}-{platform.machine()}.so")
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # another system, or one that forbids executable pages in this folder
        return None
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, _INT
    return library


def address(array: NDArray[np.generic]) -> int:
    """Return the address of the first element of ``array``, which must be contiguous."""
    first: int = array.__array_interface__["data"][0]
    return first


LOOPS = load()
"""The library, or None."""
