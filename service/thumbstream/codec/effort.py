"""How much work an encoder does for a picture."""

from __future__ import annotations

from enum import StrEnum


class Effort(StrEnum):
    """Levels of an encoder's work; a decoder does not know them."""

    FAST = "fast"
    """Without a network, if the model can be encoded without one."""
    DEFAULT = "default"
    BEST = "best"
    """Several times the work, for the same quality with fewer bytes, if the model can do that."""
