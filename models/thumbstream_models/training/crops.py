"""Training crops, made once from the pictures and kept on disk as uint8.

Decoding and cropping cost a small network as much time as learning. So each picture is cropped
``per_picture`` times, and trainings read the crops through a memory map. What is in the file
depends on the pictures and the settings alone, and its name is a hash of both. Mirrored crops and
the order are drawn for every batch: a batch is a pure function of (seed, step).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from thumbstream_models.training import data
from thumbstream_models.training.config import DataConfig

Pixels = NDArray[np.uint8]

FORMAT = 1
"""Part of the files' names: to be raised when other crops are made from the same settings."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops of one size, and a hash of the pictures that they were made from."""

    training: Pixels
    """``(per_picture * n, size, size, 3)``, a read-only memory map: the first crop of
    every picture, then the second of every picture, ..."""
    validation: Pixels
    """``(m, size, size, 3)``: the central squares of the pictures held out."""
    sha256: str
    """Of the names and contents of the pictures, as in `data.load`."""


def default_folder() -> Path:
    """Where the user's caches are."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "thumbstream" / "crops"


def load(
    sources: Sequence[Path],
    config: DataConfig,
    *,
    per_picture: int = 8,
    folder: Path | None = None,
    quiet: bool = False,
) -> Crops:
    """The crops of ``sources``: from ``folder`` (`default_folder`) if they were made before.

    Raises `ValueError` for broken pictures, or when fewer than two are large enough.
    """
    listing = _list(sources, config)
    path = (folder or default_folder()) / f"{_key(listing, config, per_picture)}.npy"
    if not path.exists():
        _make(path, sources, config, listing, per_picture, quiet=quiet)
    stored: Pixels = np.load(path, mmap_mode="r")
    held_out = listing.held_out
    return Crops(stored[held_out:], np.array(stored[:held_out]), listing.sha256)


def batch(training: Pixels, size: int, seed: int, step: int, *, window: int = 0) -> Pixels:
    """Batch number ``step``: ``(size, side, side, 3)``, the same at every call.

    ``window`` cuts a random square of as many pixels out of every crop; 0 takes all of it.
    """
    rng = np.random.default_rng((seed, step))
    pixels = np.array(training[rng.integers(len(training), size=size)])
    mirrored = rng.random(size) < 0.5
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    if window:
        corners = rng.integers(pixels.shape[1] - window + 1, size=(size, 2))
        pixels = np.stack(
            [p[y : y + window, x : x + window] for p, (y, x) in zip(pixels, corners, strict=True)]
        )
    return pixels


@dataclass(frozen=True, slots=True)
class _Listing:
    """The pictures that are large enough, in an order that their names alone decide."""

    ranks: dict[int, int]
    """Position in the sources to rank."""
    held_out: int
    """Pictures of the first ranks, for validation."""
    sha256: str


def _list(sources: Sequence[Path], config: DataConfig) -> _Listing:
    digest = hashlib.sha256()
    order: dict[int, bytes] = {}
    for position, (name, content) in enumerate(data.read_files(sources)):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        try:
            with Image.open(io.BytesIO(content)) as image:
                large_enough = min(image.size) >= config.size
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
        if large_enough:
            order[position] = hashlib.sha256(name.encode()).digest()
    if len(order) < 2:
        raise ValueError(
            f"no pictures of {config.size} pixels or more in {list(map(str, sources))}"
        )
    ranks = {position: rank for rank, position in enumerate(sorted(order, key=order.__getitem__))}
    return _Listing(ranks, min(config.validation_pictures, len(order) // 2), digest.hexdigest())


def _key(listing: _Listing, config: DataConfig, per_picture: int) -> str:
    settings = {
        "format": FORMAT,
        "pictures": listing.sha256,
        "per_picture": per_picture,
        "size": config.size,
        "min_crop": config.min_crop,
        "whole_fraction": config.whole_fraction,
        "max_aspect": config.max_aspect,
        "validation_pictures": config.validation_pictures,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _make(
    path: Path,
    sources: Sequence[Path],
    config: DataConfig,
    listing: _Listing,
    per_picture: int,
    *,
    quiet: bool,
) -> None:
    """Write the validation squares, then the first crop of every picture, the second, ..."""
    held_out, total = listing.held_out, len(listing.ranks)
    rows = held_out + per_picture * (total - held_out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        partial = Path(scratch) / path.name
        crops = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.uint8, shape=(rows, config.size, config.size, 3)
        )
        files = tqdm(data.read_files(sources), desc="crops", unit=" pictures", disable=quiet)
        for position, (name, content) in enumerate(files):
            rank = listing.ranks.get(position)
            if rank is None:
                continue
            pixels = data.decode(name, content)
            if rank < held_out:
                crops[rank] = data.validation_batch([pixels], config.size)[0]
                continue
            for n in range(per_picture):
                rng = np.random.default_rng((rank, n))
                crops[rank + n * (total - held_out)] = data.random_crop(pixels, config, rng)
        crops.flush()
        del crops
        partial.replace(path)
