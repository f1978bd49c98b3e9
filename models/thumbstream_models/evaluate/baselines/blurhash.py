"""BlurHash (https://blurha.sh): cosine coefficients in base 83, two characters each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
from blurhash_rs import blurhash_decode, blurhash_encode
from numpy.typing import NDArray
from PIL import Image

from thumbstream_models.evaluate.baselines.base import Coding, package_versions

MAX_COMPONENTS = 9
_SIZE_CHARACTERS = 1


class BlurHash:
    """BlurHash of every number of components, decoded at the size of the picture."""

    name = "blurhash"
    title = "BlurHash"
    counted = (
        "Best of all numbers of components, 1 to 9 each way. Payload: the characters, but for the "
        "one that says how many components there are."
    )
    kind = "baseline"
    progressive = False

    def versions(self) -> Mapping[str, str]:
        """The package that encodes and decodes."""
        return package_versions("blurhash-rs")

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Yield a coding for each number of components."""
        height, width = pixels.shape[:2]
        image = Image.fromarray(pixels)
        for across, down in product(range(1, MAX_COMPONENTS + 1), repeat=2):
            text = blurhash_encode(image, across, down)
            payload = len(text) - _SIZE_CHARACTERS
            if payload <= max(budgets):
                decoded = np.asarray(blurhash_decode(text, width, height))
                yield Coding(payload, len(text), decoded)
