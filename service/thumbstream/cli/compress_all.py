"""``thumbstream compress-all``, which encodes the pictures of a folder or a list into a store.

Settings without a command line option come from the environment (``THUMBSTREAM_STORE``,
``THUMBSTREAM_MODELS``, limits and so on), as in the service, so that the command and an upload
encode a picture to the same stream.

Exit status: 0 if every picture is in the store; 1 if pictures failed (the output lists them) or the
run ended with an error; 128 plus the signal number if a signal stopped the run. The same command
continues a run that was stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from thumbstream.bulk.cluster import DaskCluster
from thumbstream.bulk.encode_files import Job, reason_of
from thumbstream.bulk.journal import Journal
from thumbstream.bulk.pool import LocalPool, WorkerPool
from thumbstream.bulk.runner import Runner
from thumbstream.bulk.scan import SkippedFiles, Source
from thumbstream.bulk.writer import (
    StoreWriter,
    check_results_name,
    store_identity,
    write_results,
)
from thumbstream.cli.options import (
    STORE_HELP,
    add_command,
    add_encode_options,
    encode_options,
    positive,
    read_settings,
)
from thumbstream.cli.progress import Progress
from thumbstream.process_pool import JobLimits
from thumbstream.storage import open_store

if TYPE_CHECKING:
    from thumbstream.settings import Settings

JOURNAL = "compress-all.journal"

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOP_TEXT = b"\nthumbstream: finishing what is in flight; a second signal ends at once\n"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "encode the pictures of a folder or a list into a store; continues where it stopped"
    parser = add_command(commands, "compress-all", run, text)
    parser.add_argument(
        "pictures",
        metavar="DIR|LIST",
        help="folder, with its subfolders; or a file of paths, one a line; or - for such a list",
    )
    parser.add_argument(
        "--null", action="store_true", help="paths in the list end with NUL (find -print0)"
    )
    parser.add_argument("--store", help=f"{STORE_HELP} (default: THUMBSTREAM_STORE)")
    parser.add_argument(
        "--journal",
        default=JOURNAL,
        metavar="FILE",
        help=f"what is done and what failed, for the next run (default: {JOURNAL})",
    )
    parser.add_argument(
        "--results",
        type=_results_name,
        metavar="FILE",
        help="write path, id, length, sides, first bytes, and whether the file was cut off, of all "
        "that is done: .jsonl or .csv",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="look up every stream of the journal in the store, and encode what is missing",
    )
    add_encode_options(parser)
    parser.add_argument(
        "--curves",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="measure rate-distortion curves, for ?ssim= and budgets (default: "
        "THUMBSTREAM_MEASURE_CURVES, yes)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, help="processes (default: one for each core)")
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask cluster, such as tcp://host:8786"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    settings = read_settings(
        store=args.store, measure_curves=args.curves, encode_workers=args.workers
    )
    job = Job(
        encode_options(args, settings),
        curves=settings.measure_curves,
        device=settings.device,
        limits=settings.image_limits,
    )
    store = open_store(settings.store, timeout=settings.store_timeout_seconds)
    source = Source(args.pictures, b"\0" if args.null else b"\n")
    identity = store_identity(settings.store)
    with (
        closing(
            Journal(args.journal, job.fingerprint(), identity, any_store=args.verify)
        ) as journal,
        closing(_worker_pool(args, settings)) as pool,
        closing(Progress()) as progress,
    ):
        writer = StoreWriter(store, lambda: runner.stopping)
        runner = Runner(job, pool, writer, journal, progress, verify=args.verify)
        signal_number = _work(runner, writer, progress, source)
        if args.results:
            write_results(args.results, journal.encoded_files())
    if signal_number:
        return 128 + signal_number
    return 1 if runner.counts.failed else 0


def _work(runner: Runner, writer: StoreWriter, progress: Progress, source: Source) -> int:
    """Run until all paths are processed (returns 0) or a signal arrives (returns its number)."""
    skipped = SkippedFiles()

    def stop() -> None:
        runner.stopping = True

    def on_error(folder: str, error: OSError) -> None:
        runner.counts.failed += 1
        progress.log(f"{folder}: {reason_of(error)}")

    finished = False
    try:
        with closing(writer), graceful_signals(stop) as caught:
            writer.open()
            if source.countable:
                progress.count(lambda: source.paths(lambda *_: None, lambda _: None))
            runner.run(source.paths(on_error, skipped.add))
        finished = not caught
        return caught[0] if caught else 0
    finally:
        progress.close()
        for line in skipped.lines():
            progress.log(line)
        counts = runner.counts
        progress.log(
            f"{counts.encoded} encoded, {counts.done_before} done before, {counts.failed} failed"
            + ("" if finished else "; stopped: the same command continues from here")
        )


def _worker_pool(args: argparse.Namespace, settings: Settings) -> WorkerPool:
    if args.scheduler:
        return DaskCluster(args.scheduler)
    limits = JobLimits(
        memory_bytes=settings.job_memory_bytes,
        processor_seconds=settings.job_cpu_seconds,
        seconds=settings.job_timeout_seconds,
    )
    return LocalPool(settings.workers, limits)


def _results_name(name: str) -> Path:
    try:
        return check_results_name(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextmanager
def graceful_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Handle the first SIGINT or SIGTERM inside the ``with`` block by a call of ``stop``.

    The number of this signal is appended to the list that the context manager yields. Later signals
    have their previous handlers. Must be used in the main thread.
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        restore()
        stop()
        os.write(2, _STOP_TEXT)  # not print(), which the signal may have interrupted

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield caught
    finally:
        restore()
