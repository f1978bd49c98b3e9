"""StreamReader: caching, coalescing, limits and failures; StreamCache."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest
from fakes import MemoryStore

from thumbstream.errors import PartialReadError, StoreUnavailableError
from thumbstream.ids import identify
from thumbstream.storage.reader import (
    ENTRY_OVERHEAD,
    MAX_AGE_S,
    MAX_PENDING,
    MAX_READS,
    READ_SIZE,
    StreamCache,
    StreamReader,
)
from thumbstream.telemetry.metrics import Metrics


def make(cache_bytes: int = 10_000, timeout: float = 5.0) -> tuple[StreamReader, MemoryStore]:
    store = MemoryStore()
    store.streams = {"a": b"aa", "b": b"bb"}
    return StreamReader(store, StreamCache(cache_bytes), Metrics(), timeout=timeout), store


async def test_reads_of_one_loop_iteration_are_coalesced() -> None:
    reader, store = make()
    found = await asyncio.gather(*(reader.get(key) for key in "abcab"))
    assert found == [b"aa", b"bb", None, b"aa", b"bb"]
    assert store.reads == [["a", "b", "c"]]


async def test_found_values_are_cached_and_missing_ones_are_not() -> None:
    reader, store = make()
    assert await reader.get_many(["a", "c"]) == [b"aa", None]
    store.streams["c"] = b"cc"
    assert await reader.get_many(["c", "a"]) == [b"cc", b"aa"]
    assert store.reads == [["a", "c"], ["c"]]


async def test_cached_values_are_forgotten_by_age_and_by_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, store = make()
    store.streams["~a"] = b"curve"
    await reader.get_many(["a", "b", "~a"])
    store.streams.clear()
    reader.forget(["a", "unknown"])
    assert await reader.get_many(["a", "b", "~a"]) == [None, b"bb", None]
    assert reader._cache.size == ENTRY_OVERHEAD + 2
    later = monotonic() + 1 + MAX_AGE_S
    monkeypatch.setattr("thumbstream.storage.reader.monotonic", lambda: later)
    assert await reader.get("b") is None
    assert reader._cache.size == 0


async def test_a_stream_that_is_deleted_during_its_read_is_not_cached() -> None:
    reader, store = make()
    release = asyncio.Event()
    read = store.get_many

    async def slow(keys: Sequence[str]) -> list[bytes | None]:
        values = await read(keys)
        await release.wait()
        return values

    store.get_many = slow  # type: ignore[method-assign]
    first = asyncio.ensure_future(reader.get_many(["a", "b"]))
    await asyncio.sleep(0.01)
    store.streams.pop("a")
    reader.forget(["a"])
    late = asyncio.ensure_future(reader.get("a"))
    await asyncio.sleep(0.01)
    release.set()
    assert await first == [None, b"bb"]
    assert await late is None
    store.streams["a"] = b"aa"
    assert await reader.get("a") == b"aa"


async def test_large_reads_are_split() -> None:
    reader, store = make()
    await reader.get_many([f"k{n}" for n in range(READ_SIZE + 1)])
    assert [len(read) for read in store.reads] == [READ_SIZE, 1]


async def test_failure_reaches_all_waiters_and_next_read_retries() -> None:
    reader, store = make()
    store.down = True
    results = await asyncio.gather(*(reader.get(key) for key in "ab"), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * 2
    store.down = False
    assert await reader.get("a") == b"aa"


async def test_hanging_store_times_out() -> None:
    reader, store = make(timeout=0.02)
    store.delay = 5
    with pytest.raises(StoreUnavailableError, match="in time"):
        await reader.get("a")


async def test_cancelled_caller_does_not_cancel_the_read() -> None:
    reader, store = make()
    store.delay = 0.05
    leaving, staying = (asyncio.create_task(reader.get("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert await staying == b"aa"
    assert len(store.reads) == 1


async def start(reader: StreamReader, *keys: str) -> list[asyncio.Task[bytes | None]]:
    """Start reads, and return when the store has been called."""
    tasks = [asyncio.create_task(reader.get(key)) for key in keys]
    await asyncio.sleep(0.01)
    return tasks


async def test_key_is_in_one_read_at_a_time() -> None:
    reader, store = make()
    store.delay = 0.1
    first = await start(reader, "a")
    later = await start(reader, "a", "a", "b")
    assert await asyncio.gather(*first, *later) == [b"aa", b"aa", b"aa", b"bb"]
    assert store.reads == [["a"], ["b"]]


async def test_get_after_put_does_not_reuse_in_flight_miss() -> None:
    reader, store = make()
    answers: list[asyncio.Future[list[bytes | None]]] = []

    async def get_many(keys: Sequence[str]) -> list[bytes | None]:
        store.reads.append(list(keys))
        seen = [store.streams.get(key) for key in keys]
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]
        return seen

    store.get_many = get_many  # type: ignore[method-assign]
    [before] = await start(reader, "new")
    store.streams["new"] = b"acknowledged"
    after = await start(reader, "new", "new")
    assert len(answers) == 1
    answers[0].set_result([])
    assert await before is None
    await asyncio.sleep(0.01)
    assert store.reads == [["new"], ["new"]]
    answers[1].set_result([])
    assert await asyncio.gather(*after) == [b"acknowledged"] * 2


async def test_reads_in_flight_are_limited_and_others_coalesced() -> None:
    reader, store = make()
    store.delay = 0.3
    tasks = []
    for turn in range(2 * MAX_READS):
        tasks += [asyncio.create_task(reader.get(f"k{turn}"))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert len(store.reads) == MAX_READS
    assert await asyncio.gather(*tasks) == [None] * (2 * MAX_READS)
    assert len(store.reads) == MAX_READS + 1
    assert len(store.reads[-1]) == MAX_READS


async def test_pending_reads_are_limited_and_fail_with_a_silent_store() -> None:
    reader, store = make(timeout=0.5)
    store.delay = 60
    busy = [
        asyncio.create_task(reader.get_many([f"{n}-{i}" for i in range(READ_SIZE)]))
        for n in range(MAX_READS)
    ]
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(reader.get_many([f"w{n}" for n in range(MAX_PENDING)]))
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailableError, match="too many"):
        await reader.get("one more")
    results = await asyncio.gather(*busy, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * (MAX_READS + 1)
    assert len(store.reads) == MAX_READS
    store.delay = 0
    assert await reader.get("a") == b"aa"


async def test_failure_does_not_reach_later_reads() -> None:
    reader, store = make()
    get_many, fails = store.get_many, asyncio.get_running_loop().create_future()

    async def fail_once(keys: Sequence[str]) -> list[bytes | None]:
        store.get_many = get_many  # type: ignore[method-assign]
        await fails
        raise AssertionError("it fails")

    store.get_many = fail_once  # type: ignore[method-assign]
    [first] = await start(reader, "a")
    second = asyncio.create_task(reader.get("b"))
    fails.set_exception(StoreUnavailableError("gone"))  # in the loop iteration that reads b
    with pytest.raises(StoreUnavailableError):
        await first
    assert await second == b"bb"


async def test_partial_read_returns_the_rest() -> None:
    reader, store = make()

    async def get_many(keys: Sequence[str]) -> list[bytes | None]:
        raise PartialReadError(
            "a node", {key: store.streams.get(key) for key in keys if key != "b"}
        )

    store.get_many = get_many  # type: ignore[method-assign]
    results = await asyncio.gather(*map(reader.get, "abc"), return_exceptions=True)
    assert (results[0], type(results[1]), results[2]) == (b"aa", PartialReadError, None)


@pytest.mark.parametrize("damaged", [b"", b"strea", b"other"])
async def test_value_that_does_not_match_its_id_is_missing_until_repaired(
    damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, store = make()
    key = identify(b"stream")
    store.streams[key] = damaged
    assert await reader.get(key) is None
    assert key in caplog.text
    store.streams[key] = b"stream"
    assert await reader.get(key) == b"stream"


async def test_bug_in_the_store_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, store = make()

    async def get_many(_: Sequence[str]) -> list[bytes | None]:
        raise AttributeError("a bug")

    store.get_many = get_many  # type: ignore[method-assign]
    with pytest.raises(AttributeError):
        await reader.get("a")
    assert "Traceback" in caplog.text


def test_cache_evicts_least_recently_used_by_bytes() -> None:
    cache = StreamCache(3 * (ENTRY_OVERHEAD + 10))
    for key in "abc":
        cache.put(key, bytes(10))
    assert cache.get("a") == bytes(10)
    cache.put("d", bytes(10))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    cache.put("e", bytes(10 + 2 * (ENTRY_OVERHEAD + 10)))
    assert [key for key in "abcde" if cache.get(key)] == ["e"]
    assert cache.size == 3 * (ENTRY_OVERHEAD + 10)


def test_cache_of_zero_bytes_is_empty() -> None:
    cache = StreamCache(0)
    cache.put("a", b"a")
    assert cache.get("a") is None
    assert cache.size == 0


def test_oversized_value_evicts_nothing() -> None:
    cache = StreamCache(2 * ENTRY_OVERHEAD)
    cache.put("a", b"a")
    cache.put("b", bytes(2 * ENTRY_OVERHEAD))
    assert cache.get("a") == b"a"
