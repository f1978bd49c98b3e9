"""Thumbnails a second with and without batches, and how often a batch changes a stream.

Threads encode pictures and decode their streams, as those of the service do, with runs of the
networks each for themselves and together (`thumbstream.codec.batching`). Both are measured in
turns, so that a machine that gets slower gets slower for both. A batch helps where a device runs
many small pictures in about the time of one; a core does not, so on the CPU the ratio is what
waiting for each other and filling up batches costs.

A sum in another order may differ in its last bit, and an encoder may then choose another digit.
`--streams` pictures are encoded alone, with every run in a batch of the largest size, and with all
that networks give moved by chance in its last bit, as another device might.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import uploads
from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.embedded import codec as embedded
from thumbstream.codec.embedded import rdo as flipsearch
from thumbstream.codec.iterative import transforms
from thumbstream.codec.runtime import CUDA_BATCH, DEVICES, Float, Network
from thumbstream.codec.targets import Target
from thumbstream.images import thumbnail

THREADS = (1, 4, 16)
PREFIX = 64
"""Bytes of a preview: streams that differ behind them look the same in it."""
STEPS = {"float32_steps": 2.0**-23, "tf32_steps": 2.0**-10}
"""By how much numbers are moved that are those of another device: what the last bit is worth of a
float32, and of a TF32, in which GPUs may multiply."""
_MODEL = Path("models/zoo/thumbstream-1")

Pixels = NDArray[np.uint8]
Given = TypeVar("Given")


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments().parse_args(argv)
    codecs = {
        "off": open_codec(args.model, device=args.device, batch=1),
        "on": open_codec(args.model, device=args.device, batch=args.batch),
    }
    provider = codecs["on"].providers[0]
    print(f"{codecs['on'].model_id} on {provider}, {args.pictures} pictures, side {args.size}")
    pictures = [_picture(seed, args.size) for seed in range(args.pictures)]
    for codec in codecs.values():
        codec.warm_up(*pictures[0].shape[:2])
        codec.decode(codec.encode(pictures[0]))
    report = {
        "model": codecs["on"].model_id,
        "provider": provider,
        "batch": codecs["on"].batch,
        "size": args.size,
        "pictures": args.pictures,
        "cpus": os.cpu_count(),
        "threads": {
            str(threads): _measured(codecs, pictures, threads, args.rounds) for threads in THREADS
        },
        "streams": _streams(args, codecs["off"]) if args.streams else None,
    }
    _print(report)
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _measured(
    codecs: Mapping[str, Codec], pictures: Sequence[Pixels], threads: int, rounds: int
) -> dict[str, Any]:
    """Of encoding and of decoding: a second's work, a thumbnail's time, and the ratio."""
    timed: dict[str, dict[str, list[_Round]]] = {
        work: {name: [] for name in codecs} for work in ("encode", "decode")
    }
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            for name, codec in codecs.items():
                done = _Round.of(pool, codec.encode, pictures)
                timed["encode"][name].append(done)
                timed["decode"][name].append(_Round.of(pool, codec.decode, done.results))
    return {work: _summary(of_codec) for work, of_codec in timed.items()}


class _Round:
    """All pictures once, by all threads."""

    def __init__(self, results: list[Any], times: list[float], seconds: float) -> None:
        self.results = results
        self.per_second = len(times) / seconds
        self.p50_ms, self.p99_ms = (1e3 * float(np.quantile(times, q)) for q in (0.5, 0.99))

    @staticmethod
    def of(
        pool: ThreadPoolExecutor, work: Callable[[Given], Any], given: Sequence[Given]
    ) -> _Round:
        """Do ``work`` on everything that is ``given``."""
        started = time.perf_counter()
        done = list(pool.map(lambda value: _timed(work, value), given))
        seconds = time.perf_counter() - started
        return _Round([result for result, _ in done], [took for _, took in done], seconds)


def _timed(work: Callable[[Given], Any], value: Given) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(value), time.perf_counter() - started


def _summary(rounds: Mapping[str, Sequence[_Round]]) -> dict[str, Any]:
    ratios = [
        on.per_second / off.per_second for on, off in zip(rounds["on"], rounds["off"], strict=True)
    ]
    return {
        **{
            name: {
                key: round(statistics.median(getattr(one, key) for one in of_codec), 3)
                for key in ("per_second", "p50_ms", "p99_ms")
            }
            for name, of_codec in rounds.items()
        },
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
    }


def _streams(args: argparse.Namespace, alone: Codec) -> dict[str, Any]:
    """How many streams are others when networks are run in another way."""

    class Crowded(Network):
        """Runs each row as the first of a batch."""

        def run(
            self, inputs: Mapping[str, Float], outputs: Sequence[str] | None = None
        ) -> list[Float]:
            crowd = {name: value.repeat(args.batch, 0) for name, value in inputs.items()}
            return [output[:: args.batch] for output in super().run(crowd, outputs)]

    networks: dict[str, type[Network]] = {"in_a_batch": Crowded}
    networks |= {name: _nudged(step) for name, step in STEPS.items()}
    codecs = {name: _opened_with(network, args) for name, network in networks.items()}
    found = {name: Counter[str]() for name in codecs}
    for seed in range(args.streams):
        pixels = _picture(seed, args.size)
        expected = _ways(alone, pixels)
        for name, codec in codecs.items():
            for way, stream in _ways(codec, pixels).items():
                found[name][way] += stream != expected[way]
    return {"compared": args.streams, "differ": found}


def _nudged(step: float) -> type[Network]:
    rng = np.random.default_rng(0)

    class Nudged(Network):
        """Moves what comes out by a step of its value: a third of it up and a third down."""

        def run(
            self, inputs: Mapping[str, Float], outputs: Sequence[str] | None = None
        ) -> list[Float]:
            return [
                output * (1 + rng.integers(-1, 2, output.shape) * step).astype(np.float32)
                for output in super().run(inputs, outputs)
            ]

    return Nudged


def _opened_with(network: type[Network], args: argparse.Namespace) -> Codec:
    with ExitStack() as stack:
        for module in (embedded, flipsearch, transforms):
            stack.enter_context(mock.patch.object(module, "Network", network))
        return open_codec(args.model, device=args.device, batch=1)


def _ways(codec: Codec, pixels: Pixels) -> dict[str, bytes]:
    whole = codec.encode(pixels)
    best = codec.encode(pixels, target=Target("bytes", PREFIX))
    return {"whole": whole, f"first_{PREFIX}_bytes": whole[:PREFIX], f"best_{PREFIX}_bytes": best}


def _print(report: Mapping[str, Any]) -> None:
    for threads, measured in report["threads"].items():
        for work, of_work in measured.items():
            off, on = of_work["off"], of_work["on"]
            print(
                f"{work} {threads:>2} threads: {off['per_second']:8.1f}/s alone, "
                f"{on['per_second']:8.1f}/s in batches up to {report['batch']}, "
                f"ratio {of_work['ratio']:.2f} "
                f"({of_work['ratio_lowest']:.2f} to {of_work['ratio_highest']:.2f}), "
                f"p99 {off['p99_ms']:.1f} and {on['p99_ms']:.1f} ms"
            )
    if streams := report["streams"]:
        for name, differ in streams["differ"].items():
            told = ", ".join(f"{way} {count}" for way, count in differ.items())
            print(f"of {streams['compared']} streams differ ({name}): {told}")
    if not report["provider"].startswith("CUDA"):
        print("No GPU was measured: this is what batches cost where they do not help.")


def _picture(seed: int, size: int) -> Pixels:
    return thumbnail(uploads.synthetic(320, 240, seed), size).pixels


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bench_batch.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument(
        "--batch", type=int, default=CUDA_BATCH, help="largest batch (default %(default)s)"
    )
    parser.add_argument("--size", type=int, default=32, help="long side in pixels (default 32)")
    parser.add_argument("--model", type=Path, default=_MODEL, help=f"a folder (default {_MODEL})")
    parser.add_argument("--pictures", type=int, default=96, help="in each round (default 96)")
    parser.add_argument("--rounds", type=int, default=5, help="turns for each (default 5)")
    parser.add_argument(
        "--streams", type=int, default=400, help="pictures whose streams are compared (default 400)"
    )
    parser.add_argument("--out", type=Path, help="write what was measured to this JSON file, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
