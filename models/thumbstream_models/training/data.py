"""Training pictures: decoded once, held in memory as uint8, cropped again for every batch.

Sources are tar shards or folders. A batch is a pure function of (seed, step), so a resumed training
sees the same pictures as an uninterrupted one. Crops are reduced with Lanczos (antialiasing), like
thumbnails; they are never enlarged.
"""

from __future__ import annotations

import hashlib
import io
import math
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from thumbstream_models.training.config import DataConfig

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True)
class PictureSet:
    """Decoded pictures, ``(H, W, 3)`` uint8 each, and a hash of the bytes they came from."""

    training: list[NDArray[np.uint8]]
    validation: list[NDArray[np.uint8]]
    sha256: str


def read_files(sources: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Every picture file of the shards and folders, by name, in a fixed order."""
    for source in sources:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
                    yield path.relative_to(source).as_posix(), path.read_bytes()
        else:
            with tarfile.open(source) as tar:
                for member in tar:
                    name = PurePosixPath(member.name)  # without the ./ of `tar c .`
                    if name.suffix.lower() in PICTURE_SUFFIXES and member.isfile():
                        stream = tar.extractfile(member)
                        assert stream is not None
                        yield name.as_posix(), stream.read()


def decode(name: str, data: bytes) -> NDArray[np.uint8]:
    """Upright ``(H, W, 3)`` uint8 RGB over white; raises `ValueError` with ``name``."""
    try:
        with Image.open(io.BytesIO(data)) as stored:
            image = ImageOps.exif_transpose(stored)
            if image.mode.startswith("I;16"):  # convert() would clip, not scale
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # raised by Pillow for broken files
        raise ValueError(f"{name}: {error}") from error


def load(sources: Sequence[Path], config: DataConfig, *, quiet: bool = False) -> PictureSet:
    """Decode ``sources`` into memory; hashes of the names select the held-out pictures."""
    digest = hashlib.sha256()
    named: list[tuple[str, NDArray[np.uint8]]] = []
    for name, data in tqdm(read_files(sources), unit=" pictures", disable=quiet):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        pixels = decode(name, data)
        if min(pixels.shape[:2]) >= config.size:
            named.append((name, pixels))
    if len(named) < 2:
        raise ValueError(
            f"no pictures of {config.size} pixels or more in {list(map(str, sources))}"
        )
    named.sort(key=lambda item: hashlib.sha256(item[0].encode()).digest())
    held_out = min(config.validation_pictures, len(named) // 2)
    return PictureSet(
        training=[pixels for _, pixels in named[held_out:]],
        validation=[pixels for _, pixels in named[:held_out]],
        sha256=digest.hexdigest(),
    )


def random_crop(
    pixels: NDArray[np.uint8], config: DataConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A random crop of random scale and aspect, reduced to ``(size, size, 3)``."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    if rng.random() < config.whole_fraction:
        side = float(short)
    else:
        side = max(config.size, short * rng.uniform(config.min_crop, 1.0))
    stretch = math.exp(rng.uniform(-1, 1) * math.log(config.max_aspect) / 2)
    crop_w = min(width, max(config.size, side * stretch))
    crop_h = min(height, max(config.size, side / stretch))
    left, top = rng.uniform(0, width - crop_w), rng.uniform(0, height - crop_h)
    crop = Image.fromarray(pixels).resize(
        (config.size, config.size),
        Image.Resampling.LANCZOS,
        box=(left, top, left + crop_w, top + crop_h),
    )
    out = np.asarray(crop)
    return out[:, ::-1] if rng.random() < 0.5 else out


def training_batch(
    pictures: Sequence[NDArray[np.uint8]], config: DataConfig, batch: int, seed: int, step: int
) -> NDArray[np.uint8]:
    """Batch number ``step``: ``(batch, side, side, 3)`` uint8, the same at every call."""
    rng = np.random.default_rng((seed, step))
    chosen = rng.integers(len(pictures), size=batch)
    crops = [random_crop(pictures[i], config, rng) for i in chosen]
    if config.window:
        corners = rng.integers(config.size - config.window + 1, size=(batch, 2))
        crops = [
            crop[y : y + config.window, x : x + config.window]
            for crop, (y, x) in zip(crops, corners, strict=True)
        ]
    return np.stack(crops)


def validation_batch(pictures: Sequence[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """Central squares of ``pictures``, reduced to ``(n, size, size, 3)`` uint8."""
    out = []
    for pixels in pictures:
        height, width = pixels.shape[:2]
        short = min(height, width)
        left, top = (width - short) / 2, (height - short) / 2
        crop = Image.fromarray(pixels).resize(
            (size, size), Image.Resampling.LANCZOS, box=(left, top, left + short, top + short)
        )
        out.append(np.asarray(crop))
    return np.stack(out)


def prefetched_batches(
    pictures: Sequence[NDArray[np.uint8]],
    config: DataConfig,
    batch: int,
    seed: int,
    steps: range,
    *,
    threads: int = 2,
    ahead: int = 8,
) -> Iterator[NDArray[np.uint8]]:
    """`training_batch` for every step of ``steps``, computed in background threads."""
    make = partial(training_batch, pictures, config, batch, seed)
    return prefetched(make, steps, threads=threads, ahead=ahead)


def prefetched(
    make: Callable[[int], NDArray[np.uint8]], steps: range, *, threads: int = 2, ahead: int = 8
) -> Iterator[NDArray[np.uint8]]:
    """``make(step)`` for every step in order, computed in background threads.

    Threads suffice because Pillow releases the interpreter lock while it resamples.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="crops") as pool:
        pending = []
        for step in steps:
            pending.append(pool.submit(make, step))
            if len(pending) > ahead:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()
