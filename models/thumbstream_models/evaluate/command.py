"""Rate-distortion of thumbstream beside other codecs: ``thumbstream-models evaluate DIR [DIR...]``.

Pictures are reduced to the thumbnail grid, coded by every codec in every useful way, decoded, and
scored at each budget of bytes. What is charged for each codec is said in the result and on the
page that is made of it. Prints a table; ``--out`` writes JSON; ``--plan`` makes all the JSON files
that are published; ``--table`` makes the pages and plots of such files.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from thumbstream.models import DEFAULT_MODEL, installed_models
from thumbstream_models.evaluate import (
    acceptance,
    benchmark_suite,
    contact_sheet,
    measure,
    pages,
    pictures,
    plots,
    results,
    score_cache,
    streams,
    tables,
)
from thumbstream_models.evaluate.baselines import BASELINES, Codec

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_SHEET_PICTURES = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add = parser.add_argument
    add("sources", nargs="*", type=Path, metavar="SOURCE", help="folders, tars or .npz of pictures")
    add("--out", type=Path, help="write the results to this JSON file (--plan: into this folder)")
    add("--size", type=int, default=32, help="long side of the grid (default 32)")
    add("--grid", choices=list(pictures.GRIDS), default="crop", help="how pictures are reduced")
    add("--budgets", type=_numbers, default=BUDGETS, metavar="N,N,...", help="bytes to measure at")
    add(
        "--codecs",
        type=_names,
        metavar="NAME,NAME,...",
        help=f"of {', '.join(BASELINES)}, thumbstream (the default model), the ids of published "
        "models, and the words baselines and models (default: thumbstream,baselines)",
    )
    add("--reference", help="codec that the others are compared with (default: the first model)")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: cores)")
    add("--limit", type=int, help="measure this many pictures, evenly spread")
    add("--fast", action="store_true", help=f"the same as --limit {benchmark_suite.FAST}")
    add("--quiet", action="store_true", help="no progress bars")
    add(
        "--cache",
        type=Path,
        default=score_cache.default_folder(),
        metavar="DIR",
        help="scores are kept here, so that a stopped run goes on (default: %(default)s)",
    )
    add("--no-cache", action="store_true", help="measure everything, and keep nothing")
    add("--sheet", type=Path, metavar="PNG", help="draw a contact sheet to look at, and stop")
    add(
        "--plan", type=Path, metavar="TOML", help="make every result of this list; SOURCE: a folder"
    )
    add(
        "--table",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="make plots and pages of all these results, and stop",
    )
    add("--root", type=Path, default=Path(), help="where --table finds README.md and docs/")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if args.table:
        publish(args.table, args.root)
        return 0
    if not args.sources:
        raise SystemExit("evaluate: no pictures: name a folder, a tar or an .npz file")
    try:
        if args.plan:
            return _all(args)
        run = benchmark_suite.Run("", tuple(map(str, args.sources)), args.size, args.grid)
        if args.sheet:
            draw(args, run)
            return 0
        result = one(args, Path(), run)
    except KeyboardInterrupt:
        kept = "" if args.no_cache else f": the same command goes on from {args.cache}"
        raise SystemExit(f"evaluate: stopped{kept}") from None
    print(tables.plain(result))
    if len(reached := acceptance.goals(result)) > 1:
        print(f"\n{tables.aligned(reached)}")
    if args.out:
        _write(args.out, result)
    return 0


def _all(args: argparse.Namespace) -> int:
    if len(args.sources) != 1 or args.out is None:
        raise SystemExit("evaluate: --plan wants one folder of pictures, and --out for the results")
    for run in benchmark_suite.read(args.plan):
        print(f"{run.name}:")
        _write(args.out / f"{run.name}.json", one(args, args.sources[0], run))
    return 0


def one(args: argparse.Namespace, base: Path, run: benchmark_suite.Run) -> results.Results:
    """Measure one run, whose sources are below ``base``."""
    codecs = choose(args.codecs or run.codecs, args.device)
    reference = results.reference_of(codecs, args.reference)
    if reference is not None and reference not in {codec.name for codec in codecs}:
        raise SystemExit(f"evaluate: the reference {reference} is not among the codecs")
    taken = _pictures(args, base, run)
    scores = measure.measure(
        taken.pixels,
        codecs,
        args.budgets,
        jobs=args.jobs,
        quiet=args.quiet,
        cache=None if args.no_cache else score_cache.Cache(args.cache),
    )
    sources = [Path(source).name for source in run.sources]
    surroundings = results.environment(codecs)
    return results.summary(taken, sources, codecs, args.budgets, scores, surroundings, reference)


def draw(args: argparse.Namespace, run: benchmark_suite.Run) -> None:
    """Draw a contact sheet, of few pictures unless told otherwise."""
    few = run if args.limit or args.fast else benchmark_suite.shortened(run, _SHEET_PICTURES)
    taken = _pictures(args, Path(), few)
    contact_sheet.draw(taken.pixels, choose(args.codecs or run.codecs, args.device)).save(
        args.sheet
    )


def _pictures(args: argparse.Namespace, base: Path, run: benchmark_suite.Run) -> pictures.Pictures:
    for limit in filter(None, (args.limit, benchmark_suite.FAST if args.fast else None)):
        run = benchmark_suite.shortened(run, limit)
    sources = [base / source for source in run.sources]
    taken = pictures.load(sources, run.size, run.grid, quiet=args.quiet)
    return pictures.subsample(taken, run.limit) if run.limit else taken


def choose(names: Sequence[str], device: str) -> list[Codec]:
    """The codecs of these names and words, each once, in this order; raises `ValueError`."""
    chosen: dict[str, Codec] = {}
    installed = installed_models().installed
    for name in names:
        if name in ("baselines", *BASELINES):
            chosen |= BASELINES if name == "baselines" else {name: BASELINES[name]}
        elif name in ("models", streams.OURS, *installed):
            ids = {"models": installed, streams.OURS: (DEFAULT_MODEL,)}.get(name, (name,))
            chosen |= {model: streams.Thumbstream(model, device) for model in ids}
        else:
            raise ValueError(f"unknown codec {name!r}")
    return list(chosen.values())


def publish(paths: Sequence[Path], root: Path) -> None:
    """Draw the plots beside each result, and put the tables into the pages under ``root``."""
    loaded = {path.stem: results.load(path) for path in sorted(paths)}
    for path in paths:
        for suffix, plot in plots.plots(loaded[path.stem]).items():
            path.with_name(f"{path.stem}{suffix}.svg").write_text(plot.svg(), encoding="utf-8")
    pages.write(root / "docs" / "benchmark.md", pages.detail(loaded))
    pages.write(root / "README.md", pages.digest(loaded))


def _write(path: Path, result: results.Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.dumps(result), encoding="utf-8")


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if numbers[0] < 1:
        raise argparse.ArgumentTypeError("a budget is at least one byte")
    return numbers


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    try:
        choose(names, "auto")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


if __name__ == "__main__":
    _parser = argparse.ArgumentParser("evaluate", description=__doc__)
    add_arguments(_parser)
    raise SystemExit(main(_parser.parse_args()))
