"""Quality that each codec reaches within each budget of bytes, picture by picture.

Every coding that a codec offers is decoded and its SSIM is measured. At each budget the best by
SSIM that fits is measured by all other metrics, too. A picture that cannot be coded within a budget
is scored as its mean color and counted as unfit. This is done twice: with the bytes of the payload
and with those of the file.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from thumbstream_models.evaluate.baselines import Codec, Coding
from thumbstream_models.evaluate.metrics import METRICS, ssim
from thumbstream_models.evaluate.score_cache import ScoreCache, key_of

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
AnyArray: TypeAlias = NDArray[Any]
Picture: TypeAlias = NDArray[np.uint8]

CHARGES = ("payload", "file")
"""Which bytes must fit a budget: those without headers, or all."""
_SAMPLES_AT_ONCE = 1 << 20
"""Limits the memory of one call of SSIM to about 100 MiB."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One codec by one of `CHARGES`: arrays ``(budgets,)``; stacked: ``(pictures, budgets)``."""

    quality: dict[str, Floats]
    """By the name of the measure."""
    payload: Ints
    """Bytes without headers; 0 where the picture does not fit."""
    file: Ints
    """Bytes of the file; 0 where the picture does not fit."""
    codes: Ints
    """Binary codes that the payload determines; 0 for codecs that have none."""
    fits: NDArray[np.bool_]

    @classmethod
    def gather(cls, parts: Sequence[Scores], join: Callable[[list[AnyArray]], AnyArray]) -> Scores:
        """Join several scores: ``join`` is applied to the arrays of each name."""
        first = {f.name for f in fields(cls)} - {"quality"}
        joined = {name: join([getattr(part, name) for part in parts]) for name in first}
        names = parts[0].quality
        quality = {name: join([part.quality[name] for part in parts]) for name in names}
        return cls(quality, **joined)

    def to_json(self) -> dict[str, Any]:
        """As lists, for the cache."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["quality"] = {name: values.tolist() for name, values in self.quality.items()}
        return {name: v if name == "quality" else v.tolist() for name, v in out.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Scores:
        """What `to_json` wrote."""
        arrays: dict[str, Any] = {name: np.array(values) for name, values in stored.items()}
        arrays["quality"] = {name: np.array(v) for name, v in stored["quality"].items()}
        return cls(**arrays)


Charged: TypeAlias = dict[str, Scores]
"""Scores of one codec by charge."""


def mean_color(pixels: Picture) -> Picture:
    """A picture of the same shape, filled with the mean color of ``pixels``."""
    mean = np.round(pixels.mean(axis=(0, 1))).astype(np.uint8)
    return np.broadcast_to(mean, pixels.shape)


def merits(codec: Codec, pixels: Picture, codings: Sequence[Coding]) -> Floats:
    """Values whose maximum is the best coding: SSIM, or bytes of a progressive codec."""
    if codec.progressive:
        return np.array([coding.payload for coding in codings], np.float64)
    step = max(1, _SAMPLES_AT_ONCE // pixels.size)
    parts = [codings[i : i + step] for i in range(0, len(codings), step)]
    return np.concatenate(
        [np.empty(0), *(ssim(pixels, np.stack([c.pixels for c in part])) for part in parts)]
    )


def score(codec: Codec, pixels: Picture, budgets: Sequence[int]) -> Charged:
    """Encode one picture ``(H, W, 3)`` in all ways of ``codec``; scores of the best per budget."""
    codings = list(codec.codings(pixels, budgets))
    # The mean color costs nothing and is used only where nothing else fits.
    all_codings = [Coding(0, 0, mean_color(pixels)), *codings]
    merit = np.concatenate([[-np.inf], merits(codec, pixels, codings)])
    chosen = {}
    for charge in CHARGES:
        spent = np.array([getattr(coding, charge) for coding in all_codings])
        chosen[charge] = [int(np.argmax(np.where(spent <= b, merit, -np.inf))) for b in budgets]
    distinct = sorted(set().union(*chosen.values()))
    decoded = np.stack([all_codings[i].pixels for i in distinct])
    original = np.broadcast_to(pixels, decoded.shape)
    quality = {name: metric.score(original, decoded) for name, metric in METRICS.items()}
    return {
        charge: Scores(
            quality={n: values[np.searchsorted(distinct, at)] for n, values in quality.items()},
            payload=np.array([all_codings[i].payload for i in at]),
            file=np.array([all_codings[i].file for i in at]),
            codes=np.array([all_codings[i].codes for i in at]),
            fits=np.array(at) > 0,
        )
        for charge, at in chosen.items()
    }


def measure(
    pictures: Sequence[Picture],
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    *,
    jobs: int = 1,
    quiet: bool = False,
    cache: ScoreCache | None = None,
) -> dict[str, Charged]:
    """Scores ``(pictures, budgets)`` by codec name and charge, computed in ``jobs`` processes.

    Scores in ``cache`` are not measured again; new ones are written to it at once.
    """
    keys = [key_of(codec, budgets, __file__) if cache else "" for codec in codecs]
    done: dict[tuple[int, int], Charged] = {}
    missing: list[tuple[int, int]] = []
    for p, pixels in enumerate(pictures):
        for c in range(len(codecs)):
            stored = cache.get(keys[c], pixels) if cache else None
            if stored is None:
                missing.append((p, c))
            else:
                done[p, c] = {charge: Scores.from_json(stored[charge]) for charge in CHARGES}
    total = len(done) + len(missing)
    with (
        tqdm(desc="measuring", total=total, initial=len(done), disable=quiet, unit="") as bar,
        _scored(jobs if len(missing) > 1 else 1, pictures, codecs, budgets, missing) as scored,
    ):
        for (p, c), charged in scored:
            done[p, c] = charged
            if cache:
                stored = {charge: scores.to_json() for charge, scores in charged.items()}
                cache.put(keys[c], pictures[p], stored)
            bar.update()
    return {
        codec.name: stacked([done[p, c] for p in range(len(pictures))])
        for c, codec in enumerate(codecs)
    }


@contextmanager
def _scored(
    jobs: int,
    pictures: Sequence[Picture],
    codecs: Sequence[Codec],
    budgets: Sequence[int],
    missing: Sequence[tuple[int, int]],
) -> Iterator[Iterator[tuple[tuple[int, int], Charged]]]:
    """Scores of ``missing`` (picture, codec), in any order; an error cancels the rest."""
    if jobs < 2:
        yield (((p, c), score(codecs[c], pictures[p], budgets)) for p, c in missing)
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # there is one process per core
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Charged], tuple[int, int]] = {
            pool.submit(score, codecs[c], pictures[p], budgets): (p, c) for p, c in missing
        }
        try:
            yield ((futures[future], future.result()) for future in as_completed(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def stacked(rows: Sequence[Charged]) -> Charged:
    """Scores ``(budgets,)`` of several pictures as one of ``(pictures, budgets)``."""
    return {charge: Scores.gather([row[charge] for row in rows], np.stack) for charge in CHARGES}


def best_of(candidates: Sequence[Charged]) -> Charged:
    """Scores of the candidate that fits with the highest SSIM, for each picture and budget."""
    out = {}
    for charge in CHARGES:
        parts = [charged[charge] for charged in candidates]
        merit = np.stack([np.where(part.fits, part.quality["ssim"], -np.inf) for part in parts])
        out[charge] = Scores.gather(parts, partial(np.choose, merit.argmax(axis=0)))
    return out
