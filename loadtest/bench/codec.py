"""Milliseconds of processor time to encode and to decode a thumbnail, beside AVIF in the same run.

Each picture is coded by every contender in turn, so that a machine that gets slower gets slower for
all. AVIF is Pillow's, with the fewest bytes that its quality setting gives: the codec that comes
nearest to these sizes, in a container of some 300 bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loadtest.lib import uploads
from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.effort import Effort
from thumbstream.codec.rate_curve import measure_curve
from thumbstream.errors import IngestError
from thumbstream.images import thumbnail

BUDGETS = (16, 32, 64, 128, 256)
CURVE, PEER = "and the curve", "AVIF (Pillow)"
_MODEL = Path("models/zoo/thumbstream-2")
_SYNTHETIC = 20

Times = dict[str, list[float]]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments().parse_args(argv)
    pictures = list(_thumbnails(args.pictures, args.size))
    codec = open_codec(args.model, device="cpu")
    encoding, decoding = _measured(codec, pictures, args.rounds)
    report = {
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
        "pictures": len(pictures),
        "size": args.size,
        "model": codec.model_id,
        "encode_ms": _medians(encoding),
        "decode_ms": _medians(decoding),
    }
    print(f"{len(pictures)} pictures, long side {args.size}, model {report['model']}, one core")
    for title, times in (("encode", report["encode_ms"]), ("decode", report["decode_ms"])):
        for name, value in times.items():
            print(f"{title:7} {name:22} {value:7.2f} ms  {value / times[PEER]:6.2f} x {PEER}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _measured(codec: Codec, pictures: list[NDArray[np.uint8]], rounds: int) -> tuple[Times, Times]:
    encoding: Times = defaultdict(list)
    decoding: Times = defaultdict(list)
    for number in range(rounds + 1):
        if number == 1:  # the first round has warmed up
            encoding.clear()
            decoding.clear()
        for pixels in pictures:
            streams: dict[Effort, bytes] = {}
            for effort in Effort:
                encode = partial(codec.encode, effort=effort)
                streams[effort] = _timed(encoding[f"effort {effort}"], encode, pixels)
            _timed(encoding[CURVE], partial(_with_curve, codec), pixels)
            avif = _timed(encoding[PEER], _avif, pixels)
            for budget in BUDGETS:
                _timed(decoding[f"{budget} bytes"], codec.decode, streams[Effort.DEFAULT][:budget])
            _timed(decoding[PEER], _from_avif, avif)
    return encoding, decoding


def _with_curve(codec: Codec, pixels: NDArray[np.uint8]) -> None:
    stream, prefixes = codec.encode_with_decoder(pixels)
    measure_curve(prefixes, pixels, stream)


def _timed(times: list[float], work: Callable[[Any], Any], given: object) -> Any:
    started = time.process_time()
    done = work(given)
    times.append(1e3 * (time.process_time() - started))
    return done


def _medians(times: Times) -> dict[str, float]:
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def _avif(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "AVIF", quality=0, max_threads=1)
    return buffer.getvalue()


def _from_avif(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _thumbnails(folder: Path | None, size: int) -> Iterator[NDArray[np.uint8]]:
    if folder is None:
        for seed in range(_SYNTHETIC):
            yield thumbnail(uploads.synthetic(320, 240, seed), size).pixels
        return
    found = False
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            pixels = thumbnail(path.read_bytes(), size).pixels
        except IngestError:
            continue  # no picture
        found = True
        yield pixels
    if not found:
        raise SystemExit(f"no pictures in {folder}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.codec", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pictures", type=Path, nargs="?", help="a folder (default: synthetic ones)")
    parser.add_argument("--size", type=int, default=32, help="long side in pixels (default 32)")
    parser.add_argument("--model", type=Path, default=_MODEL, help=f"a folder (default {_MODEL})")
    parser.add_argument("--rounds", type=int, default=3, help="turns for each picture (default 3)")
    parser.add_argument("--out", type=Path, help="write the medians to this JSON file, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
