"""Any sequence of operations on a store has the results of a dict that keeps first values.

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
from thumbstream.storage import Store

KEYS = st.integers(0, 7)
VALUES = st.binary(max_size=600)


class StoreMachine(RuleBasedStateMachine):
    """A store and a model of it; the test sets `new_store`."""

    new_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.prefix = secrets.token_urlsafe(8)
        self.model: dict[str, bytes] = {}
        self.store = type(self).new_store()
        self.run(self.store.open())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(coroutine)

    def key(self, number: int) -> str:
        return f"{self.prefix}{number}"

    @rule(number=KEYS, value=VALUES)
    def put(self, number: int, value: bytes) -> None:
        key = self.key(number)
        assert self.run(self.store.put(key, value)) is (key not in self.model)
        self.model.setdefault(key, value)

    @rule(values=st.lists(st.tuples(KEYS, VALUES), max_size=6))
    def put_at_once(self, values: list[tuple[int, bytes]]) -> None:
        async def put_all() -> list[bool]:
            return await asyncio.gather(*(self.store.put(self.key(n), v) for n, v in values))

        news = self.run(put_all())
        for number in {n for n, _ in values}:
            key = self.key(number)
            winners = [v for (n, v), new in zip(values, news, strict=True) if n == number and new]
            assert len(winners) == (key not in self.model)
            for value in winners:
                self.model[key] = value

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
