"""What the tables of every context model must keep, checked when they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.range_coder import PROBABILITY_BITS
from thumbstream.errors import ArtifactError

EXACT = 1 << 24
"""float32 holds every integer up to here: no sum of a context model may reach it."""
HIDDEN_MAX = 255
"""Hidden units are clipped to 0 .. 255."""
LOGIT_SHIFT = 3
"""A logit of the tables is 8 times an entry of the probability table."""
TABLE_SIZE = 2048
"""Entries of the probability table; the middle one stands for even odds."""


def checked(
    tables: Mapping[str, NDArray[np.generic]], types: Mapping[str, np.dtype[Any]]
) -> list[NDArray[np.int64]]:
    """The tables that ``types`` names, as int64; raises `ArtifactError` for those of other types.

    One of them, ``probability``, is also checked for its shape and range.
    """
    for name, dtype in types.items():
        if name not in tables:
            raise ArtifactError(f"the entropy tables lack {name!r}")
        if tables[name].dtype != dtype:
            raise ArtifactError(f"entropy table {name} is {tables[name].dtype}, not {dtype}")
    probability = tables["probability"]
    if probability.shape != (TABLE_SIZE,):
        raise wrong_shapes()
    if probability.min() < 1 or probability.max() >= 1 << PROBABILITY_BITS:
        raise ArtifactError("a probability of the entropy tables is zero or one")
    return [tables[name].astype(np.int64) for name in types]


def wrong_shapes() -> ArtifactError:
    """The error for tables that do not belong together."""
    return ArtifactError("the shapes of the entropy tables do not fit each other")


def check_sums(*largest: int) -> None:
    """Raise `ArtifactError` when the largest magnitude of some sum is not exact in float32."""
    if max(largest) >= EXACT:
        raise ArtifactError("the entropy tables allow sums that float32 does not hold exactly")
