"""The loop of a bulk run.

    paths -> what is not done yet, in batches -> engine -> store -> journal -> report

A few batches are under way at a time. All that have come back go to the store together, so that
many streams share a commit or a round trip, and only then into the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from thumbstream.bulk.engine import Engine
from thumbstream.bulk.jobs import Job, Outcome, reason_of
from thumbstream.bulk.journal import Entry, Journal
from thumbstream.bulk.scan import Found, look
from thumbstream.bulk.writer import Keeper
from thumbstream.errors import ThumbstreamError

BATCH = 16
"""Pictures sent to a worker at a time: some tenths of a second, which is what a stop waits for."""

LOOKED_UP = 256
"""Paths held against the journal, and with ``verify`` against the store, at a time."""

MOST_CRASHES = 16
"""Workers that die one after the other with no picture made between: it is not the pictures."""

CRASHED = "the worker process died of it"


class CrashingError(ThumbstreamError):
    """Workers that die whatever they are given."""


class Report(Protocol):
    """Who is told how it goes."""

    def skipped(self, pictures: int) -> None:
        """So many were done before."""

    def settled(self, entries: Sequence[Entry]) -> None:
        """These are in the journal now."""


@dataclass
class Tally:
    """Pictures of a run."""

    made: int = 0
    skipped: int = 0
    failed: int = 0


class _Work(NamedTuple):
    batch: Sequence[Found]
    alone: bool = False
    """Nothing else was under way: if the worker dies, it is this batch's doing."""


class Runner:
    """One run: `run` it once. ``verify``: ask the store for every stream that the journal has."""

    def __init__(
        self,
        job: Job,
        engine: Engine,
        keeper: Keeper,
        journal: Journal,
        report: Report,
        *,
        verify: bool = False,
    ) -> None:
        self._job = job
        self._engine = engine
        self._keeper = keeper
        self._journal = journal
        self._report = report
        self._verify = verify
        self.tally = Tally()
        self.stopping = False
        """Set it, from a signal handler if need be: what runs is finished, nothing is begun."""
        self._suspects: deque[Found] = deque()  # one of them may have killed its worker
        self._crashes = 0  # since a batch came back

    def run(self, paths: Iterable[str]) -> None:
        """Work until ``paths`` end or `stopping` is set. Every batch that came back is settled.

        Raises `StoreError`, `JournalError`, `CrashingError`, and what `make` raises.
        """
        batches = self._batches(iter(paths))
        under_way: dict[Future[list[Outcome]], _Work] = {}
        while True:
            while not self.stopping and (work := self._next(batches, len(under_way))):
                under_way[self._engine.submit(self._job, work.batch)] = work
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            self._settle([(future, under_way.pop(future)) for future in done])

    def _next(self, batches: Iterator[Sequence[Found]], busy: int) -> _Work | None:
        """What to begin now; suspects one by one, while nothing else runs."""
        if self._suspects:
            return None if busy else _Work([self._suspects.popleft()], alone=True)
        if busy < self._engine.room() and (batch := next(batches, None)):
            return _Work(batch)
        return None

    def _batches(self, paths: Iterator[str]) -> Iterator[list[Found]]:
        """Files that are not done yet."""
        waiting: list[Found] = []
        while not self.stopping and (looked_up := list(islice(paths, LOOKED_UP))):
            waiting += self._undone(looked_up)
            while len(waiting) >= BATCH:
                yield waiting[:BATCH]
                del waiting[:BATCH]
        if waiting:
            yield waiting

    def _undone(self, paths: Sequence[str]) -> list[Found]:
        missing, undone, trusted = [], [], []
        for path in paths:
            try:
                found = look(path)
            except OSError as error:
                missing.append(Entry(Found(path, 0, 0), reason=reason_of(error)))
                continue
            kept = self._journal.find(path)
            if kept is None or (kept.size, kept.mtime_ns) != (found.size, found.mtime_ns):
                undone.append(found)
            else:
                trusted.append((found, kept))
        if self._verify and trusted:
            curves = self._job.curves
            lacking = self._keeper.lacking([kept for _, kept in trusted], curves=curves)
            undone += [found for (found, _), lacks in zip(trusted, lacking, strict=True) if lacks]
        self._note(missing)
        skipped = len(paths) - len(missing) - len(undone)
        self.tally.skipped += skipped
        self._report.skipped(skipped)
        return undone

    def _settle(self, finished: Sequence[tuple[Future[list[Outcome]], _Work]]) -> None:
        """Keep what was made; the first error that is not about pictures is raised after that."""
        outcomes: list[Outcome] = []
        failure: BaseException | None = None
        for future, work in finished:
            error = future.exception()
            if error is None:
                outcomes += future.result()
                self._crashes = 0
            elif isinstance(error, self._engine.crashes):
                outcomes += self._after_crash(work)
            else:
                failure = failure or error
        if values := dict(value for outcome in outcomes for value in outcome.values):
            self._keeper.put_many(values)
        self._note([outcome.entry for outcome in outcomes])
        if failure is not None:
            raise failure
        if self._crashes >= MOST_CRASHES:
            raise CrashingError(f"{self._crashes} workers died one after the other")

    def _after_crash(self, work: _Work) -> list[Outcome]:
        if not work.alone:
            self._suspects += work.batch
            return []
        self._crashes += 1
        return [Outcome(Entry(found, reason=CRASHED)) for found in work.batch]

    def _note(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        self._journal.record(entries)
        failed = sum(entry.made is None for entry in entries)
        self.tally.failed += failed
        self.tally.made += len(entries) - failed
        self._report.settled(entries)
