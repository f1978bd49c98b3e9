"""What quality each codec reaches within each budget of bytes, picture by picture.

Every coding that a codec offers is decoded and scored; at each budget the best by SSIM whose
payload fits counts. A picture that cannot be coded within a budget at all is scored as its mean
colour, and counted as unfit.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from thumbstream_models import metrics
from thumbstream_models.baselines import Codec

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """One codec at every budget: arrays ``(budgets,)``, or ``(pictures, budgets)`` when stacked."""

    ssim: Floats
    psnr: Floats
    """dB."""
    payload: Ints
    """Bytes charged; 0 where the picture does not fit."""
    whole: Ints
    """Bytes of the whole file; 0 where the picture does not fit."""
    codes: Ints
    """Binary codes that the payload determines; 0 for codecs that have none."""
    fits: NDArray[np.bool_]


def mean_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of the same shape, all of the mean colour of ``pixels``."""
    mean = np.round(pixels.mean(axis=(0, 1))).astype(np.uint8)
    return np.broadcast_to(mean, pixels.shape)


def score(codec: Codec, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Scores:
    """Code one picture ``(H, W, 3)`` in every way that ``codec`` knows; the best at each budget."""
    codings = list(codec.codings(pixels, budgets))
    decoded = np.stack([mean_colour(pixels), *(coding.pixels for coding in codings)])
    original = np.broadcast_to(pixels, decoded.shape)
    ssim, psnr = metrics.ssim(original, decoded), metrics.psnr(original, decoded)
    payload = np.array([0, *(coding.payload for coding in codings)])
    whole = np.array([0, *(coding.whole for coding in codings)])
    codes = np.array([0, *(coding.codes for coding in codings)])
    merit = payload.astype(np.float64) if codec.progressive else ssim.copy()
    merit[0] = -np.inf  # the mean colour only where nothing else fits
    chosen = np.array(
        [np.argmax(np.where(payload <= budget, merit, -np.inf)) for budget in budgets]
    )
    return Scores(
        ssim[chosen], psnr[chosen], payload[chosen], whole[chosen], codes[chosen], chosen > 0
    )


def _score_all(
    codecs: Sequence[Codec], budgets: Sequence[int], pixels: NDArray[np.uint8]
) -> list[Scores]:
    return [score(codec, pixels, budgets) for codec in codecs]


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    if jobs < 2:
        yield None
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield pool


def measure(
    pictures: Sequence[NDArray[np.uint8]],
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    *,
    jobs: int = 1,
    quiet: bool = False,
) -> dict[str, Scores]:
    """Scores ``(pictures, budgets)`` by codec name, computed in ``jobs`` processes."""
    work = partial(_score_all, codecs, budgets)
    with _workers(jobs) as pool:
        results = pool.map(work, pictures, chunksize=2) if pool else map(work, pictures)
        rows = list(
            tqdm(results, desc="measuring", total=len(pictures), unit=" pictures", disable=quiet)
        )
    return {codec.name: _stack([row[i] for row in rows]) for i, codec in enumerate(codecs)}


def _stack(rows: Sequence[Scores]) -> Scores:
    return Scores(*(np.stack([getattr(row, f.name) for row in rows]) for f in fields(Scores)))
