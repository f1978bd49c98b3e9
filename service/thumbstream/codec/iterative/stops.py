"""Stops: cells that get no further codes, in systems whose cells are independent of each other.

Before every iteration but the first, one decision says whether some cells stop here, and if so one
decision for each cell that is still active says whether it does. Cells stop in clusters, so its
chance follows from the neighbours. Normative text: docs/bitstream.md, "Stops".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.iterative.codes import Grid

SOME_STOP = 1 << 12
"""Chance, of 2^16, that some cells stop before an iteration: where none do, it costs 0.09 bits."""
CELL_STOPS = 1 << 14
"""Chance, of 2^16, that a cell stops, times one more than the neighbours that have stopped."""

Active: TypeAlias = NDArray[np.bool_]
"""``(cells,)``: which cells still get codes."""
Decide: TypeAlias = Callable[[int, int | None], bool | None]
"""Decides by a chance about a cell (None: about all); None when the data have ended."""


def code_stops(active: Active, grid: Grid, decide: Decide) -> bool:
    """Make the decisions before an iteration, on either side; ``active`` changes in place.

    Returns False when the data ended on the way.
    """
    some = decide(SOME_STOP, None)
    if not some:
        return some is not None
    for cell in np.flatnonzero(active).tolist():
        stops = decide(CELL_STOPS * (1 + _stopped_before(active, grid, cell)), cell)
        if stops is None:
            return False
        active[cell] = not stops
    return True


def _stopped_before(active: Active, grid: Grid, cell: int) -> int:
    """How many of the left and the upper neighbour have stopped; outside the grid none has."""
    left = cell % grid.columns > 0 and not active[cell - 1]
    above = cell >= grid.columns and not active[cell - grid.columns]
    return int(left) + int(above)
