"""Calls the compiled symbol coding of the lapped family (``native/lapped.c``).

`encode` and `decode` do what the loops over steps in `thumbstream.codec.lapped.symbols` do, with
the same results; a test compares them.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec import native
from thumbstream.codec.lapped import adaptation, probabilities
from thumbstream.codec.lapped.linear import integer_cosines
from thumbstream.codec.lapped.look import LookContext
from thumbstream.codec.lapped.params import ContextTables
from thumbstream.codec.lapped.planes import MAGNITUDES, Layout
from thumbstream.codec.lapped.probabilities import Integers
from thumbstream.codec.range_coder import Probabilities, RangeDecoder, RangeEncoder

_SHORT = frozenset({"w1", "m", "heads", "predictor"})
"""Tables of 16 bits; all others have 32."""


class Coded(NamedTuple):
    """Symbols in coding order, and the number of symbols up to and including each step."""

    order: NDArray[np.int64]
    """Index into flattened states ``(layers, channels, cells)`` of each symbol."""
    first: Probabilities
    second: Probabilities
    ends: NDArray[np.int64]

    def part(self, symbols: int, steps: int) -> Coded:
        """Return the first ``symbols`` symbols, and the ends of the first ``steps`` steps."""
        order, first, second, ends = self
        return Coded(order[:symbols], first[:symbols], second[:symbols], ends[:steps])


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """Tables of a model for one grid, as the compiled loops read them. Thread-safe."""

    sizes: dict[str, int]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, tables: ContextTables, layout: Layout, look: LookContext) -> CompiledModel:
        """Convert the tables of a model and the layout of a grid."""
        params, grid = layout.params, layout.grid
        hidden, second = tables.m.shape
        steps = layout.steps
        arrays: dict[str, NDArray[Any]] = {
            # Pairs of features, units, features of a pair.
            "w1": tables.w1.reshape(-1, 2, hidden).swapaxes(1, 2),
            "m": tables.m.T,
            "heads": np.concatenate([tables.w2, tables.w3], -1),
            "predictor": tables.predictor.T,
            **{name: getattr(tables, name) for name in ("b1", "b1_plane", "bm", "b2", "b2_plane")},
            "own": tables.own,
            "shifts": tables.shifts,
            "base": look.base,
            "slope": look.tables.slope,
            "activity": look.tables.activity,
            "low": look.low,
            "row_cosines": integer_cosines(grid.rows),
            "column_cosines": integer_cosines(grid.columns),
            "classes": layout.classes,
            **{
                f"step_{name}": np.array([getattr(step, name) for step in steps])
                for name in ("plane", "group", "parity")
            },
            "step_begin": np.cumsum([0, *(len(step.latents) for step in steps)]),
            "latents": np.concatenate([step.latents for step in steps]),
            "significant": probabilities.SIGNIFICANT,
            "positive": probabilities.POSITIVE,
            "upper": probabilities.UPPER,
            "logistic": probabilities.LOGISTIC,
            "magnitudes": MAGNITUDES,
        }
        for name, taps in (("value", look.values), ("magnitude", look.magnitudes)):
            arrays |= {
                f"{name}_begin": taps.first,
                f"{name}_source": taps.source,
                f"{name}_weight": taps.weight,
            }
        return cls(
            {
                "rows": grid.rows,
                "columns": grid.columns,
                "channels": params.channels,
                "first": params.first,
                "planes": params.planes,
                "look": params.look,
                "groups": len(params.groups),
                "hidden": hidden,
                "second": second,
                "steps": len(steps),
                "low_count": len(look.low),
            },
            {
                name: np.ascontiguousarray(table, np.int16 if name in _SHORT else np.int32)
                for name, table in arrays.items()
            },
        )

    def encode(
        self, loops: ctypes.CDLL, coder: RangeEncoder, q: Integers, max_bytes: int | None
    ) -> Coded:
        """Encode the last states ``q`` to ``coder``, which has not written a byte."""
        count = len(q) * len(self.arrays["latents"])
        coded = _empty(count, self.sizes["steps"])
        out, checkpoints = np.empty(4 * count + 4, np.uint8), np.empty((count, 4), np.int64)
        state, checkpoint_count = coder.compiled_state(), ctypes.c_int64()
        last = np.ascontiguousarray(q, np.int32)
        work = _Work(self, np.zeros_like(last))
        steps: int = loops.encode_lapped(
            work.tables,
            native.address(last),
            state,
            native.address(out),
            len(out) if max_bytes is None else min(max_bytes, len(out)),  # fits 64 bits
            native.address(coded.order),
            native.address(coded.first),
            native.address(coded.second),
            native.address(coded.ends),
            native.address(checkpoints),
            checkpoint_count,
        )
        coded = coded.part(int(coded.ends[steps - 1]), steps)
        found = checkpoints[: checkpoint_count.value].tolist()
        coder.advance(state, out[: state.written].tobytes(), len(coded.order), found)
        return coded

    def decode(
        self, loops: ctypes.CDLL, coder: RangeDecoder, q: Integers, data: bytes
    ) -> tuple[Coded, Integers]:
        """Refine the states ``q``, which are 0, with what ``coder`` has not read of its ``data``.

        Returns the known symbols and their digits.
        """
        count = len(q) * len(self.arrays["latents"])
        coded, digits = _empty(count, self.sizes["steps"]), np.empty(count, np.int32)
        steps, work = ctypes.c_int64(), _Work(self, q)
        known: int = loops.decode_lapped(
            work.tables,
            coder.compiled_state(),
            data,
            len(data),
            native.address(coded.order),
            native.address(coded.first),
            native.address(coded.second),
            native.address(digits),
            native.address(coded.ends),
            steps,
        )
        return coded.part(known, steps.value), digits[:known]


class _Work:
    """Tables of one call: those of the model, and memory to work in, which this object holds."""

    def __init__(self, model: CompiledModel, q: Integers) -> None:
        """``q`` ``(layers, channels, cells)``, contiguous: the states to refine."""
        sizes, layers = model.sizes, len(q)
        cells, channels = sizes["rows"] * sizes["columns"], sizes["channels"]
        longest = int(np.diff(model.arrays["step_begin"]).max())
        first, kinds = sizes["first"], adaptation.KINDS
        memory: dict[str, NDArray[Any]] = {
            "q": q,
            "x": np.empty(2 * first * cells, np.int32),
            "units": np.empty(first + sizes["hidden"] + sizes["second"], np.int32),
            "seen": np.empty((layers, cells, 4 * channels), np.int16),
            "values": np.empty((layers, cells, 2 * channels), np.int16),
            "before": np.empty((cells, 4), np.int16),
            "sums": np.empty((layers, cells, sizes["hidden"]), np.int32),
            "transform": np.empty(cells, np.int64),
            "keys": np.empty(longest, np.uint64),
            "scratch": np.empty(longest, np.uint64),
            "step_first": np.empty(longest, np.int32),
            "step_second": np.empty(longest, np.int32),
            "factors": np.full((layers, kinds), adaptation.UNIT_FACTOR, np.int64),
            "offsets": np.zeros((layers, kinds, sizes["groups"]), np.int64),
        }
        self._arrays = model.arrays | memory
        addresses = {name: native.address(array) for name, array in self._arrays.items()}
        self.tables = native.LappedTables(layers=layers, **sizes, **addresses)


def _empty(symbols: int, steps: int) -> Coded:
    return Coded(
        np.empty(symbols, np.int64),
        np.empty(symbols, np.uint16),
        np.empty(symbols, np.uint16),
        np.empty(steps, np.int64),
    )
