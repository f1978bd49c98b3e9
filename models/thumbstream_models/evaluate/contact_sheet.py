"""A contact sheet: each picture next to what the codecs make of it at some budgets."""

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
"""Pixels of the long side of a thumbnail on the sheet."""
_GAP = 8
_LINE = 18
_LEFT = 56
_FONT = 14
_DIM = "#888888"


def render(pictures: Sequence[NDArray[np.uint8]], codecs: Sequence[Codec]) -> Image.Image:
    """Each picture has a row per budget, a column for the original and one per codec.

    A cell shows the best coding by SSIM (of a progressive codec the longest prefix) that fits the
    budget, with its SSIM and its bytes. All bytes of a progressive codec count, and the payload of
    the other codecs. A dash means that nothing fits.
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
            for j, (decoded, caption) in enumerate(_best(codec, pixels)):
                place = (_LEFT + i * across, top + j * down)
                if decoded is not None:
                    sheet.paste(_enlarged(decoded), place)
                pen.text((place[0], place[1] + CELL), caption, fill=_DIM, font=font)
    return sheet


def _best(codec: Codec, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.uint8] | None, str]]:
    """The decoded picture and its caption at each budget."""
    codings = list(codec.codings(pixels, BUDGETS))
    merit = merits(codec, pixels, codings)

    def spent(coding: Coding) -> int:
        return coding.file if codec.progressive else coding.payload

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
