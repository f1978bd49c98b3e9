"""The loop, with a worker pool and a store that tests can inspect and break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from thumbstream.bulk import writer as writer_module
from thumbstream.bulk.encode_files import Job, Outcome, VersionError, encode_files
from thumbstream.bulk.journal import EncodedFile, FileResult, Journal
from thumbstream.bulk.runner import (
    LOOKUP_CHUNK,
    MAX_CONSECUTIVE_CRASHES,
    CrashingError,
    Runner,
)
from thumbstream.bulk.scan import FileInfo
from thumbstream.bulk.writer import StoreWriter
from thumbstream.encoding import EncodeOptions
from thumbstream.errors import StoreFullError, StoreUnavailableError
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Record

JOB = Job(EncodeOptions(model="fake"))
BATCH = 16


class CrashError(Exception):
    """A worker died."""


def stream_of(path: str) -> bytes:
    return f"the stream of {path}".encode()


class FakePool:
    """Encodes a batch when it is submitted; files that are ``deadly`` kill its worker."""

    batch_size = BATCH
    crash_errors: tuple[type[BaseException], ...] = (CrashError,)
    isolated = False

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.deadly: Callable[[str], bool] = lambda _: False
        self.error: Exception | None = None

    def max_in_flight(self) -> int:
        return 3

    def submit(self, job: Job, batch: Sequence[FileInfo]) -> Future[list[Outcome]]:
        assert job is JOB
        self.batches.append([file.path for file in batch])
        future: Future[list[Outcome]] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        elif any(self.deadly(file.path) for file in batch):
            future.set_exception(CrashError())
        else:
            future.set_result([self._encode(file) for file in batch])
        return future

    def close(self) -> None:
        pass

    @property
    def submitted(self) -> list[str]:
        return [path for batch in self.batches for path in batch]

    @staticmethod
    def _encode(file: FileInfo) -> Outcome:
        stream = stream_of(file.path)
        key = identify(stream)
        encoded = EncodedFile(key, len(stream), 640, 480, stream[:32])
        return Outcome(FileResult(file, encoded), {key: stream, curve_key(key): b"curve"})


class FakeStore:
    """A dict whose puts raise the errors of ``failures`` first."""

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
        raise AssertionError("single puts would need a commit each")

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        self.puts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.values.update(values)
        return set(values)


class FakeReport:
    def __init__(self) -> None:
        self.results: list[FileResult] = []
        self.done_before = 0

    def add_done(self, count: int) -> None:
        self.done_before += count

    def add_results(self, results: Sequence[FileResult]) -> None:
        self.results += results


class Bench:
    """Everything that a run needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = FakePool()
        self.store = FakeStore()
        self.journal = Journal(folder / "j", {}, "store")
        self.report = FakeReport()

    def runner(self, **options: Any) -> Runner:
        runner: Runner
        writer = StoreWriter(self.store, lambda: runner.stopping)
        runner = Runner(JOB, self.pool, writer, self.journal, self.report, **options)
        return runner

    def run(self, paths: Sequence[str], **options: Any) -> tuple[int, int, int]:
        """Files encoded, done before and failed."""
        self.pool.batches.clear()
        runner = self.runner(**options)
        runner.run(paths)
        return runner.counts.encoded, runner.counts.done_before, runner.counts.failed

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


def test_every_file_is_encoded_once(bench: Bench) -> None:
    paths = bench.files(3 * BATCH + 1)
    assert bench.run(paths) == (len(paths), 0, 0)
    assert sorted(bench.pool.submitted) == sorted(paths)
    assert set(bench.store.values) == {
        key
        for path in paths
        for key in (identify(stream_of(path)), curve_key(identify(stream_of(path))))
    }
    assert bench.store.puts < len(bench.pool.batches)  # batches share a put
    assert bench.run(paths) == (0, len(paths), 0)
    assert bench.pool.submitted == []


def test_changed_files_are_encoded_again(bench: Bench) -> None:
    paths = bench.files(3)
    bench.run(paths)
    Path(paths[0]).write_bytes(b"longer")
    os.utime(paths[1], ns=(0, 1))
    assert bench.run(paths) == (2, 1, 0)
    assert bench.pool.submitted == paths[:2]


def test_missing_files_and_folders_are_reported(bench: Bench) -> None:
    paths = [*bench.files(1), str(bench.folder), str(bench.folder / "gone.jpg")]
    assert bench.run(paths) == (1, 0, 2)
    reasons = {result.file.path: result.reason for result in bench.report.results}
    assert reasons[paths[1]] == "a folder, not a picture file"
    assert reasons[paths[2]] == "No such file or directory"


def test_the_journal_is_written_after_the_store(bench: Bench) -> None:
    bench.store.failures = [StoreFullError("full")]
    paths = bench.files(2)
    with pytest.raises(StoreFullError):
        bench.run(paths)
    assert bench.journal.find(paths[0]) is None
    assert bench.run(paths) == (2, 0, 0)


def test_an_unreachable_store_is_retried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(writer_module.time, "sleep", pauses.append)
    bench.store.failures = [StoreUnavailableError("failing over")] * 4
    assert bench.run(bench.files(2)) == (2, 0, 0)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 4


def test_a_store_that_stays_unreachable_ends_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.0)
    bench.store.failures = [StoreUnavailableError("gone")]
    with pytest.raises(StoreUnavailableError):
        bench.run(bench.files(2))


def test_paths_are_read_as_they_are_needed(bench: Bench) -> None:
    taken = 0
    (path,) = bench.files(1)

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    runner = bench.runner()
    add_results = bench.report.add_results

    def stop(results: Sequence[FileResult]) -> None:
        add_results(results)
        runner.stopping = True

    bench.report.add_results = stop  # type: ignore[method-assign]
    runner.run(endless())
    assert taken == LOOKUP_CHUNK
    assert len(bench.report.results) == bench.pool.max_in_flight() * BATCH


def test_stops_while_everything_is_done(bench: Bench) -> None:
    paths = bench.files(LOOKUP_CHUNK)
    bench.run(paths)
    runner = bench.runner()
    taken: list[str] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(paths[len(taken) % len(paths)])
            runner.stopping = len(taken) == 3 * LOOKUP_CHUNK
            yield taken[-1]

    runner.run(endless())
    assert runner.counts.done_before == 3 * LOOKUP_CHUNK


def test_finds_the_file_that_kills_its_worker(bench: Bench) -> None:
    paths = bench.files(5 * BATCH)
    killer = paths[BATCH + 3]
    bench.pool.deadly = lambda path: path == killer
    assert bench.run(paths) == (len(paths) - 1, 0, 1)
    failed = [result for result in bench.report.results if result.reason is not None]
    assert [result.file.path for result in failed] == [killer]
    assert "worker" in str(failed[0].reason)
    assert [killer] in bench.pool.batches  # alone


def test_an_isolated_crash_fails_its_own_file_and_repeats_nothing(bench: Bench) -> None:
    bench.pool.isolated, bench.pool.batch_size = True, 1
    paths = bench.files(9)
    bench.pool.deadly = lambda path: path == paths[4]
    assert bench.run(paths) == (8, 0, 1)
    assert bench.pool.submitted == paths


def test_workers_that_always_die_end_the_run(bench: Bench) -> None:
    bench.pool.deadly = lambda _: True
    with pytest.raises(CrashingError):
        bench.run(bench.files(10 * BATCH))
    assert len(bench.pool.batches) <= bench.pool.max_in_flight() + MAX_CONSECUTIVE_CRASHES


def test_a_fault_of_the_installation_ends_the_run(bench: Bench) -> None:
    bench.pool.error = VersionError("another version")
    with pytest.raises(VersionError):
        bench.run(bench.files(40))
    assert bench.report.results == []


def test_verify_encodes_what_the_store_lacks(bench: Bench) -> None:
    paths = bench.files(6)
    bench.run(paths)
    keys = [identify(stream_of(path)) for path in paths]
    del bench.store.values[keys[0]]
    del bench.store.values[curve_key(keys[2])]
    bench.store.values[keys[4]] = b"another"
    assert bench.run(paths) == (0, 6, 0)
    assert bench.run(paths, verify=True) == (3, 3, 0)
    assert bench.pool.submitted == [paths[0], paths[2], paths[4]]


def test_verify_of_a_part_with_another_store_leaves_the_rest_unverified(bench: Bench) -> None:
    paths = bench.files(6)
    bench.run(paths)
    bench.store = FakeStore()
    bench.store.values = {identify(stream_of(path)): stream_of(path) for path in paths[2:]}
    bench.store.values |= {curve_key(key): b"curve" for key in bench.store.values}
    bench.journal.close()
    bench.journal = Journal(bench.folder / "j", {}, "another store", any_store=True)
    assert bench.run(paths[:3], verify=True) == (2, 1, 0)
    assert [path for path, _ in bench.journal.encoded_files()] == sorted(paths[:3])
    del bench.store.values[identify(stream_of(paths[5]))]
    assert bench.run(paths) == (1, 5, 0)
    assert len(list(bench.journal.encoded_files())) == 6


def test_rejects_a_worker_of_another_version() -> None:
    with pytest.raises(VersionError, match="another-one"):
        encode_files(Job(EncodeOptions(), version="another-one"), [])
