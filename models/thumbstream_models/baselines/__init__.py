"""Codecs that thumbstream is measured against, one small module each.

To add one: write a module with a class that satisfies `base.Codec`, and name it in `BASELINES`.
"""

from __future__ import annotations

from thumbstream_models.baselines.avif import Avif
from thumbstream_models.baselines.base import Codec, Coding
from thumbstream_models.baselines.jpeg import Jpeg
from thumbstream_models.baselines.jpeg2000 import Jpeg2000
from thumbstream_models.baselines.thumbhash import ThumbHash
from thumbstream_models.baselines.webp import WebP

__all__ = ["BASELINES", "Codec", "Coding"]

BASELINES: dict[str, Codec] = {
    codec.name: codec for codec in (Jpeg(), Jpeg2000(), WebP(), Avif(), ThumbHash())
}
"""By name, in the order of the tables."""
