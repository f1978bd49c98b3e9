"""``thumbstream compress-all``: a store filled with the pictures of a folder or a list.

What no option says, the service's own settings say (``THUMBSTREAM_STORE``, ``_MODELS``, limits and
so on), so that a picture gets the stream here that an upload of it would get there.

Exit status: 0 every picture is in the store, 1 some are not (the lines above say why) or the run
could not go on, 128 and the signal's number when it was stopped; the same command goes on.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thumbstream.bulk.cluster import DaskCluster
from thumbstream.bulk.engine import Engine
from thumbstream.bulk.jobs import Job, reason_of
from thumbstream.bulk.journal import Journal, JournalError
from thumbstream.bulk.pool import Processes
from thumbstream.bulk.progress import Progress
from thumbstream.bulk.results_file import check_name, write_manifest
from thumbstream.bulk.runner import Runner
from thumbstream.bulk.signals import kindly
from thumbstream.bulk.source import Source
from thumbstream.bulk.writer import Keeper
from thumbstream.cli.arguments import STORE_HELP, add_encoding_options, positive
from thumbstream.encoding import EncodeOptions
from thumbstream.images import Alpha
from thumbstream.models import DEFAULT_MODEL, installed_models
from thumbstream.storage import open_store

if TYPE_CHECKING:
    from thumbstream.settings import Settings

TEXT = "the pictures of a folder or a list into a store; goes on where it was stopped"
JOURNAL = "compress-all.journal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "pictures",
        metavar="DIR|LIST",
        help="folder, with all below it; or a file of paths, one a line; or - for such a list",
    )
    parser.add_argument(
        "--null", action="store_true", help="paths in the list end with NUL (find -print0)"
    )
    parser.add_argument("--store", help=f"{STORE_HELP} (default: THUMBSTREAM_STORE)")
    parser.add_argument(
        "--journal",
        default=JOURNAL,
        metavar="FILE",
        help=f"what is done and what failed; read again at the next run (default: {JOURNAL})",
    )
    parser.add_argument(
        "--manifest",
        type=_manifest,
        metavar="FILE",
        help="write path, id, length, sides and preview of all that is done: .jsonl or .csv",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="ask the store for every stream that the journal has, and make what it lacks",
    )
    add_encoding_options(parser, size=None)
    parser.add_argument(
        "--curves",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="measure what prefixes are worth, for ?ssim= and budgets (default: "
        "THUMBSTREAM_MEASURE_CURVES, yes)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, help="processes (default: one for each core)")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on this Dask cluster, e.g. tcp://host:8786"
    )


def run(args: argparse.Namespace) -> int:
    """The command; returns the exit status."""
    settings = _settings(args)
    job = _job(args, settings)
    store = open_store(settings.store, timeout=settings.store_timeout_seconds)
    told = _without_secrets(settings.store)
    with (
        closing(Journal(args.journal, {**job.fingerprint(), "store": told})) as journal,
        closing(_engine(args, settings)) as engine,
        closing(Progress()) as progress,
    ):
        if not (args.verify or journal.belongs_to("store", told)):
            raise JournalError(
                f"the journal {args.journal} tells what another store has: use another --journal, "
                "or --verify to make what this one lacks"
            )
        keeper = Keeper(store, lambda: runner.stopping)
        runner = Runner(job, engine, keeper, journal, progress, verify=args.verify)
        caught = _work(
            runner, keeper, progress, Source(args.pictures, b"\0" if args.null else b"\n")
        )
        if not caught:
            journal.adopt("store", told)
        if args.manifest:
            write_manifest(args.manifest, journal.pictures())
    if caught:
        return 128 + caught
    return 1 if runner.tally.failed else 0


def _work(runner: Runner, keeper: Keeper, progress: Progress, source: Source) -> int:
    """Run to the end, or to a signal, whose number is returned then (else 0)."""

    def stop() -> None:
        runner.stopping = True

    def complain(place: str, error: OSError) -> None:
        runner.tally.failed += 1
        progress.say(f"{place}: {reason_of(error)}")

    finished = False
    try:
        with closing(keeper), kindly(stop) as caught:
            keeper.open()
            if source.countable:
                progress.count(lambda: source.paths(lambda *_: None))
            runner.run(source.paths(complain))
        finished = not caught
        return caught[0] if caught else 0
    finally:
        progress.close()
        tally = runner.tally
        then = "" if finished else "; stopped: the same command goes on from here"
        progress.say(f"{tally.made} made, {tally.skipped} done before, {tally.failed} failed{then}")


def _settings(args: argparse.Namespace) -> Settings:
    from thumbstream.settings import load_settings  # pydantic: for the commands that need it

    chosen = {
        "store": args.store,
        "default_size": args.size,
        "curves": args.curves,
        "encode_threads": args.workers,
    }
    return load_settings(**{name: value for name, value in chosen.items() if value is not None})


def _job(args: argparse.Namespace, settings: Settings) -> Job:
    model = args.model or next(iter(settings.models or installed_models().installed), DEFAULT_MODEL)
    installed_models().manifest(model)  # an unknown one is refused before anything is begun
    return Job(
        EncodeOptions(settings.default_size, args.max_bytes, args.target, model, Alpha(args.alpha)),
        curves=settings.measure_curves,
        device=settings.device,
        limits=settings.image_limits,
    )


def _engine(args: argparse.Namespace, settings: Settings) -> Engine:
    if args.scheduler:
        return DaskCluster(args.scheduler)
    return Processes(settings.threads)


def _without_secrets(url: str) -> str:
    """A store, to be known again by: no password, and the same from every folder."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return f"sqlite:{Path(parts.path.removeprefix('/')).absolute()}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}/{parts.path.strip('/')}"


def _manifest(name: str) -> Path:
    try:
        return check_name(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
