"""Any sequence of operations on a store has the results of a dict that keeps first values.

The model knows streams with their curves, records and labels, and deletes them.

STORE_EXAMPLES and STORE_STEPS in the environment run more and longer sequences.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from thumbstream.errors import StoreUnavailableError
from thumbstream.ids import curve_key
from thumbstream.storage import Record, Store, StreamInfo

KEYS = st.integers(0, 7)
VALUES = st.binary(max_size=600)
LABELS = st.integers(0, 2)
RECORDS = st.builds(
    Record,
    st.none() | st.integers(1, 1000),
    st.frozensets(st.sampled_from(["", "0", "1", "2"]), min_size=1),
    st.none() | st.integers(10**10, 10**10 + 9),
)


class StoreMachine(RuleBasedStateMachine):
    """A store and a model of it; the test sets `new_store`."""

    new_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.prefix = secrets.token_urlsafe(8)
        self.model: dict[str, bytes] = {}
        self.records: dict[str, Record] = {}
        self.store = type(self).new_store()
        self.run(self.store.open())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(coroutine)

    def key(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def label(self, name: str) -> str:
        return name and self.prefix + name

    def own(self, record: Record) -> Record:
        """The record with labels that no other machine has."""
        return Record(record.created, frozenset(map(self.label, record.labels)), record.expires)

    def merge(self, key: str, record: Record) -> None:
        old = self.records.get(key)
        if old is not None:
            times = [time for time in (old.created, record.created) if time is not None]
            record = Record(min(times, default=None), old.labels | record.labels, record.expires)
        self.records[key] = record

    def forget(self, keys: list[str]) -> None:
        for key in keys:
            for name in (key, curve_key(key)):
                self.model.pop(name, None)
            self.records.pop(key, None)

    def labelled(self, label: str) -> list[str]:
        return sorted(key for key, record in self.records.items() if label in record.labels)

    def info(self, key: str) -> StreamInfo | None:
        if key not in self.model:
            return None
        return StreamInfo(key, len(self.model[key]), self.records[key])

    @rule(number=KEYS, value=VALUES, record=RECORDS)
    def put(self, number: int, value: bytes, record: Record) -> None:
        key, record = self.key(number), self.own(record)
        assert self.run(self.store.put(key, value, record)) is (key not in self.model)
        self.model.setdefault(key, value)
        self.merge(key, record)

    @rule(number=KEYS, value=VALUES)
    def put_curve(self, number: int, value: bytes) -> None:
        key = self.key(number)
        name = curve_key(key)
        new = key in self.model and name not in self.model
        assert self.run(self.store.put(name, value)) is new
        if new:
            self.model[name] = value

    @rule(numbers=st.lists(KEYS, max_size=4), record=RECORDS, curves=st.booleans())
    def put_many(self, numbers: list[int], record: Record, curves: bool) -> None:
        keys, record = [self.key(number) for number in numbers], self.own(record)
        values = dict.fromkeys(keys, b"stream")
        values |= {curve_key(key): b"curve" for key in keys if curves}
        written = self.run(self.store.put_many(values, dict.fromkeys(keys, record)))
        assert written == values.keys() - self.model.keys()
        self.model = values | self.model
        for key in set(keys):
            self.merge(key, record)

    @rule(numbers=st.lists(KEYS, max_size=3))
    def delete_many(self, numbers: list[int]) -> None:
        keys = [self.key(number) for number in numbers]
        self.run(self.store.delete_many(keys))
        self.forget(keys)

    @rule(numbers=st.lists(KEYS, max_size=3))
    def delete_curves(self, numbers: list[int]) -> None:
        keys = [self.key(number) for number in numbers]
        self.run(self.store.delete_curves(keys))
        for key in keys:
            self.model.pop(curve_key(key), None)

    @rule(number=LABELS, limit=st.integers(1, 9))
    def remove_label(self, number: int, limit: int) -> None:
        label = self.label(str(number))
        keys = self.labelled(label)
        removal = self.run(self.store.remove_label(label, limit=limit))
        unused = [key for key in keys[:limit] if self.records[key].labels == {label}]
        assert sorted(removal.deleted) == unused
        assert removal.more is (len(keys) >= limit)
        for key in keys[:limit]:
            old = self.records[key]
            self.records[key] = Record(old.created, old.labels - {label}, old.expires)
        self.forget(unused)

    @rule(number=LABELS, limit=st.integers(1, 4))
    def list_label(self, number: int, limit: int) -> None:
        label, after = self.label(str(number)), ""
        found: list[StreamInfo] = []
        while after is not None:
            page = self.run(self.store.list_label(label, after=after, limit=limit))
            found += page.streams
            after = page.after
        assert found == list(map(self.info, self.labelled(label)))

    @rule(numbers=st.lists(KEYS, max_size=10))
    def info_many(self, numbers: list[int]) -> None:
        keys = [self.key(number) for number in numbers]
        assert self.run(self.store.info_many(keys)) == list(map(self.info, keys))

    @rule()
    def scan(self) -> None:
        async def scan() -> set[str]:
            return {key async for page in self.store.scan() for key in page.keys}

        mine = {key for key in self.run(scan()) if key.lstrip("~").startswith(self.prefix)}
        assert mine == self.model.keys()

    @rule(values=st.lists(st.tuples(KEYS, VALUES), max_size=6))
    def put_at_once(self, values: list[tuple[int, bytes]]) -> None:
        record = Record(5)

        async def put_all() -> list[bool]:
            puts = (self.store.put(self.key(n), v, record) for n, v in values)
            return await asyncio.gather(*puts)

        news = self.run(put_all())
        for number in {n for n, _ in values}:
            key = self.key(number)
            winners = [v for (n, v), new in zip(values, news, strict=True) if n == number and new]
            assert len(winners) == (key not in self.model)
            for value in winners:
                self.model[key] = value
            self.merge(key, record)

    @rule(number=KEYS)
    def get(self, number: int) -> None:
        assert self.run(self.store.get(self.key(number))) == self.model.get(self.key(number))

    @rule(numbers=st.lists(KEYS, max_size=10))
    def get_many(self, numbers: list[int]) -> None:
        keys = [self.key(number) for number in numbers]
        assert self.run(self.store.get_many(keys)) == [self.model.get(key) for key in keys]

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        with pytest.raises(StoreUnavailableError, match="not open"):
            self.run(self.store.get(self.key(0)))
        self.store = type(self).new_store()
        self.run(self.store.open())

    @rule(numbers=st.lists(KEYS, max_size=10))
    def another_object_returns_the_same(self, numbers: list[int]) -> None:
        keys = [self.key(number) for number in numbers]

        async def read() -> list[bytes | None]:
            other = type(self).new_store()
            await other.open()
            try:
                return await other.get_many(keys)
            finally:
                await other.close()

        assert self.run(read()) == [self.model.get(key) for key in keys]

    @invariant()
    def responds_to_ping(self) -> None:
        self.run(self.store.ping())

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()


def test_any_sequence_of_operations(new_store: Callable[[], Store]) -> None:
    class Machine(StoreMachine):
        pass

    Machine.new_store = staticmethod(new_store)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("STORE_EXAMPLES", "8")),
            stateful_step_count=int(os.environ.get("STORE_STEPS", "15")),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
