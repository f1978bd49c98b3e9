"""Rate and distortion of thumbstream and other codecs: ``thumbstream-models evaluate DIR...``.

Pictures are reduced to the thumbnail grid, coded by every codec in every useful way, decoded, and
scored at each budget of bytes. Prints a table; ``--out`` writes JSON; ``--suite`` measures all
published results; ``--pages`` writes the pages and plots of results.
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

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 600)
_SHEET_PICTURES = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add = parser.add_argument
    add("sources", nargs="*", type=Path, metavar="SOURCE", help="folders, tars or .npz of pictures")
    add("--out", type=Path, help="JSON file for the result (with --suite: folder for the results)")
    add("--size", type=int, default=32, help="long side of the grid in pixels (default 32)")
    add("--grid", choices=list(pictures.GRIDS), default="crop", help="how pictures are reduced")
    add("--budgets", type=_budgets, default=BUDGETS, metavar="N,N,...", help="bytes to measure at")
    add(
        "--codecs",
        type=_codec_names,
        metavar="NAME,NAME,...",
        help=f"{', '.join(BASELINES)}, thumbstream (the default model), half (the same at half the "
        "size, enlarged), ids of installed models, baselines (all), models (all); default: "
        "thumbstream,baselines",
    )
    add("--reference", help="codec that the others are compared with (default: the first model)")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: cores)")
    add("--limit", type=int, help="measure this many pictures, evenly spread")
    add("--fast", action="store_true", help=f"same as --limit {benchmark_suite.FAST}")
    add("--quiet", action="store_true", help="no progress bars")
    add(
        "--cache",
        type=Path,
        default=score_cache.default_folder(),
        metavar="DIR",
        help="folder of cached scores, from which a stopped run resumes (default: %(default)s)",
    )
    add("--no-cache", action="store_true", help="measure everything and cache nothing")
    add("--contact-sheet", type=Path, metavar="PNG", help="write a picture of decoded thumbnails")
    add("--suite", type=Path, metavar="TOML", help="measure every result of this list")
    add("--pages", nargs="+", type=Path, metavar="JSON", help="write plots and pages of results")
    add("--root", type=Path, default=Path(), help="repository whose pages --pages writes")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if args.pages:
        write_pages(args.pages, args.root)
        return 0
    if not args.sources:
        raise SystemExit("evaluate: no pictures: name a folder, a tar or an .npz file")
    try:
        if args.suite:
            return _measure_suite(args)
        benchmark = benchmark_suite.Benchmark(
            "", tuple(map(str, args.sources)), args.size, args.grid
        )
        if args.contact_sheet:
            write_contact_sheet(args, benchmark)
            return 0
        result = measure_one(args, Path(), benchmark)
    except KeyboardInterrupt:
        hint = "" if args.no_cache else f"; the same command resumes from {args.cache}"
        raise SystemExit(f"evaluate: stopped{hint}") from None
    print(tables.plain(result))
    if len(rows := acceptance.acceptance_rows(result)) > 1:
        print(f"\n{tables.aligned(rows)}")
    if args.out:
        _write(args.out, result)
    return 0


def _measure_suite(args: argparse.Namespace) -> int:
    if len(args.sources) != 1 or args.out is None:
        raise SystemExit("evaluate: --suite needs one folder of pictures, and --out")
    for benchmark in benchmark_suite.read(args.suite):
        print(f"{benchmark.name}:")
        result = measure_one(args, args.sources[0], benchmark)
        _write(args.out / f"{benchmark.name}.json", result)
    return 0


def measure_one(
    args: argparse.Namespace, base: Path, benchmark: benchmark_suite.Benchmark
) -> results.Results:
    """Measure one benchmark, whose sources are relative to ``base``."""
    codecs = select_codecs(args.codecs or benchmark.codecs, args.device)
    reference = results.reference_of(codecs, args.reference)
    if reference is not None and reference not in {codec.name for codec in codecs}:
        raise SystemExit(f"evaluate: the reference {reference} is not among the codecs")
    loaded = _load_pictures(args, base, benchmark)
    scores = measure.measure(
        loaded.pixels,
        codecs,
        args.budgets,
        jobs=args.jobs,
        quiet=args.quiet,
        cache=None if args.no_cache else score_cache.ScoreCache(args.cache),
    )
    sources = [Path(source).name for source in benchmark.sources]
    environment = results.environment(codecs)
    return results.summary(loaded, sources, codecs, args.budgets, scores, environment, reference)


def write_contact_sheet(args: argparse.Namespace, benchmark: benchmark_suite.Benchmark) -> None:
    """Write a contact sheet, of a few pictures unless a limit is given."""
    if not (args.limit or args.fast):
        benchmark = benchmark_suite.limited(benchmark, _SHEET_PICTURES)
    loaded = _load_pictures(args, Path(), benchmark)
    codecs = select_codecs(args.codecs or benchmark.codecs, args.device)
    contact_sheet.render(loaded.pixels, codecs).save(args.contact_sheet)


def _load_pictures(
    args: argparse.Namespace, base: Path, benchmark: benchmark_suite.Benchmark
) -> pictures.Pictures:
    for limit in filter(None, (args.limit, benchmark_suite.FAST if args.fast else None)):
        benchmark = benchmark_suite.limited(benchmark, limit)
    sources = [base / source for source in benchmark.sources]
    loaded = pictures.load(sources, benchmark.size, benchmark.grid, quiet=args.quiet)
    return pictures.subsample(loaded, benchmark.limit) if benchmark.limit else loaded


def select_codecs(names: Sequence[str], device: str) -> list[Codec]:
    """The codecs of these names and groups, each once, in this order; raises `ValueError`."""
    selected: dict[str, Codec] = {}
    installed = installed_models().installed
    for name in names:
        if name in ("baselines", *BASELINES):
            selected |= BASELINES if name == "baselines" else {name: BASELINES[name]}
        elif name in ("models", streams.OURS, *installed):
            ids = {"models": installed, streams.OURS: (DEFAULT_MODEL,)}.get(name, (name,))
            selected |= {model: streams.Thumbstream(model, device) for model in ids}
        elif name == streams.HALF:
            selected[name] = streams.HalfSize(model=streams.Thumbstream(device=device))
        else:
            raise ValueError(f"unknown codec {name!r}")
    return list(selected.values())


def write_pages(paths: Sequence[Path], root: Path) -> None:
    """Write the plots of each result next to it, and the generated sections of the pages."""
    loaded = {path.stem: results.load(path) for path in sorted(paths)}
    for path in paths:
        for suffix, plot in plots.plots(loaded[path.stem]).items():
            path.with_name(f"{path.stem}{suffix}.svg").write_text(plot.svg(), encoding="utf-8")
    for page, section in pages.sections(loaded).items():
        pages.write(root / page, section)


def _write(path: Path, result: results.Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.dumps(result), encoding="utf-8")


def _budgets(text: str) -> tuple[int, ...]:
    budgets = tuple(sorted({int(part) for part in text.split(",")}))
    if budgets[0] < 1:
        raise argparse.ArgumentTypeError("budgets must be at least 1 byte")
    return budgets


def _codec_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    try:
        select_codecs(names, "auto")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names
