"""The loop of a bulk run.

    paths -> files that are not done, in batches -> worker pool -> store -> journal -> report

A few batches are in flight at a time. All that have returned go to the store together, so that many
streams share a commit or a round trip, and only then into the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from thumbstream.bulk.encode_files import Job, Outcome, reason_of
from thumbstream.bulk.journal import FileResult, Journal
from thumbstream.bulk.pool import WorkerPool
from thumbstream.bulk.scan import FileInfo, stat_file
from thumbstream.bulk.writer import StoreWriter
from thumbstream.errors import ThumbstreamError

LOOKUP_CHUNK = 256
"""Paths looked up in the journal, and to verify in the store, at a time."""

MAX_CONSECUTIVE_CRASHES = 16
"""Workers that die in a row with no file encoded in between: the files are not the cause."""

CRASHED = "the worker process died of it"


class CrashingError(ThumbstreamError):
    """Workers die whatever they encode."""


class Report(Protocol):
    """Shows the progress of a run."""

    def add_done(self, count: int) -> None:
        """Count files that an earlier run encoded."""

    def add_results(self, results: Sequence[FileResult]) -> None:
        """Show results that were just recorded in the journal."""


@dataclass
class Counts:
    """Files of a run, by what became of them."""

    encoded: int = 0
    done_before: int = 0
    failed: int = 0


class _Batch(NamedTuple):
    files: Sequence[FileInfo]
    alone: bool = False
    """If the worker dies, this batch is the cause: nothing else could be."""


class Runner:
    """One run: call `run` once. ``verify``: look up every stream of the journal in the store."""

    def __init__(
        self,
        job: Job,
        pool: WorkerPool,
        writer: StoreWriter,
        journal: Journal,
        report: Report,
        *,
        verify: bool = False,
    ) -> None:
        self._job = job
        self._pool = pool
        self._writer = writer
        self._journal = journal
        self._report = report
        self._verify = verify
        self.counts = Counts()
        self.stopping = False
        """Set it, also from a signal handler, to finish what is in flight and start nothing."""
        self._suspects: deque[FileInfo] = deque()  # one of them may have killed its worker
        self._crashes = 0  # since a batch returned

    def run(self, paths: Iterable[str]) -> None:
        """Work until ``paths`` end or `stopping` is set, and record every batch that returned.

        Raises `StoreError`, `JournalError`, `CrashingError`, and what `encode_files` raises.
        """
        batches = self._pending_batches(iter(paths))
        in_flight: dict[Future[list[Outcome]], _Batch] = {}
        while True:
            while not self.stopping and (batch := self._next(batches, len(in_flight))):
                in_flight[self._pool.submit(self._job, batch.files)] = batch
            if not in_flight:
                return
            returned, _ = wait(in_flight, return_when=FIRST_COMPLETED)
            self._finish([(future, in_flight.pop(future)) for future in returned])

    def _next(self, batches: Iterator[Sequence[FileInfo]], in_flight: int) -> _Batch | None:
        """The batch to submit now; suspects one by one, while nothing else is in flight."""
        if self._suspects:
            return None if in_flight else _Batch([self._suspects.popleft()], alone=True)
        if in_flight < self._pool.max_in_flight() and (files := next(batches, None)):
            return _Batch(files, alone=self._pool.isolated)
        return None

    def _pending_batches(self, paths: Iterator[str]) -> Iterator[list[FileInfo]]:
        size = self._pool.batch_size
        pending: list[FileInfo] = []
        while not self.stopping and (chunk := list(islice(paths, LOOKUP_CHUNK))):
            pending += self._pending_files(chunk)
            while len(pending) >= size:
                yield pending[:size]
                del pending[:size]
        if pending:
            yield pending

    def _pending_files(self, paths: Sequence[str]) -> list[FileInfo]:
        """Files that are not done yet; records those that cannot be read."""
        unreadable, pending, done = [], [], []
        for path in paths:
            try:
                file = stat_file(path)
            except OSError as error:
                unreadable.append(FileResult(FileInfo(path, 0, 0), reason=reason_of(error)))
                continue
            row = self._journal.find(path)
            if row is not None and row.matches(file):
                done.append((file, row))
            else:
                pending.append(file)
        if self._verify and done:
            missing = self._writer.missing([row for _, row in done], curves=self._job.curves)
            pending += [file for file, row in done if row.id in missing]
        self._record(unreadable)
        done_before = len(paths) - len(unreadable) - len(pending)
        self.counts.done_before += done_before
        self._report.add_done(done_before)
        return pending

    def _finish(self, returned: Sequence[tuple[Future[list[Outcome]], _Batch]]) -> None:
        """Store and record what was encoded; then raise the first error that is not a crash."""
        outcomes: list[Outcome] = []
        failure: BaseException | None = None
        for future, batch in returned:
            error = future.exception()
            if error is None:
                outcomes += future.result()
                self._crashes = 0
            elif isinstance(error, self._pool.crash_errors):
                outcomes += self._after_crash(batch)
            else:
                failure = failure or error
        if values := {key: value for one in outcomes for key, value in one.values.items()}:
            self._writer.put_many(values)
        self._record([outcome.result for outcome in outcomes])
        if failure is not None:
            raise failure
        if self._crashes >= MAX_CONSECUTIVE_CRASHES:
            raise CrashingError(f"{self._crashes} workers died in a row")

    def _after_crash(self, batch: _Batch) -> list[Outcome]:
        if not batch.alone:
            self._suspects += batch.files
            return []
        self._crashes += 1
        return [Outcome(FileResult(file, reason=CRASHED)) for file in batch.files]

    def _record(self, results: Sequence[FileResult]) -> None:
        if not results:
            return
        self._journal.record(results)
        failed = sum(result.encoded is None for result in results)
        self.counts.failed += failed
        self.counts.encoded += len(results) - failed
        self._report.add_results(results)
