"""The paper's dynamic bit assignment (cells that stop early) compared with plain truncation.

For every picture and target: the bytes of the stream of `encode(target=...)`, in which cells may
stop, and of the shortest prefix of the plain stream that reaches the same target. For a target in
bytes the quality at these bytes is compared.
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
    """Means over the pictures that reach the target without stops."""

    target: str
    pictures: int
    """Number of these pictures."""
    plain_bytes: float
    bytes: float
    plain_psnr: float
    """dB."""
    psnr: float
    """dB."""


def compare(
    codec: Codec, pictures: Sequence[NDArray[np.uint8]], targets: Sequence[Target]
) -> list[Comparison]:
    """One row per target, over ``pictures`` ``(H, W, 3)``."""
    plain = [codec.encode(pixels) for pixels in pictures]
    out = []
    for target in targets:
        rows = []
        for pixels, stream in tqdm(list(zip(pictures, plain, strict=True)), unit=" pictures"):
            if target.measure == BYTES:
                shortest: bytes | None = stream[: int(target.value)]
            else:
                shortest = shortest_prefix(codec, pixels, stream, target)
            if shortest is not None:
                rows.append(
                    [
                        (len(s), float(psnr(pixels, codec.decode(s))))
                        for s in (shortest, codec.encode(pixels, target=target))
                    ]
                )
        means = np.mean(rows, axis=0) if rows else np.full((2, 2), np.nan)
        (plain_bytes, plain_psnr), (length, quality) = means.tolist()
        name = f"{target.measure}:{target.value:g}"
        out.append(Comparison(name, len(rows), plain_bytes, length, plain_psnr, quality))
    return out


def table(rows: Sequence[Comparison]) -> str:
    """``rows`` as Markdown."""
    lines = [
        "| target | pictures | bytes | with stops | PSNR dB | with stops |",
        "|---|" + "---:|" * 5,
    ]
    lines += [
        f"| {r.target} | {r.pictures} | {r.plain_bytes:.1f} | {r.bytes:.1f} | {r.plain_psnr:.2f} "
        f"| {r.psnr:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)
