"""Pictures to measure on, reduced to the thumbnail grid.

Sources are folders and tars of picture files, and ``.npz`` files with ``images`` uint8
``(N, H, W, 3)``. Reduction is Lanczos with antialiasing. Nothing is enlarged: pictures smaller than
the grid are omitted and counted.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from thumbstream_models.training import data

GRIDS = {
    "crop": "the central square, reduced to size x size",
    "squash": "the entire picture, squashed to size x size (as in arXiv 1511.06085)",
    "aspect": "the entire picture in its own aspect ratio, its long side reduced to size",
}


@dataclass(frozen=True, slots=True)
class Pictures:
    """Reduced pictures, ``(H, W, 3)`` uint8 each, and a hash of the bytes of their files."""

    names: list[str]
    pixels: list[NDArray[np.uint8]]
    sha256: str
    size: int
    """Pixels of the long side."""
    grid: str
    """One of `GRIDS`."""
    too_small: int = 0
    """Pictures omitted because they would have to be enlarged."""


def reduce(image: Image.Image, size: int, grid: str) -> NDArray[np.uint8] | None:
    """Reduce ``image`` to the grid, one of `GRIDS`; ``(H, W, 3)`` uint8, long side ``size``.

    None when it would have to be enlarged.
    """
    width, height = image.size
    short, long = sorted(image.size)
    box = (0.0, 0.0, float(width), float(height))
    target = (size, size)
    if grid == "crop":
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
    elif grid == "aspect":
        other = max(1, round(size * short / long))
        target = (size, other) if width >= height else (other, size)
    elif grid != "squash":
        raise ValueError(f"unknown grid {grid!r}; known: {', '.join(GRIDS)}")
    if box[2] - box[0] < target[0] or box[3] - box[1] < target[1]:
        return None
    return np.asarray(image.convert("RGB").resize(target, Image.Resampling.LANCZOS, box=box))


def _read(source: Path) -> Iterator[tuple[str, bytes, Image.Image]]:
    """``(name, bytes to hash, picture)`` of every picture of a source."""
    if source.suffix == ".npz":
        with np.load(source) as arrays:
            for i, pixels in enumerate(arrays["images"]):
                yield f"{source.stem}/{i}", pixels.tobytes(), Image.fromarray(pixels)
    else:
        for name, content in data.read_files([source]):
            with Image.open(io.BytesIO(content)) as image:
                yield name, content, ImageOps.exif_transpose(image)


def load(sources: Sequence[Path], size: int, grid: str, *, quiet: bool = False) -> Pictures:
    """Read and reduce every picture of ``sources``; raises `ValueError` when there is none."""
    digest = hashlib.sha256()
    names: list[str] = []
    pixels: list[NDArray[np.uint8]] = []
    too_small = 0
    for source in sources:
        for name, content, image in tqdm(
            _read(source), desc=f"reading {source.name}", unit=" pictures", disable=quiet
        ):
            reduced = reduce(image, size, grid)
            if reduced is None:
                too_small += 1
                continue
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
            names.append(name)
            pixels.append(reduced)
    if not pixels:
        raise ValueError(f"no pictures of {size} pixels or more in {', '.join(map(str, sources))}")
    return Pictures(names, pixels, digest.hexdigest(), size, grid, too_small)


def subsample(pictures: Pictures, count: int) -> Pictures:
    """At most ``count`` of the pictures, evenly spread over the order in which they were read."""
    total = len(pictures.pixels)
    chosen = [i * total // count for i in range(count)] if count < total else list(range(total))
    return replace(
        pictures,
        names=[pictures.names[i] for i in chosen],
        pixels=[pictures.pixels[i] for i in chosen],
    )
