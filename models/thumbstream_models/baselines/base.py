"""What a codec must offer to be measured: every useful way of coding one picture.

A codec yields `Coding`s, each with the bytes it is charged for. The measurement (`measure`) picks
from them what fits a budget, so a codec need not know more of budgets than the largest one.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Setting: TypeAlias = dict[str, Any]

_OVERSHOOT = 1.5


@dataclass(frozen=True, slots=True)
class Coding:
    """One way of coding one picture."""

    payload: int
    """Bytes charged against the budget; which ones is said by `Codec.counted`."""
    whole: int
    """Bytes of the whole file."""
    pixels: NDArray[np.uint8]
    """What a decoder makes of it, ``(H, W, 3)`` RGB."""
    codes: int = 0
    """Binary codes that the payload determines, for codecs that are made of them."""


class Codec(Protocol):
    """A codec under measurement; picklable, because it is sent to worker processes."""

    @property
    def name(self) -> str:
        """Key in results, as in ``jpeg2000``."""

    @property
    def title(self) -> str:
        """Name in tables, as in ``JPEG 2000``."""

    @property
    def counted(self) -> str:
        """One sentence: the settings searched and the bytes charged."""

    @property
    def progressive(self) -> bool:
        """True if a budget is spent on the longest prefix that fits, not on the best coding."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Code ``pixels`` ``(H, W, 3)``; what no budget allows may be left out."""


class PillowCodec(ABC):
    """A still-picture format that Pillow writes and reads: settings tried one after the other.

    Settings come in series of growing quality. A series ends once a payload is `_OVERSHOOT` times
    the largest budget: what follows does not fit either.
    """

    name: str
    title: str
    counted: str
    progressive = False
    format: str

    @abstractmethod
    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """Keyword arguments of `PIL.Image.Image.save`, by growing quality, in several series."""

    @abstractmethod
    def payload(self, data: bytes, setting: Setting) -> int:
        """Bytes of the file ``data`` that are charged."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Yield every distinct file whose payload fits the largest budget."""
        limit = max(budgets)
        picture = Image.fromarray(pixels)
        seen: set[bytes] = set()
        for series in self.series(pixels, limit):
            for setting in series:
                buffer = io.BytesIO()
                picture.save(buffer, self.format, **setting)
                data = buffer.getvalue()
                payload = self.payload(data, setting)
                if payload > _OVERSHOOT * limit:
                    break
                if payload <= limit and data not in seen:
                    seen.add(data)
                    with Image.open(io.BytesIO(data)) as decoded:
                        yield Coding(payload, len(data), np.asarray(decoded.convert("RGB")))
