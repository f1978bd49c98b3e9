"""The loop, with an engine and a store that tests can see through and break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from thumbstream.bulk import writer as keeping
from thumbstream.bulk.jobs import Job, Outcome, VersionError, make
from thumbstream.bulk.journal import Entry, Journal, Made
from thumbstream.bulk.runner import BATCH, LOOKED_UP, MOST_CRASHES, CrashingError, Runner
from thumbstream.bulk.scan import Found
from thumbstream.bulk.writer import Keeper
from thumbstream.encoding import EncodeOptions
from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.ids import curve_key, identify

JOB = Job(EncodeOptions(model="stand-in"))


class CrashError(Exception):
    """A worker died."""


def value_of(path: str) -> bytes:
    return f"the stream of {path}".encode()


class StandInEngine:
    """Works on a batch when it is submitted; the pictures named ``deadly`` kill its worker."""

    crashes: tuple[type[BaseException], ...] = (CrashError,)

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.deadly: Callable[[str], bool] = lambda _: False
        self.error: Exception | None = None

    def room(self) -> int:
        return 3

    def submit(self, job: Job, batch: Sequence[Found]) -> Future[list[Outcome]]:
        assert job is JOB
        self.batches.append([found.path for found in batch])
        future: Future[list[Outcome]] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        elif any(self.deadly(found.path) for found in batch):
            future.set_exception(CrashError())
        else:
            future.set_result([self._made(found) for found in batch])
        return future

    def close(self) -> None:
        pass

    @property
    def given(self) -> list[str]:
        return [path for batch in self.batches for path in batch]

    @staticmethod
    def _made(found: Found) -> Outcome:
        stream = value_of(found.path)
        key = identify(stream)
        made = Made(key, len(stream), 640, 480, stream[:32])
        return Outcome(Entry(found, made), [(key, stream), (curve_key(key), b"curve")])


class StandInStore:
    """A dict that fails as often as ``failures`` says, and then works."""

    name = "memory"

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.failures: list[Exception] = []
        self.puts = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        raise AssertionError("one by one would be a commit for each")

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        self.puts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.values.update(values)


class Lines:
    """A report that is kept."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.before = 0

    def skipped(self, pictures: int) -> None:
        self.before += pictures

    def settled(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


class Bench:
    """Everything that a run stands on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = StandInEngine()
        self.store = StandInStore()
        self.journal = Journal(folder / "j", {"store": "s"})
        self.report = Lines()

    def runner(self, **options: Any) -> Runner:
        runner: Runner
        keeper = Keeper(self.store, lambda: runner.stopping)
        runner = Runner(JOB, self.engine, keeper, self.journal, self.report, **options)
        return runner

    def run(self, paths: Sequence[str], **options: Any) -> tuple[int, int, int]:
        """Pictures made, skipped and failed; what the engine was given is forgotten before."""
        self.engine.batches.clear()
        runner = self.runner(**options)
        runner.run(paths)
        return runner.tally.made, runner.tally.skipped, runner.tally.failed

    def files(self, count: int) -> list[str]:
        paths = [self.folder / f"{number}.jpg" for number in range(count)]
        for path in paths:
            path.touch()
        return [str(path) for path in paths]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with closing(bench.journal):
        yield bench


def test_everything_is_made_once(bench: Bench) -> None:
    paths = bench.files(3 * BATCH + 1)
    assert bench.run(paths) == (len(paths), 0, 0)
    assert sorted(bench.engine.given) == sorted(paths)
    assert set(bench.store.values) == {
        key
        for path in paths
        for key in (identify(value_of(path)), curve_key(identify(value_of(path))))
    }
    assert bench.store.puts < len(bench.engine.batches)  # batches share a put
    assert bench.run(paths) == (0, len(paths), 0)
    assert bench.engine.given == []


def test_what_changed_is_made_again(bench: Bench) -> None:
    paths = bench.files(3)
    bench.run(paths)
    Path(paths[0]).write_bytes(b"longer")
    os.utime(paths[1], ns=(0, 1))
    assert bench.run(paths) == (2, 1, 0)
    assert bench.engine.given == paths[:2]


def test_what_is_no_file_is_reported(bench: Bench) -> None:
    paths = [*bench.files(1), str(bench.folder), str(bench.folder / "gone.jpg")]
    assert bench.run(paths) == (1, 0, 2)
    reasons = {entry.found.path: entry.reason for entry in bench.report.entries}
    assert reasons[paths[1]] == "not a regular file"
    assert reasons[paths[2]] == "No such file or directory"


def test_the_journal_is_written_after_the_store(bench: Bench) -> None:
    bench.store.failures = [StoreFullError("full")]
    paths = bench.files(2)
    with pytest.raises(StoreFullError):
        bench.run(paths)
    assert bench.journal.find(paths[0]) is None
    assert bench.run(paths) == (2, 0, 0)


def test_a_store_that_is_away_for_a_moment_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(keeping.time, "sleep", pauses.append)
    bench.store.failures = [StoreUnavailableError("failing over")] * 4
    assert bench.run(bench.files(2)) == (2, 0, 0)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 4


def test_a_store_that_stays_away_ends_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "PATIENCE_S", 0.0)
    bench.store.failures = [StoreUnavailableError("gone")]
    with pytest.raises(StoreUnavailableError):
        bench.run(bench.files(2))


def test_millions_are_not_looked_at_ahead(bench: Bench) -> None:
    asked = 0
    (path,) = bench.files(1)

    def endless() -> Iterator[str]:
        nonlocal asked
        while True:
            asked += 1
            yield path

    runner = bench.runner()
    settle = bench.report.settled

    def stop(entries: Sequence[Entry]) -> None:
        settle(entries)
        runner.stopping = True

    bench.report.settled = stop  # type: ignore[method-assign]
    runner.run(endless())
    assert asked == LOOKED_UP
    assert len(bench.report.entries) == bench.engine.room() * BATCH  # what ran was finished


def test_a_stop_while_nothing_is_to_be_done(bench: Bench) -> None:
    paths = bench.files(LOOKED_UP)
    bench.run(paths)
    runner = bench.runner()
    asked: list[str] = []

    def endless() -> Iterator[str]:
        while True:
            asked.append(paths[len(asked) % len(paths)])
            runner.stopping = len(asked) == 3 * LOOKED_UP
            yield asked[-1]

    runner.run(endless())
    assert runner.tally.skipped == 3 * LOOKED_UP


def test_a_picture_that_kills_its_worker_is_found(bench: Bench) -> None:
    paths = bench.files(5 * BATCH)
    killer = paths[BATCH + 3]
    bench.engine.deadly = lambda path: path == killer
    assert bench.run(paths) == (len(paths) - 1, 0, 1)
    failed = [entry for entry in bench.report.entries if entry.reason is not None]
    assert [entry.found.path for entry in failed] == [killer]
    assert "worker" in str(failed[0].reason)
    assert [killer] in bench.engine.batches  # alone


def test_workers_that_always_die_end_the_run(bench: Bench) -> None:
    bench.engine.deadly = lambda _: True
    with pytest.raises(CrashingError):
        bench.run(bench.files(10 * BATCH))
    assert len(bench.engine.batches) <= bench.engine.room() + MOST_CRASHES


def test_an_installation_that_is_wrong_ends_the_run(bench: Bench) -> None:
    bench.engine.error = VersionError("another version")
    with pytest.raises(VersionError):
        bench.run(bench.files(40))
    assert bench.report.entries == []


def test_verify_makes_what_the_store_lacks(bench: Bench) -> None:
    paths = bench.files(6)
    bench.run(paths)
    keys = [identify(value_of(path)) for path in paths]
    del bench.store.values[keys[0]]
    del bench.store.values[curve_key(keys[2])]
    bench.store.values[keys[4]] = b"another"
    assert bench.run(paths) == (0, 6, 0)
    assert bench.run(paths, verify=True) == (3, 3, 0)
    assert bench.engine.given == [paths[0], paths[2], paths[4]]


def test_a_worker_of_another_version_refuses() -> None:
    with pytest.raises(VersionError, match="another-one"):
        make(Job(EncodeOptions(), version="another-one"), [])
