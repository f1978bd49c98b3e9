"""The contract of `Store`, checked for every implementation."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable

import pytest

from thumbstream.errors import StoreUnavailableError
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Record, Store, StreamInfo

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
    assert await store.put_many({key: key.encode() for key in keys}) == set(keys) - {keys[3]}
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
    assert await store.put_many({key: b"stream", name: b"curve"}) == {key, name}
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
        store.delete_many(["x"]),
        store.delete_curves(["x"]),
        store.info_many(["x"]),
        store.list_label("x"),
        store.remove_label("x"),
        store.used_bytes(),
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


async def test_delete_removes_stream_curve_and_record(
    store: Store, new_key: Callable[[], str]
) -> None:
    key, other, label = new_key(), new_key(), new_key()
    record = Record(1000, frozenset({label}))
    values = {key: b"stream", curve_key(key): b"curve", other: b"other", curve_key(other): b"c"}
    await store.put_many(values, {key: record, other: record})
    await store.delete_many([key, new_key()])
    await store.delete_many([key])
    await store.delete_many([])
    assert await store.get_many(list(values)) == [None, None, b"other", b"c"]
    assert await store.info_many([key, other]) == [None, StreamInfo(other, 5, record)]
    assert [info.key for info in (await store.list_label(label)).streams] == [other]


async def test_delete_curves_leaves_streams_and_records(
    store: Store, new_key: Callable[[], str]
) -> None:
    key, other, label = new_key(), new_key(), new_key()
    record = Record(1000, frozenset({label}))
    values = {key: b"stream", curve_key(key): b"curve", other: b"other", curve_key(other): b"c"}
    await store.put_many(values, {key: record, other: record})
    await store.delete_curves([key, new_key()])
    await store.delete_curves([])
    assert await store.get_many(list(values)) == [b"stream", None, b"other", b"c"]
    assert await store.info_many([key]) == [StreamInfo(key, 6, record)]
    assert await store.put(curve_key(key), b"again", record) is True


async def test_deleted_stream_can_be_uploaded_again(
    store: Store, new_key: Callable[[], str]
) -> None:
    key, label = new_key(), new_key()
    await store.put(key, b"stream", Record(1000, frozenset({label})))
    await store.delete_many([key])
    assert await store.put(key, b"stream", Record(2000)) is True
    assert await store.info_many([key]) == [StreamInfo(key, 6, Record(2000))]
    assert (await store.list_label(label)).streams == []


async def test_curve_of_a_missing_stream_is_not_stored(
    store: Store, new_key: Callable[[], str]
) -> None:
    key = new_key()
    assert await store.put(curve_key(key), b"late") is False
    await store.put(key, b"stream")
    await store.delete_many([key])
    assert await store.put_many({curve_key(key): b"late"}) == set()
    assert await store.get_many([key, curve_key(key)]) == [None, None]


async def test_records_of_repeated_uploads_are_merged(
    store: Store, new_key: Callable[[], str]
) -> None:
    key, a, b = new_key(), new_key(), new_key()
    await store.put(key, b"stream", Record(2000, frozenset({a}), 9_000_000_000))
    await store.put(key, b"stream", Record(3000, frozenset({b})))
    await store.put(key, b"stream", Record(1000))
    assert await store.info_many([key]) == [
        StreamInfo(key, 6, Record(1000, frozenset({"", a, b}), None))
    ]


async def test_removed_label_deletes_only_streams_without_other_uploads(
    store: Store, new_key: Callable[[], str]
) -> None:
    a, b = new_key(), new_key()
    only, shared, plain, unrelated = (new_key() for _ in range(4))
    labels = {only: {a}, shared: {a, b}, plain: {a, ""}, unrelated: {b}}
    records = {key: Record(1, frozenset(names)) for key, names in labels.items()}
    values = dict.fromkeys(labels, b"stream") | {curve_key(key): b"curve" for key in labels}
    await store.put_many(values, records)
    removal = await store.remove_label(a)
    assert (removal.deleted, removal.more) == ([only], False)
    assert await store.get_many([only, curve_key(only)]) == [None, None]
    infos = await store.info_many([shared, plain])
    assert [info and info.record.labels for info in infos] == [{b}, {""}]
    assert (await store.list_label(a)).streams == []
    assert await store.remove_label(a) == ([], False)
    assert sorted((await store.remove_label(b)).deleted) == sorted([shared, unrelated])
    assert await store.get_many([plain, curve_key(plain)]) == [b"stream", b"curve"]


@pytest.mark.parametrize("label", ["a/b:{c}d", "ä" * 64, "'; DROP TABLE label", "{", "%7B", " "])
async def test_any_label(store: Store, new_key: Callable[[], str], label: str) -> None:
    key = new_key()
    await store.put(key, b"stream", Record(1, frozenset({label})))
    assert await store.list_label(label) == (
        [StreamInfo(key, 6, Record(1, frozenset({label})))],
        None,
    )
    assert (await store.remove_label(label)).deleted == [key]


async def test_pages_of_a_label_while_streams_come_and_go(
    store: Store, new_key: Callable[[], str]
) -> None:
    label = new_key()
    record = Record(1, frozenset({label}))
    keys = sorted(new_key() for _ in range(25))
    await store.put_many(dict.fromkeys(keys, b"s"), dict.fromkeys(keys, record))
    seen, after = [], ""
    while after is not None:
        page = await store.list_label(label, after=after, limit=7)
        seen += [info.key for info in page.streams]
        after = page.after
        new = new_key()
        await store.put(new, b"s", record)
        await store.delete_many([keys.pop()])
    assert len(seen) == len(set(seen))
    assert set(keys) <= set(seen)


async def test_label_is_removed_page_by_page(store: Store, new_key: Callable[[], str]) -> None:
    label = new_key()
    keys = sorted(new_key() for _ in range(12))
    records = dict.fromkeys(keys, Record(1, frozenset({label})))
    await store.put_many(dict.fromkeys(keys, b"s"), records)
    deleted: list[str] = []
    more = True
    while more:
        removal = await store.remove_label(label, limit=5)
        deleted += removal.deleted
        more = removal.more
    assert deleted == keys


async def test_scan_yields_every_key(store: Store, new_key: Callable[[], str]) -> None:
    keys = [new_key() for _ in range(300)]
    values = dict.fromkeys(keys, b"s") | {curve_key(key): b"c" for key in keys[:50]}
    await store.put_many(values)
    found: set[str] = set()
    fractions = []
    async for page in store.scan():
        found |= set(page.keys)
        fractions.append(page.fraction)
    assert set(values) <= found
    assert fractions == sorted(fractions)
    assert 0 < fractions[-1] <= 1
    assert await store.used_bytes() > 0


async def test_expired_streams_are_deleted(store: Store, new_key: Callable[[], str]) -> None:
    soon, later, never, label = new_key(), new_key(), new_key(), new_key()
    now = int(time.time())
    records = {
        soon: Record(now, frozenset({label}), now + 1),
        later: Record(now, frozenset({label}), now + 1000),
        never: Record(now, frozenset({label})),
    }
    values = dict.fromkeys(records, b"s") | {curve_key(key): b"c" for key in records}
    await store.put_many(values, records)
    again = new_key()
    await store.put(again, b"s", Record(now, expires=now + 1))
    await store.put(again, b"s", Record(now, expires=now + 1000))
    await asyncio.sleep(2.1)
    await store.delete_expired()
    kept = [None, b"s", b"s", b"s"]
    assert await store.get_many([soon, later, never, again]) == kept
    assert await store.get_many(list(map(curve_key, records))) == [None, b"c", b"c"]
    listed = (await store.list_label(label)).streams
    assert {info.key: info.record for info in listed} == {k: records[k] for k in (later, never)}


async def test_delete_and_upload_of_one_id_at_once(
    store: Store, new_key: Callable[[], str]
) -> None:
    for _ in range(20):
        key, label = new_key(), new_key()
        record = {key: Record(1, frozenset({label}))}
        values = {key: b"stream", curve_key(key): b"curve"}
        await store.put_many(values, record)
        await asyncio.gather(store.put_many(values, record), store.delete_many([key]))
        stream, curve = await store.get_many(list(values))
        listed = [info.key for info in (await store.list_label(label)).streams]
        assert listed == ([] if stream is None else [key])
        assert stream is not None or curve is None
