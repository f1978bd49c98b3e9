from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from service_stand_ins import MemoryStore

from thumbstream.errors import PartialReadError, StoreUnavailableError
from thumbstream.storage.cache import ENTRY_OVERHEAD, StreamCache
from thumbstream.storage.reader import GATHER_LIMIT, MAX_WAITING, READS_AT_ONCE, Shelf
from thumbstream.telemetry.metrics import Metrics


def make(cache_bytes: int = 10_000, timeout: float = 5.0) -> tuple[Shelf, MemoryStore]:
    store = MemoryStore()
    store.streams = {"a": b"aa", "b": b"bb"}
    return Shelf(store, StreamCache(cache_bytes), Metrics(), timeout=timeout), store


async def test_reads_of_one_turn_become_one_read_of_the_store() -> None:
    shelf, store = make()
    found = await asyncio.gather(*(shelf.get(key) for key in "abcab"))
    assert found == [b"aa", b"bb", None, b"aa", b"bb"]
    assert store.reads == [["a", "b", "c"]]


async def test_what_was_found_is_not_asked_again_what_was_not_is() -> None:
    shelf, store = make()
    assert await shelf.get_many(["a", "c"]) == [b"aa", None]
    store.streams["c"] = b"cc"
    assert await shelf.get_many(["c", "a"]) == [b"cc", b"aa"]
    assert store.reads == [["a", "c"], ["c"]]


async def test_a_large_gathering_is_split() -> None:
    shelf, store = make()
    await shelf.get_many([f"k{n}" for n in range(GATHER_LIMIT + 1)])
    assert [len(read) for read in store.reads] == [GATHER_LIMIT, 1]


async def test_all_who_wait_learn_of_a_failure_and_the_next_read_tries_again() -> None:
    shelf, store = make()
    store.down = True
    results = await asyncio.gather(*(shelf.get(key) for key in "ab"), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * 2
    store.down = False
    assert await shelf.get("a") == b"aa"


async def test_a_store_that_hangs_is_unavailable() -> None:
    shelf, store = make(timeout=0.02)
    store.delay = 5
    with pytest.raises(StoreUnavailableError, match="in time"):
        await shelf.get("a")


async def test_one_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    shelf, store = make()
    store.delay = 0.05
    leaving, staying = (asyncio.create_task(shelf.get("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert await staying == b"aa"
    assert len(store.reads) == 1


async def ask(shelf: Shelf, *keys: str) -> list[asyncio.Task[bytes | None]]:
    """Ask, and return when the reads of this turn have begun."""
    tasks = [asyncio.create_task(shelf.get(key)) for key in keys]
    await asyncio.sleep(0.01)
    return tasks


async def test_a_key_is_in_one_read_at_a_time() -> None:
    shelf, store = make()
    store.delay = 0.1
    first = await ask(shelf, "a")
    later = await ask(shelf, "a", "a", "b")
    assert await asyncio.gather(*first, *later) == [b"aa", b"aa", b"aa", b"bb"]
    assert store.reads == [["a"], ["b"]]


async def test_what_was_put_while_a_read_was_under_way_is_found_by_who_asked_after() -> None:
    shelf, store = make()
    answers: list[asyncio.Future[list[bytes | None]]] = []

    async def get_many(keys: Sequence[str]) -> list[bytes | None]:
        store.reads.append(list(keys))
        seen = [store.streams.get(key) for key in keys]
        answers.append(asyncio.get_running_loop().create_future())
        await answers[-1]
        return seen

    store.get_many = get_many  # type: ignore[method-assign]
    [before] = await ask(shelf, "new")
    store.streams["new"] = b"acknowledged"
    after = await ask(shelf, "new", "new")
    assert len(answers) == 1
    answers[0].set_result([])
    assert await before is None
    await asyncio.sleep(0.01)
    assert store.reads == [["new"], ["new"]]
    answers[1].set_result([])
    assert await asyncio.gather(*after) == [b"acknowledged"] * 2


async def test_reads_under_way_are_few_and_the_rest_gathers() -> None:
    shelf, store = make()
    store.delay = 0.3
    tasks = []
    for turn in range(2 * READS_AT_ONCE):
        tasks += [asyncio.create_task(shelf.get(f"k{turn}"))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert len(store.reads) == READS_AT_ONCE
    assert await asyncio.gather(*tasks) == [None] * (2 * READS_AT_ONCE)
    assert len(store.reads) == READS_AT_ONCE + 1
    assert len(store.reads[-1]) == READS_AT_ONCE


async def test_what_waits_is_bounded_and_is_told_when_the_store_gives_nothing() -> None:
    shelf, store = make(timeout=0.5)
    store.delay = 60
    busy = [
        asyncio.create_task(shelf.get_many([f"{n}-{i}" for i in range(GATHER_LIMIT)]))
        for n in range(READS_AT_ONCE)
    ]
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(shelf.get_many([f"w{n}" for n in range(MAX_WAITING)]))
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailableError, match="too many"):
        await shelf.get("one more")
    results = await asyncio.gather(*busy, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * (READS_AT_ONCE + 1)
    assert len(store.reads) == READS_AT_ONCE
    store.delay = 0
    assert await shelf.get("a") == b"aa"


async def test_a_failure_is_not_told_to_those_who_ask_while_the_store_has_room() -> None:
    shelf, store = make()
    get_many, fails = store.get_many, asyncio.get_running_loop().create_future()

    async def fail_once(keys: Sequence[str]) -> list[bytes | None]:
        store.get_many = get_many  # type: ignore[method-assign]
        await fails
        raise AssertionError("it fails")

    store.get_many = fail_once  # type: ignore[method-assign]
    [first] = await ask(shelf, "a")
    second = asyncio.create_task(shelf.get("b"))
    fails.set_exception(StoreUnavailableError("gone"))  # in the turn in which b is asked for
    with pytest.raises(StoreUnavailableError):
        await first
    assert await second == b"bb"


async def test_a_part_that_cannot_be_read_does_not_take_the_rest_with_it() -> None:
    shelf, store = make()

    async def get_many(keys: Sequence[str]) -> list[bytes | None]:
        raise PartialReadError(
            "a node", {key: store.streams.get(key) for key in keys if key != "b"}
        )

    store.get_many = get_many  # type: ignore[method-assign]
    results = await asyncio.gather(*map(shelf.get, "abc"), return_exceptions=True)
    assert (results[0], type(results[1]), results[2]) == (b"aa", PartialReadError, None)


def test_the_cache_is_bounded_by_bytes_and_drops_the_least_used() -> None:
    cache = StreamCache(3 * (ENTRY_OVERHEAD + 10))
    for key in "abc":
        cache.put(key, bytes(10))
    assert cache.get("a") == bytes(10)
    cache.put("d", bytes(10))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    cache.put("e", bytes(10 + 2 * (ENTRY_OVERHEAD + 10)))
    assert [key for key in "abcde" if cache.get(key)] == ["e"]
    assert cache.size == 3 * (ENTRY_OVERHEAD + 10)


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = StreamCache(0)
    cache.put("a", b"a")
    assert cache.get("a") is None
    assert cache.size == 0


def test_a_stream_that_does_not_fit_pushes_nothing_out() -> None:
    cache = StreamCache(2 * ENTRY_OVERHEAD)
    cache.put("a", b"a")
    cache.put("b", bytes(2 * ENTRY_OVERHEAD))
    assert cache.get("a") == b"a"
