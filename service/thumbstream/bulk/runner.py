"""The main loop of a bulk run.

    paths -> batches of files that are not done -> worker pool -> store -> journal -> report

A few batches are in flight at a time. The results of all batches that have returned are written to
the store together, so that many streams share a commit or a round trip. After that, the results are
recorded in the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from thumbstream.bulk.encode_files import Outcome, reason_of
from thumbstream.bulk.journal import FileResult, Journal, JournalRow
from thumbstream.bulk.pool import WorkerPool
from thumbstream.bulk.scan import FileInfo, stat_file
from thumbstream.errors import ThumbstreamError

LOOKUP_CHUNK = 256
"""Number of paths that are looked up together in the journal and, to verify, in the store."""

MAX_CONSECUTIVE_CRASHES = 16
"""Number of consecutive worker crashes that ends the run with `CrashingError`."""

CRASHED = "the worker process died of it"


class CrashingError(ThumbstreamError):
    """Too many workers died in a row, so the cause is not a single file."""


class Report(Protocol):
    """An object that shows the progress of a run."""

    def add_done(self, count: int) -> None:
        """Add the number of files that an earlier run has encoded."""

    def add_results(self, results: Sequence[FileResult]) -> None:
        """Add results that the journal has just recorded."""


class FilesJob(Protocol):
    """The job of a run: parameters that its files share, which only the pool reads."""

    @property
    def curves(self) -> bool:
        """Whether `Writer.missing` looks up curves as well."""


class Writer(Protocol):
    """The destination of streams: `thumbstream.bulk.writer.StoreWriter`, or a service."""

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Store ``values`` by key; returns when all are durable. Raises `StoreError`."""

    def missing(self, rows: Sequence[JournalRow], *, curves: bool) -> set[str]:
        """Return the ids of ``rows`` whose stream, or curve, is missing. Raises `StoreError`."""


JobT = TypeVar("JobT", bound=FilesJob)


@dataclass
class Counts:
    """Numbers of files of a run, by their result."""

    encoded: int = 0
    done_before: int = 0
    failed: int = 0


class _Batch(NamedTuple):
    files: Sequence[FileInfo]
    alone: bool = False
    """Whether this batch must be the cause if its worker dies."""


class Runner(Generic[JobT]):
    """One bulk run; call `run` once.

    ``verify``: for each path that the journal calls done, look up stream and curve in the store,
    and encode the file again if either is missing. Unverified rows are always looked up.
    """

    def __init__(
        self,
        job: JobT,
        pool: WorkerPool[JobT],
        writer: Writer,
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
        """Set to True (also from a signal handler) to end the run after the batches in flight."""
        self._suspects: deque[FileInfo] = deque()  # files of batches whose worker died
        self._crashes = 0  # since a batch returned

    def run(self, paths: Iterable[str]) -> None:
        """Encode the files at ``paths`` until the paths end or `stopping` is set.

        Batches that have returned are stored and recorded also if another batch fails. Raises
        `StoreError`, `JournalError`, `CrashingError`, and the exceptions of `encode_files`.
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
        """Return the next batch to submit, or None if there is none to submit now.

        Suspects are submitted one by one, each while no other batch is in flight.
        """
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
        """Return the files that must be encoded; record unreadable files as failed."""
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
        if lookups := [(f, row) for f, row in done if self._verify or not row.is_verified]:
            missing = self._writer.missing([row for _, row in lookups], curves=self._job.curves)
            pending += [file for file, row in lookups if row.id in missing]
            self._journal.record_verified(
                file.path for file, row in lookups if not (row.is_verified or row.id in missing)
            )
        self._record(unreadable)
        done_before = len(paths) - len(unreadable) - len(pending)
        self.counts.done_before += done_before
        self._report.add_done(done_before)
        return pending

    def _finish(self, returned: Sequence[tuple[Future[list[Outcome]], _Batch]]) -> None:
        """Store and record the returned batches; then raise the first error that is not a crash."""
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


AnyRunner: TypeAlias = Runner[Any]
