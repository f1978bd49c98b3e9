"""A contact sheet to look at: for each picture the original, and codecs beside budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from thumbstream_models.evaluate import metrics
from thumbstream_models.evaluate.baselines import Codec, Coding
from thumbstream_models.evaluate.measure import merits

BUDGETS = (16, 24, 32, 64, 128, 256)
CELL = 128
"""Pixels of the long side of a drawn thumbnail."""
_GAP = 8
_LINE = 18
_LEFT = 56
_FONT = 14
_DIM = "#888888"


def draw(pictures: Sequence[NDArray[np.uint8]], codecs: Sequence[Codec]) -> Image.Image:
    """For each picture a row for each budget; a column for the original and one for each codec.

    Shows the best coding by SSIM (the longest prefix, of codecs that progress) with its SSIM and
    its bytes: of a codec that progresses the whole stream is held against the budget, of others
    the payload. A dash stands where nothing fits.
    """
    font = ImageFont.load_default(_FONT)
    down, across = CELL + _LINE + _GAP, CELL + _GAP
    block = len(BUDGETS) * down + _GAP
    size = (_LEFT + (1 + len(codecs)) * across, 2 * _LINE + len(pictures) * block)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, title in enumerate(["original", *(codec.title for codec in codecs)]):
        pen.text((_LEFT + i * across, _GAP), title, fill="black", font=font)
    for row, pixels in enumerate(pictures):
        top = 2 * _LINE + row * block
        sheet.paste(_enlarged(pixels), (_LEFT, top))
        for j, budget in enumerate(BUDGETS):
            pen.text((4, top + j * down + CELL // 2), f"{budget} B", fill="black", font=font)
        for i, codec in enumerate(codecs, 1):
            for j, (decoded, said) in enumerate(_best(codec, pixels)):
                place = (_LEFT + i * across, top + j * down)
                if decoded is not None:
                    sheet.paste(_enlarged(decoded), place)
                pen.text((place[0], place[1] + CELL), said, fill=_DIM, font=font)
    return sheet


def _best(codec: Codec, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.uint8] | None, str]]:
    """At each budget the picture, and what to say of it."""
    codings = list(codec.codings(pixels, BUDGETS))
    merit = merits(codec, pixels, codings)

    def spent(coding: Coding) -> int:
        return coding.whole if codec.progressive else coding.payload

    out: list[tuple[NDArray[np.uint8] | None, str]] = []
    for budget in BUDGETS:
        fitting = [i for i, coding in enumerate(codings) if spent(coding) <= budget]
        if fitting:
            best = codings[max(fitting, key=merit.__getitem__)]
            out.append(
                (best.pixels, f"{float(metrics.ssim(pixels, best.pixels)):.3f}, {spent(best)} B")
            )
        else:
            out.append((None, "-"))
    return out


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = max(1, CELL // max(height, width))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    larger = image.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    larger.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return larger
