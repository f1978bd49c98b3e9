"""What ``compress-all`` and ``upload`` share: options, the run over all files, signals.

Exit status: 0 if every picture is done; 1 if pictures failed (the output lists them) or the run
ended with an error; 128 plus the signal number if a signal stopped the run. The same command
continues a run that was stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import FrameType

from thumbstream.bulk.encode_files import reason_of
from thumbstream.bulk.journal import Journal
from thumbstream.bulk.runner import AnyRunner
from thumbstream.bulk.scan import SkippedFiles, Source
from thumbstream.bulk.writer import check_results_name, write_results
from thumbstream.cli.progress import Progress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOP_TEXT = b"\nthumbstream: finishing what is in flight; a second signal ends at once\n"


def add_files_options(parser: argparse.ArgumentParser, journal: str) -> None:
    """Add the options that name the pictures, the journal and the results file.

    ``journal``: default name of the journal.
    """
    parser.add_argument(
        "pictures",
        metavar="DIR|LIST",
        help="folder, with its subfolders; or a file of paths, one a line; or - for such a list",
    )
    parser.add_argument(
        "--null", action="store_true", help="paths in the list end with NUL (find -print0)"
    )
    parser.add_argument(
        "--journal",
        default=journal,
        metavar="FILE",
        help=f"what is done and what failed, for the next run (default: {journal})",
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


def open_journal(
    args: argparse.Namespace, job: Mapping[str, object], store: str
) -> AbstractContextManager[Journal]:
    """Open the journal of the command line; ``job`` and ``store`` as in `Journal`."""
    return closing(Journal(args.journal, job, store, any_store=args.verify))


def run_files(
    args: argparse.Namespace, runner: AnyRunner, journal: Journal, progress: Progress
) -> int:
    """Run over all files, write the results file, and return the exit status."""
    signal_number = _run(runner, progress, Source(args.pictures, b"\0" if args.null else b"\n"))
    if args.results:
        write_results(args.results, journal.encoded_files())
    if signal_number:
        return 128 + signal_number
    return 1 if runner.counts.failed else 0


def _run(runner: AnyRunner, progress: Progress, source: Source) -> int:
    """Run until all paths are processed (returns 0) or a signal arrives (returns its number)."""
    skipped = SkippedFiles()

    def stop() -> None:
        runner.stopping = True

    def on_error(folder: str, error: OSError) -> None:
        runner.counts.failed += 1
        progress.log(f"{folder}: {reason_of(error)}")

    finished = False
    try:
        with graceful_signals(stop) as caught:
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
