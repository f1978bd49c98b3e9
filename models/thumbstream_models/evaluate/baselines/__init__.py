"""Codecs that thumbstream is measured against, one small module each.

To add one, write a module with a class that satisfies `base.Codec` and add it to `BASELINES`.
"""

from __future__ import annotations

from thumbstream_models.evaluate.baselines.avif import Avif
from thumbstream_models.evaluate.baselines.base import Codec, Coding
from thumbstream_models.evaluate.baselines.blurhash import BlurHash
from thumbstream_models.evaluate.baselines.jpeg import Jpeg
from thumbstream_models.evaluate.baselines.jpeg2000 import Jpeg2000
from thumbstream_models.evaluate.baselines.jpegxl import JpegXl
from thumbstream_models.evaluate.baselines.thumbhash import ThumbHash
from thumbstream_models.evaluate.baselines.webp import WebP

__all__ = ["BASELINES", "CLASSICAL", "Codec", "Coding"]

_CLASSICAL: tuple[Codec, ...] = (Jpeg(), Jpeg2000(), WebP(), Avif(), JpegXl())
_HASHES: tuple[Codec, ...] = (BlurHash(), ThumbHash())

BASELINES: dict[str, Codec] = {codec.name: codec for codec in (*_CLASSICAL, *_HASHES)}
"""By name, in the order of the tables."""
CLASSICAL = tuple(codec.name for codec in _CLASSICAL)
"""Picture formats with a quality setting, of which the best is taken for each picture."""
