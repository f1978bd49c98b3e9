"""Speed of ``thumbstream compress-all``, compared with decoding and reducing alone.

Measured in pictures per second of processor time, of this process and its workers: other programs
on the machine would change a rate more, since workers have the lowest priority. The contenders take
turns, round by round, so that a machine that slows down slows all of them; the first round warms
up. Process pools start before. A run is complete: files are read, streams and curves go into a new
SQLite store, the journal is written. For comparison:

* the same in as many threads, which shows why there are processes;
* the runner with work that takes no time: the rate that one writer can sustain.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from loadtest.bench.hostile import Processes
from loadtest.lib import uploads
from thumbstream.bulk.encode_files import Job, Outcome, encode_files
from thumbstream.bulk.journal import FileResult, Journal
from thumbstream.bulk.pool import LocalPool, WorkerPool
from thumbstream.bulk.runner import Runner
from thumbstream.bulk.scan import FileInfo, stat_file, walk_images
from thumbstream.bulk.writer import StoreWriter
from thumbstream.encoding import EncodeOptions
from thumbstream.ids import curve_key, identify
from thumbstream.images import thumbnail
from thumbstream.models import DEFAULT_MODEL
from thumbstream.process_pool import JobLimits
from thumbstream.storage import open_store

Rates = dict[str, list[float]]
YARDSTICK = "decode and reduce, {} process"
SIZE = 32
BATCH = 16
"""Files of one job of the yardstick."""
OPTIONS = EncodeOptions(SIZE, model=DEFAULT_MODEL)
WORKERS = (1, 2)
VARIANTS = 16
"""Different synthetic pictures of each kind."""
LARGE = 4_000_000
"""Pixels of a picture of which half as many do."""
MANY = 32
"""Workers that the loop alone seems to have: it writes what comes from all of them together."""
WRITTEN = 20_000
"""Pictures that the loop alone is given."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Resolution of processor times, in seconds."""


class InThreads:
    """A worker pool of threads."""

    batch_size = 1
    crash_errors: tuple[type[BaseException], ...] = ()
    isolated = True

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)

    def max_in_flight(self) -> int:
        """As `LocalPool` has."""
        return 2 * self._workers

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Start on ``batch``."""
        return self._pool.submit(encode_files, job, batch)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Precomputed(InThreads):
    """A pool that returns the outcome of one file for all, each under an id of its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(MANY)
        self._template = outcome

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        """Complete at once."""
        future: Future[list[Outcome]] = Future()
        future.set_result([self._outcome(file) for file in batch])
        return future

    def _outcome(self, file: FileInfo) -> Outcome:
        encoded = self._template.result.encoded
        assert encoded is not None
        key = identify(file.path.encode())
        values = zip((key, curve_key(key)), self._template.values.values(), strict=False)
        return Outcome(FileResult(file, encoded._replace(id=key)), dict(values))


class Silent:
    """A report that discards everything."""

    def add_done(self, count: int) -> None:
        """Nothing."""

    def add_results(self, results: Sequence[FileResult]) -> None:
        """Nothing."""


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        kinds = {}
        for kind, paths in _kinds(args, Path(folder)).items():
            rates = _measured(paths, args.rounds, Path(folder))
            _print(kind, len(paths), rates)
            kinds[kind] = {"pictures": len(paths), "rates": _summaries(rates)}
        alone = _loop_alone(paths[0], Path(folder))
        print(f"the loop alone: {alone}")
    report = {
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
        },
        "model": DEFAULT_MODEL,
        "size": SIZE,
        "kinds": kinds,
        "loop_alone": alone,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _measured(paths: list[str], rounds: int, folder: Path) -> Rates:
    """Pictures a second of every contender in every round but the first."""
    processes = Processes(os.getpid())
    rates: Rates = defaultdict(list)
    with ExitStack() as stack:
        contenders: dict[str, Callable[[], object]] = {}
        for workers in WORKERS:
            executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            stack.callback(executor.shutdown)
            contenders[YARDSTICK.format(workers)] = partial(_reduce_all, executor, paths)
            pools: dict[str, WorkerPool[Job]] = {
                "process": LocalPool(workers, JobLimits()),
                "thread": InThreads(workers),
            }
            for name, pool in pools.items():
                stack.enter_context(closing(pool))
                for curves in (True, False):
                    if name == "process" or (workers > 1 and curves):
                        title = f"{'with' if curves else 'without'} curves, {workers} {name}"
                        job = Job(OPTIONS, curves=curves)
                        contenders[title] = partial(_run, job, pool, paths, folder)
        for number in range(rounds + 1):
            for name, work in contenders.items():
                before = processes.cpu_seconds()
                work()
                seconds = processes.cpu_seconds() - before
                if number:  # the first round has warmed up
                    rates[name].append(len(paths) / max(seconds, _TICK))
    return rates


def _run(job: Job, pool: WorkerPool[Job], paths: Sequence[str], folder: Path) -> tuple[int, int]:
    """A whole run into a new store with a new journal; bytes of both files afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store, journal = Path(place, "streams.db"), Path(place, "journal")
        with closing(Journal(journal, job.fingerprint(), "a new one")) as notes:
            writer = StoreWriter(open_store(f"sqlite:///{store}"), lambda: False)
            with closing(writer):
                writer.open()
                runner = Runner(job, pool, writer, notes, Silent())
                runner.run(paths)
        if runner.counts.encoded != len(paths):
            raise SystemExit(f"bench_bulk: {runner.counts.failed} pictures failed")
        return store.stat().st_size, journal.stat().st_size


def _pictures(folder: Path) -> list[str]:
    return list(walk_images(str(folder), lambda *_: None, lambda _: None))


def _reduce_all(executor: Executor, paths: Sequence[str]) -> None:
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    for _ in executor.map(_reduce, batches):
        pass


def _reduce(paths: Sequence[str]) -> None:
    for path in paths:
        with Path(path).open("rb") as file:
            thumbnail(file, SIZE)


def _loop_alone(path: str, folder: Path) -> dict[str, float]:
    """The same file under many names (so that nothing is done already), made in no time."""
    job = Job(OPTIONS)
    (outcome,) = encode_files(job, [stat_file(path)])
    pool = Precomputed(outcome)
    names = Path(folder, "names")
    names.mkdir()
    for number in range(WRITTEN):
        (names / f"{number}.jpg").symlink_to(path)
    paths = _pictures(names)
    started = time.process_time()
    store, journal = _run(job, pool, paths, folder)
    seconds = time.process_time() - started
    return {
        "pictures": WRITTEN,
        "pictures_per_second": round(WRITTEN / seconds),
        "stream_and_curve_bytes": sum(len(value) for value in outcome.values.values()),
        "store_bytes_per_picture": round(store / WRITTEN),
        "journal_bytes_per_picture": round(journal / WRITTEN),
    }


def _summaries(rates: Rates) -> dict[str, dict[str, float]]:
    summaries = {}
    for name, values in rates.items():
        yardstick = rates[YARDSTICK.format(name.split()[-2])]
        ratios = [value / beside for value, beside in zip(values, yardstick, strict=True)]
        summaries[name] = {
            "pictures_per_second": round(statistics.median(values), 1),
            "ratio": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    return summaries


def _print(kind: str, pictures: int, rates: Rates) -> None:
    print(f"{pictures} x {kind}; ratios to decoding and reducing in as many processes")
    for name, summary in _summaries(rates).items():
        spread = f"{summary['lowest']:.2f} .. {summary['highest']:.2f}"
        rate, ratio = summary["pictures_per_second"], summary["ratio"]
        print(f"  {name:32} {rate:7.1f} a processor second  {ratio:.2f} ({spread})")


def _kinds(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Files by a name to print."""
    if args.pictures:
        paths = sorted(_pictures(args.pictures))
        if not paths:
            raise SystemExit(f"no pictures in {args.pictures}")
        return {f"pictures of {args.pictures.name}": paths}
    kinds = {}
    for number, (kind, (width, height)) in enumerate(uploads.SIZES.items()):
        place = folder / str(number)
        place.mkdir()
        drawn = [folder / f"{number}-{seed}" for seed in range(VARIANTS)]
        for seed, path in enumerate(drawn):
            path.write_bytes(uploads.synthetic(width, height, seed))
        count = args.count if width * height < LARGE else args.count // 2
        for name in range(count):  # a file under many names is read and encoded each time
            (place / f"{name}.jpg").symlink_to(drawn[name % VARIANTS])
        kinds[kind] = _pictures(place)
    return kinds


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.bulk", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pictures", type=Path, nargs="?", help="a folder (default: synthetic ones)")
    parser.add_argument("--count", type=int, default=128, help="synthetic pictures (default 128)")
    parser.add_argument("--rounds", type=int, default=3, help="turns for each (default 3)")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
