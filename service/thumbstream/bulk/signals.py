"""SIGINT and SIGTERM end a run kindly: what is under way is finished and written down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TEXT = b"\nthumbstream: finishing what runs; a second signal ends it at once\n"


@contextmanager
def kindly(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Within, the first signal calls ``stop`` and is noted in the list; the next ones act as ever.

    For the main thread.
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        restore()
        stop()
        os.write(2, _TEXT)  # print() might be in the middle of a line of its own

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield caught
    finally:
        restore()
