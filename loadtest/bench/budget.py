"""What curves cost at an upload, and what a page's budget gains by them.

For every picture of a folder: processor time to encode it, processor time to measure the curve of
its stream, and the bytes of both as they are stored. Then the folder is one page: for some budgets,
the mean quality of `POST /budget`'s split, that of equal shares, and how many bytes each picture
would need for equal shares to be as good.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from thumbstream.codec.rate_curve import RateCurve, measure_curve
from thumbstream.errors import IngestError
from thumbstream.images import thumbnail
from thumbstream.models import installed_models
from thumbstream.page_budget import PageImage, plan_budget

BYTES_EACH = (16, 32, 64, 128)


def main(argv: list[str] | None = None) -> int:
    """Measure a folder and print it; returns the exit status."""
    args = _arguments().parse_args(argv)
    codec = installed_models("cpu").load(args.model)
    encoding = measuring = stored_streams = stored_curves = 0.0
    curves = []
    for path in sorted(path for path in args.pictures.rglob("*") if path.is_file()):
        try:
            pixels = thumbnail(path.read_bytes(), args.size).pixels
        except IngestError:
            continue  # no picture
        started = time.process_time()
        stream = codec.encode(pixels)
        encoded = time.process_time()
        curve = measure_curve(codec, pixels, stream)
        encoding += encoded - started
        measuring += time.process_time() - encoded
        stored = curve.to_bytes()
        stored_streams += len(stream)
        stored_curves += len(stored)
        curves.append(RateCurve.from_bytes(stored))  # as the service reads it
    if not curves:
        raise SystemExit(f"no pictures in {args.pictures}")
    n = len(curves)
    print(f"{n} pictures, long side {args.size}, model {codec.model_id}")
    print(f"processor time: encode {1e3 * encoding / n:.1f} ms, curve {1e3 * measuring / n:.1f} ms")
    print(f"stored: stream {stored_streams / n:.0f} bytes, curve {stored_curves / n:.0f} bytes")
    for measure in ("ssim", "psnr"):
        page = [PageImage(curve.lengths, getattr(curve, measure)) for curve in curves]
        for each in BYTES_EACH:
            print(line(measure, page, each))
    return 0


def line(measure: str, page: Sequence[PageImage], each: int) -> str:
    """One budget of ``each`` bytes a picture."""
    found = plan_budget(page, each * len(page))
    longest = max(picture.lengths[-1] for picture in page)
    as_good = (
        limit
        for limit in range(each, longest + 1)
        if sum(picture.at(limit).quality for picture in page) >= found.best.mean * len(page)
    )
    return (
        f"{measure} {each:4} bytes each: split {found.best.mean:.3f}, "
        f"equal shares {found.uniform.mean:.3f}, as good with {next(as_good, longest)} bytes each"
    )


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.budget", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--size", type=int, default=32, help="long side in pixels (default 32)")
    parser.add_argument("--model", help="model id (default: the default one)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
