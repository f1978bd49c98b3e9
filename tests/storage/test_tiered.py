"""The two tiers seen apart: what is asked of which, and what a failure of one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from thumbstream.errors import PartialReadError, StoreError, StoreUnavailableError
from thumbstream.storage import open_store
from thumbstream.storage import tiered as tiers
from thumbstream.storage.breaker import Breaker
from thumbstream.storage.tiered import TieredStore


class Tier:
    """A dict that fails with ``error`` while there is one, and remembers what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, bytes] = {}
        self.reads: list[list[str]] = []
        self.writes: list[list[str]] = []
        self.pings = 0
        self.error: Exception | None = None
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def get(self, key: str) -> bytes | None:
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.reads.append(list(keys))
        self._fail()
        return [self.values.get(key) for key in keys]

    async def put(self, key: str, value: bytes) -> bool:
        self.writes.append([key])
        self._fail()
        new = key not in self.values
        self.values.setdefault(key, value)
        return new

    async def put_many(self, values: Mapping[str, bytes]) -> None:
        self.writes.append(list(values))
        self._fail()
        self.values = {**values, **self.values}

    async def ping(self) -> None:
        self.pings += 1
        self._fail()

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Both:
    def __init__(self) -> None:
        self.durable, self.cache = Tier("durable"), Tier("cache")
        self.store = TieredStore(self.durable, self.cache, pause=0.01)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    both = Both()
    await both.store.open()
    yield both
    await both.store.close()
    assert not both.durable.is_open
    assert not both.cache.is_open


async def soon() -> None:
    """Let what nobody waits for happen."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what brings it about knows no event)
            await asyncio.sleep(0.002)


async def test_only_what_the_cache_lacks_is_asked_of_the_store(both: Both) -> None:
    both.cache.values = {"a": b"1"}
    both.durable.values = {"a": b"1", "b": b"2"}
    assert await both.store.get_many(["b", "a", "c", "b"]) == [b"2", b"1", None, b"2"]
    assert both.durable.reads == [["b", "c"]]
    await soon()
    assert both.cache.writes == [["b"]]
    assert await both.store.get("b") == b"2"
    assert len(both.durable.reads) == 1
    assert (both.store.hits, both.store.misses) == (2, 2)


async def test_a_put_is_acknowledged_by_the_store_alone(both: Both) -> None:
    both.cache.error = StoreUnavailableError("gone")
    assert await both.store.put("a", b"1") is True
    both.durable.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await both.store.put("b", b"2")
    await soon()
    assert both.cache.values == {}


async def test_many_are_put_into_the_store_and_cached_when_they_are_read(both: Both) -> None:
    await both.store.put_many({"a": b"1", "b": b"2"})
    await soon()
    assert (both.durable.writes, both.cache.writes) == ([["a", "b"]], [])
    assert await both.store.get_many(["a", "b"]) == [b"1", b"2"]
    await soon()
    assert both.cache.values == {"a": b"1", "b": b"2"}


async def test_a_value_that_the_store_did_not_take_is_not_cached(both: Both) -> None:
    both.durable.values = {"a": b"first"}
    assert await both.store.put("a", b"second") is False
    await soon()
    assert both.cache.values == {}
    assert await both.store.get("a") == b"first"


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), RuntimeError("a bug")])
async def test_a_failing_cache_is_left_alone_until_it_answers(both: Both, error: Exception) -> None:
    both.durable.values = {"a": b"1"}
    both.cache.error = error
    assert await both.store.get("a") == b"1"
    assert not both.store.cache_usable
    for _ in range(10):
        assert await both.store.get("a") == b"1"
        await both.store.put("x", b"y")
    await soon()
    assert both.cache.reads == [["a"]]
    assert both.cache.writes == []
    await until(lambda: both.cache.pings >= 2)
    both.cache.error = None
    await until(lambda: both.store.cache_usable)
    assert await both.store.get("a") == b"1"
    assert both.cache.reads == [["a"], ["a"]]


async def test_the_store_decides_whether_it_is_ready(both: Both) -> None:
    both.cache.error = StoreUnavailableError("gone")
    await both.store.ping()
    both.cache.error, both.durable.error = None, StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await both.store.ping()


async def test_a_part_of_the_store_fails(both: Both) -> None:
    both.cache.values = {"a": b"1"}
    both.durable.error = PartialReadError("a node", {"b": b"2", "d": None})
    with pytest.raises(PartialReadError) as partial:
        await both.store.get_many(["a", "b", "c", "d"])
    assert partial.value.found == {"a": b"1", "b": b"2", "d": None}


async def test_a_part_of_the_cache_fails(both: Both) -> None:
    both.durable.values = {"a": b"1", "b": b"2"}
    both.cache.error = PartialReadError("a node", {"a": b"1"})
    assert await both.store.get_many(["a", "b"]) == [b"1", b"2"]
    assert both.durable.reads == [["b"]]
    assert both.store.cache_usable


async def test_what_waits_to_be_cached_is_bounded(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "FILL_BATCH", 4)
    monkeypatch.setattr(tiers, "FILL_MAX_WAITING", 10)
    both.durable.values = {f"{n}": b"v" for n in range(20)}
    for n in range(0, 20, 2):
        await both.store.get_many([f"{n}", f"{n + 1}"])
    await both.store.get_many([f"{n}" for n in range(20)])
    for _ in range(10):
        await soon()
    assert all(len(batch) <= 4 for batch in both.cache.writes)
    assert 0 < len(both.cache.values) <= 20


async def test_close_while_the_cache_hangs() -> None:
    both = Both()
    await both.store.open()
    hang = asyncio.Event()

    async def put_many(_: Mapping[str, bytes]) -> None:
        await hang.wait()

    both.cache.put_many = put_many  # type: ignore[method-assign]
    await both.store.put("a", b"1")
    await soon()
    await asyncio.wait_for(both.store.close(), 5)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "redis", "localhost:6379", "redis://h:port"])
def test_only_redis_can_be_a_cache(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        open_store("sqlite:///thumbs.db", cache=url)


def test_the_name_says_both() -> None:
    store = open_store("sqlite:///thumbs.db", cache="rediss+cluster://localhost")
    assert store.name == "sqlite behind redis+cluster"


async def test_a_closed_breaker_asks_no_more() -> None:
    asked = 0

    async def probe() -> None:
        nonlocal asked
        asked += 1
        raise StoreError("still not")

    breaker = Breaker("it", probe, pause=0.001)
    breaker.trip(StoreError("no"))
    await until(lambda: asked >= 3)
    await breaker.close()
    count = asked
    await asyncio.sleep(0.02)
    assert asked == count
    breaker.trip(StoreError("no"))
    assert not breaker.usable
    await asyncio.sleep(0.02)
    assert asked == count
