"""The contract of `Store`, checked for every implementation."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from thumbstream.errors import StoreUnavailableError
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Store

NewStore = Callable[[], Store]


@pytest.fixture
async def store(new_store: NewStore) -> AsyncIterator[Store]:
    store = new_store()
    await store.open()
    yield store
    await store.close()


async def test_name(store: Store, request: pytest.FixtureRequest) -> None:
    assert f"[{store.name}]" in request.node.name


async def test_put_then_get(store: Store, new_key: Callable[[], str]) -> None:
    key, value = new_key(), secrets.token_bytes(231)
    assert await store.get(key) is None
    assert await store.put(key, value) is True
    assert await store.get(key) == value
    await store.ping()


async def test_second_put_does_not_change_a_value(store: Store, new_key: Callable[[], str]) -> None:
    key = new_key()
    assert await store.put(key, b"first") is True
    assert await store.put(key, b"second") is False
    assert await store.put(key, b"first") is False
    assert await store.get(key) == b"first"


@pytest.mark.parametrize("value", [b"", b"\0", b"\r\n", bytes(range(256)), b"\xff" * 100_000])
async def test_any_bytes_are_returned_unchanged(
    store: Store, new_key: Callable[[], str], value: bytes
) -> None:
    key = new_key()
    await store.put(key, value)
    stored = await store.get(key)
    assert stored == value
    assert type(stored) is bytes


async def test_get_many_returns_values_in_order(store: Store, new_key: Callable[[], str]) -> None:
    keys = [new_key() for _ in range(70)]
    for key in keys[::2]:
        await store.put(key, key.encode())
    requested = [keys[8], keys[1], *keys, keys[8]]
    expected = [k.encode() if k in keys[::2] else None for k in requested]
    assert await store.get_many(requested) == expected
    assert await store.get_many([]) == []


async def test_put_many_equals_many_puts(store: Store, new_key: Callable[[], str]) -> None:
    keys = [new_key() for _ in range(700)]
    assert await store.put(keys[3], b"first") is True
    await store.put_many({key: key.encode() for key in keys})
    stored = [b"first" if key == keys[3] else key.encode() for key in keys]
    assert await store.get_many(keys) == stored
    await store.put_many({})


async def test_keys_are_case_sensitive(store: Store, new_key: Callable[[], str]) -> None:
    key = new_key()[:20]
    await store.put(key + "aA", b"1")
    await store.put(key + "Aa", b"2")
    assert await store.get_many([key + "aA", key + "Aa", key + "aa"]) == [b"1", b"2", None]


async def test_stream_and_curve_are_separate_values(
    store: Store, new_key: Callable[[], str]
) -> None:
    key = new_key()
    name = curve_key(key)
    assert await asyncio.gather(store.put(key, b"stream"), store.put(name, b"curve")) == [True] * 2
    assert await store.put(name, b"other") is False
    assert await store.get_many([name, key]) == [b"curve", b"stream"]
    assert await store.get(name) == b"curve"


async def test_one_of_concurrent_puts_of_a_key_wins(
    store: Store, new_key: Callable[[], str]
) -> None:
    key = new_key()
    news = await asyncio.gather(*(store.put(key, b"%d" % i) for i in range(200)))
    assert sum(news) == 1
    assert await store.get(key) == b"%d" % news.index(True)


async def test_many_concurrent_operations(store: Store, new_key: Callable[[], str]) -> None:
    values = {new_key(): secrets.token_bytes(200) for _ in range(500)}
    assert all(await asyncio.gather(*(store.put(k, v) for k, v in values.items())))
    assert await asyncio.gather(*(store.get(k) for k in values)) == list(values.values())
    assert await store.get_many(list(values)) == list(values.values())


async def test_two_store_objects_share_values(
    store: Store, new_store: NewStore, new_key: Callable[[], str]
) -> None:
    other = new_store()
    await other.open()
    key = new_key()
    assert await store.put(key, b"seen") is True
    assert await other.put(key, b"unseen") is False
    assert await other.get(key) == b"seen"
    await other.close()
    assert await store.get(key) == b"seen"


async def test_values_persist_after_close(new_store: NewStore, new_key: Callable[[], str]) -> None:
    key = new_key()
    first = new_store()
    await first.open()
    await first.put(key, b"stored")
    await first.close()
    second = new_store()
    await second.open()
    assert await second.get(key) == b"stored"
    assert await second.put(key, b"other") is False
    await second.close()


async def test_cancelled_put_does_not_affect_others(
    store: Store, new_key: Callable[[], str]
) -> None:
    doomed = [asyncio.create_task(store.put(new_key(), b"x")) for _ in range(20)]
    key = new_key()
    survivor = asyncio.create_task(store.put(key, b"y"))
    await asyncio.sleep(0)
    for task in doomed:
        task.cancel()
    assert await survivor is True
    assert await store.get(key) == b"y"


async def test_closed_store_is_unavailable(store: Store, new_key: Callable[[], str]) -> None:
    await store.close()
    await store.close()
    for operation in (
        store.get("x"),
        store.get_many(["x"]),
        store.put("x", b""),
        store.put_many({"x": b""}),
        store.ping(),
    ):
        with pytest.raises(StoreUnavailableError, match="not open"):
            await operation


@pytest.mark.parametrize("damaged", [b"", b"stream, cut", b"other", b"stream of a picture\0"])
async def test_put_repairs_a_value_that_does_not_match_its_id(
    store: Store, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stream = b"stream of a picture" + secrets.token_bytes(8)
    key = identify(stream)
    assert await store.put(key, damaged) is True
    assert await store.put(key, b"also wrong") is False
    assert await store.get(key) == damaged
    assert await store.put(key, stream) is True
    assert await store.get(key) == stream
    assert key in caplog.text
    assert await store.put(key, stream) is False
    assert await store.put(key, damaged) is False
    assert await store.get(key) == stream


async def test_put_many_repairs_values_that_do_not_match_their_ids(store: Store) -> None:
    streams = {identify(s): s for s in (secrets.token_bytes(99) for _ in range(5))}
    first, second, *_ = streams
    await store.put_many({first: b"damaged", second: streams[second][:50]})
    await store.put_many(streams)
    assert await store.get_many(list(streams)) == list(streams.values())
