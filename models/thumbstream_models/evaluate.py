"""Rate-distortion of thumbstream beside other codecs: ``thumbstream-models evaluate DIR [DIR...]``.

Pictures are reduced to the thumbnail grid, coded by every codec in every useful way, decoded, and
scored at each budget of bytes. What is charged for each codec is said in the result and on the
page that is made of it. Prints a table; ``--out`` writes JSON; ``--table`` makes the pages and
plots of such JSON files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from thumbstream import zoo
from thumbstream_models import measure, pages, pictures, plot, results, sheet
from thumbstream_models.baselines import BASELINES, Codec
from thumbstream_models.streams import Thumbstream

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        "sources", nargs="*", type=Path, metavar="SOURCE", help="folders, tars or .npz of pictures"
    )
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    parser.add_argument("--size", type=int, default=32, help="long side of the grid (default 32)")
    parser.add_argument(
        "--grid", choices=list(pictures.GRIDS), default="crop", help="how pictures are reduced"
    )
    parser.add_argument(
        "--budgets", type=_numbers, default=BUDGETS, metavar="N,N,...", help="bytes to measure at"
    )
    parser.add_argument(
        "--codecs",
        type=_names,
        default=(results.OURS, *BASELINES),
        metavar="NAME,NAME,...",
        help=f"codecs to measure, of {', '.join((results.OURS, *BASELINES))} (default: all)",
    )
    parser.add_argument("--model", help="id of the published model (default: the default one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--limit", type=int, help="measure this many pictures, evenly spread")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="draw a contact sheet to look at, and stop"
    )
    parser.add_argument(
        "--table",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="make plots and pages of all these results, and stop",
    )
    parser.add_argument(
        "--root", type=Path, default=Path(), help="where --table finds README.md and docs/"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if args.table:
        publish(args.table, args.root)
        return 0
    if not args.sources:
        raise SystemExit("evaluate: no pictures: name a folder, a tar or an .npz file")
    taken = pictures.load(args.sources, args.size, args.grid, quiet=args.quiet)
    if args.limit:
        taken = pictures.spread(taken, args.limit)
    codecs = choose(args.codecs, args.model, args.device)
    if args.sheet:
        sheet.draw(taken.pixels, codecs).save(args.sheet)
        return 0
    scores = measure.measure(taken.pixels, codecs, args.budgets, jobs=args.jobs, quiet=args.quiet)
    model = (args.model or zoo.DEFAULT_MODEL) if results.OURS in scores else None
    result = results.summary(
        taken,
        args.sources,
        args.size,
        args.grid,
        codecs,
        args.budgets,
        scores,
        results.environment(model, args.device),
    )
    print(pages.plain(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(results.dumps(result), encoding="utf-8")
    return 0


def choose(names: Sequence[str], model: str | None, device: str) -> list[Codec]:
    """The codecs of these names, thumbstream with this model."""
    return [
        Thumbstream(model, device) if name == results.OURS else BASELINES[name] for name in names
    ]


def publish(paths: Sequence[Path], root: Path) -> None:
    """Draw the plot beside each result, and put the tables into the pages under ``root``."""
    loaded = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(paths)}
    for path in paths:
        path.with_suffix(".svg").write_text(plot.svg(loaded[path.stem]), encoding="utf-8")
    pages.write(root / "docs" / "benchmark.md", pages.detail(loaded))
    pages.write(root / "README.md", pages.digest(loaded))


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if numbers[0] < 1:
        raise argparse.ArgumentTypeError("a budget is at least one byte")
    return numbers


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in (results.OURS, *BASELINES):
            raise argparse.ArgumentTypeError(f"unknown codec {name!r}")
    return names


if __name__ == "__main__":
    _parser = argparse.ArgumentParser("evaluate", description=__doc__)
    add_arguments(_parser)
    raise SystemExit(main(_parser.parse_args()))
