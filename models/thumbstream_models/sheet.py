"""A contact sheet to look at: a row for each picture, groups of codecs for each budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from thumbstream_models import metrics
from thumbstream_models.baselines import Codec
from thumbstream_models.measure import mean_colour

BUDGETS = (16, 32, 64, 128)
_SCALE = 3
"""Enlargement of a thumbnail."""
_GAP = 6
_HEAD = 28


def draw(pictures: Sequence[NDArray[np.uint8]], codecs: Sequence[Codec]) -> Image.Image:
    """Original, then for each budget the best of each codec (its mean colour if none fits)."""
    side = max(max(p.shape[:2]) for p in pictures) * _SCALE
    columns = 1 + len(BUDGETS) * len(codecs)
    width = columns * (side + _GAP) + len(BUDGETS) * 2 * _GAP
    sheet = Image.new("RGB", (width, _HEAD + len(pictures) * (side + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((0, 0), "original", fill="black")
    for row, pixels in enumerate(pictures):
        top = _HEAD + row * (side + _GAP)
        sheet.paste(_enlarged(pixels), (0, top))
        for i, codec in enumerate(codecs):
            for j, (budget, best) in enumerate(zip(BUDGETS, _best(codec, pixels), strict=True)):
                left = (1 + j * len(codecs) + i) * (side + _GAP) + (j + 1) * 2 * _GAP
                sheet.paste(_enlarged(best), (left, top))
                if row == 0:
                    pen.text((left, 0), f"{codec.title}\n{budget} B", fill="black")
    return sheet


def _best(codec: Codec, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """At each budget the picture with the highest SSIM (the longest prefix, if progressive)."""
    codings = list(codec.codings(pixels, BUDGETS))
    merit = [
        coding.payload if codec.progressive else float(metrics.ssim(pixels, coding.pixels))
        for coding in codings
    ]
    out = []
    for budget in BUDGETS:
        fitting = [i for i, coding in enumerate(codings) if coding.payload <= budget]
        best = max(fitting, key=merit.__getitem__, default=None)
        out.append(mean_colour(pixels) if best is None else codings[best].pixels)
    return out


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    height, width = pixels.shape[:2]
    size = (width * _SCALE, height * _SCALE)
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC)
