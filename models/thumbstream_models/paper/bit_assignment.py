"""What stopping cells saves: the paper's dynamic bit assignment against plain truncation.

For every picture and goal the bytes of the stream that `encode(target=...)` makes, in which cells
may stop, beside the shortest prefix of the plain stream that reaches the same goal. For a goal in
bytes it is the quality at those bytes that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from thumbstream.codec.base import Codec
from thumbstream.codec.prefix_search import BYTES, Target, shortest_prefix
from thumbstream.codec.quality import psnr


class Comparison(NamedTuple):
    """Means over the pictures that reach the goal without stops."""

    goal: str
    pictures: int
    """How many reach it."""
    plain_bytes: float
    bytes: float
    plain_psnr: float
    """dB."""
    psnr: float
    """dB."""


def compare(
    codec: Codec, pictures: Sequence[NDArray[np.uint8]], goals: Sequence[Target]
) -> list[Comparison]:
    """One row for each goal, over ``pictures`` ``(H, W, 3)``."""
    plain = [codec.encode(pixels) for pixels in pictures]
    out = []
    for goal in goals:
        rows = []
        for pixels, stream in tqdm(list(zip(pictures, plain, strict=True)), unit=" pictures"):
            if goal.measure == BYTES:
                shortest: bytes | None = stream[: int(goal.value)]
            else:
                shortest = shortest_prefix(codec, pixels, stream, goal)
            if shortest is not None:
                rows.append(
                    [
                        (len(s), float(psnr(pixels, codec.decode(s))))
                        for s in (shortest, codec.encode(pixels, target=goal))
                    ]
                )
        means = np.mean(rows, axis=0) if rows else np.full((2, 2), np.nan)
        (plain_bytes, plain_psnr), (length, quality) = means.tolist()
        name = f"{goal.measure}:{goal.value:g}"
        out.append(Comparison(name, len(rows), plain_bytes, length, plain_psnr, quality))
    return out


def table(rows: Sequence[Comparison]) -> str:
    """``rows`` as Markdown."""
    lines = [
        "| goal | pictures | bytes | with stops | PSNR dB | with stops |",
        "|---|" + "---:|" * 5,
    ]
    lines += [
        f"| {r.goal} | {r.pictures} | {r.plain_bytes:.1f} | {r.bytes:.1f} | {r.plain_psnr:.2f} "
        f"| {r.psnr:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)
