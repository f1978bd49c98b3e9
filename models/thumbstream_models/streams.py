"""thumbstream itself as a codec under measurement: real streams, really cut, really decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbstream import zoo
from thumbstream_models.baselines import Coding


@dataclass(frozen=True, slots=True)
class Thumbstream:
    """Prefixes of one stream per picture, by a published model."""

    model: str | None = None
    """Model id; None for the default."""
    device: str = "auto"
    name: str = "thumbstream"
    title: str = "thumbstream"
    counted: str = (
        "One stream for each picture; at each budget the prefix of that length. Charged: every "
        "byte, the header included."
    )
    progressive: bool = True

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """The prefix at every budget, up to the first that holds the whole stream."""
        codec = zoo.load(self.model, device=self.device)
        stream = codec.encode(pixels)
        for budget in sorted(budgets):
            prefix = stream[:budget]
            known = codec.read_codes(prefix).known
            yield Coding(len(prefix), len(prefix), codec.decode(prefix), known)
            if budget >= len(stream):
                return
