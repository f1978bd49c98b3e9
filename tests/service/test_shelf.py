from __future__ import annotations

import asyncio

import pytest
from service_stand_ins import MemoryStore

from thumbstream.cache import ENTRY_OVERHEAD, StreamCache
from thumbstream.metrics import Metrics
from thumbstream.shelf import GATHER_LIMIT, Shelf
from thumbstream.store import StoreUnavailableError


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
