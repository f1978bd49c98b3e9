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
from contextlib import closing
from typing import TYPE_CHECKING

from thumbstream.bulk.cluster import DaskCluster
from thumbstream.bulk.encode_files import Job
from thumbstream.bulk.pool import LocalPool, WorkerPool
from thumbstream.bulk.runner import Runner
from thumbstream.bulk.writer import StoreWriter, store_identity
from thumbstream.cli.bulk import add_files_options, open_journal, run_files
from thumbstream.cli.options import (
    STORE_HELP,
    add_command,
    add_encode_options,
    encode_options,
    label,
    positive,
    read_settings,
)
from thumbstream.cli.progress import Progress
from thumbstream.process_pool import JobLimits
from thumbstream.storage import Record, open_store
from thumbstream.storage.base import NO_LABEL

if TYPE_CHECKING:
    from thumbstream.settings import Settings

JOURNAL = "compress-all.journal"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "encode the pictures of a folder or a list into a store; continues where it stopped"
    parser = add_command(commands, "compress-all", run, text)
    add_files_options(parser, JOURNAL)
    parser.add_argument("--store", help=f"{STORE_HELP} (default: THUMBSTREAM_STORE)")
    parser.add_argument(
        "--label",
        type=label,
        help="a name to find and delete these streams by, as ?label= of an upload",
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
    days = settings.retention_days
    store = open_store(settings.store, timeout=settings.store_timeout_seconds, expiring=bool(days))
    with (
        open_journal(args, job.fingerprint(), store_identity(settings.store)) as journal,
        closing(_worker_pool(args, settings)) as pool,
        closing(Progress()) as progress,
    ):
        writer = StoreWriter(
            store,
            lambda: runner.stopping,
            lambda: Record.now(args.label or NO_LABEL, retention_days=days),
        )
        runner = Runner(job, pool, writer, journal, progress, verify=args.verify)
        with closing(writer):
            writer.open()
            return run_files(args, runner, journal, progress)


def _worker_pool(args: argparse.Namespace, settings: Settings) -> WorkerPool[Job]:
    if args.scheduler:
        return DaskCluster(args.scheduler)
    limits = JobLimits(
        memory_bytes=settings.job_memory_bytes,
        processor_seconds=settings.job_cpu_seconds,
        seconds=settings.job_timeout_seconds,
    )
    return LocalPool(settings.workers, limits)
