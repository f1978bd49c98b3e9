"""Calls of a network that find it busy run together: one batch when it is free again.

An accelerator needs about as long for many small pictures as for one. Who calls while nothing runs,
runs at once. Who calls during a run waits, and when that ends, the one who has waited longest leads
the next: it takes all along who wait with inputs of the same shapes, as far as they find room.
Nobody waits for company, so batches arise from load alone; there is no thread and no clock here.

A batch is filled up with zeros to a power of two: a device prepares for each size that it has not
met, so there are few, and they can be met at the start.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Inputs: TypeAlias = Mapping[str, NDArray[np.float32]]
Outputs: TypeAlias = list[NDArray[np.float32]]
Run: TypeAlias = Callable[[Inputs, Sequence[str] | None], Outputs]
"""Inputs by name, and the names of the outputs (None: all), to these outputs."""


def bucket(rows: int) -> int:
    """How many rows are run for so many: the next power of two."""
    return 1 << (rows - 1).bit_length()


def buckets(maximum: int) -> tuple[int, ...]:
    """Sizes that batches of at most ``maximum`` rows have."""
    return tuple(1 << power for power in range(bucket(maximum).bit_length()))


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's part."""

    inputs: Inputs
    outputs: Sequence[str] | None
    rows: int
    kind: tuple[Any, ...]
    """What all calls of a batch have in common."""
    leads: bool = False
    """It has to run the next batch, of which it is the first."""
    turn: threading.Event = field(default_factory=threading.Event)
    """Set when it leads, or when it is answered."""
    results: Outputs = field(default_factory=list)
    error: Exception | None = None


class Batcher:
    """A network's run, for many threads."""

    def __init__(self, run: Run, maximum: int) -> None:
        """``run`` treats the rows of its inputs, along their first axis, each by itself.

        ``maximum``: rows of a batch. A call that alone has more is run alone.
        """
        self._run = run
        self._maximum = maximum
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        """Not yet run, the longest waiting first. While nothing is `_busy`, empty."""
        self._busy = False
        """Some call leads: it runs a batch, or is the first of `_waiting` and about to."""

    def run(self, inputs: Inputs, outputs: Sequence[str] | None = None) -> Outputs:
        """What the network makes of ``inputs``, or the error of the batch in which they ran."""
        heights = {value.shape[:1] for value in inputs.values()}
        if len(heights) != 1 or heights <= {(), (0,)}:
            return self._run(inputs, outputs)  # no batch; the network knows what is wrong with it
        [(rows,)] = heights
        kind = tuple((name, value.shape[1:], value.dtype) for name, value in inputs.items())
        call = _Call(inputs, outputs, rows, (kind, None if outputs is None else tuple(outputs)))
        with self._lock:
            self._waiting.append(call)
            call.leads = not self._busy
            self._busy = True
        if not call.leads:
            self._wait(call)
        if call.leads:
            self._lead()
        if call.error is not None:
            raise call.error
        return call.results

    def _wait(self, call: _Call) -> None:
        try:
            call.turn.wait()
        except BaseException:  # a signal in the main thread: the others go on without it
            with self._lock:
                if call in self._waiting:
                    self._waiting.remove(call)
                    if call.leads:
                        self._hand_over()
            raise

    def _lead(self) -> None:
        batch = self._next_batch()
        try:
            for call, results in zip(batch, self._run_together(batch), strict=True):
                call.results = results
        except Exception as error:  # whatever it is, it is everybody's
            for call in batch:
                call.error = error
        except BaseException:  # meant for this thread alone: the others run again, without it
            with self._lock:
                self._waiting.extendleft(reversed(batch[1:]))
            batch = []
            raise
        finally:
            with self._lock:
                self._hand_over()
            for call in batch[1:]:
                call.turn.set()

    def _hand_over(self) -> None:
        """Let the first who waits lead; ``_lock`` is held."""
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()

    def _next_batch(self) -> list[_Call]:
        """The first who waits, and those like it that it has room for."""
        with self._lock:
            first = self._waiting[0]
            batch, others, rows = [first], deque[_Call](), first.rows
            for call in islice(self._waiting, 1, None):
                if call.kind == first.kind and rows + call.rows <= self._maximum:
                    batch.append(call)
                    rows += call.rows
                else:
                    others.append(call)
            self._waiting = others
        return batch

    def _run_together(self, batch: list[_Call]) -> Iterator[Outputs]:
        """The outputs of each call, from one run."""
        first, rows = batch[0], sum(call.rows for call in batch)
        inputs = first.inputs
        if len(batch) > 1 or bucket(rows) > rows:
            inputs = {name: _stacked([call.inputs[name] for call in batch]) for name in inputs}
        outputs = self._run(inputs, first.outputs)
        end = 0
        for call in batch:
            begin, end = end, end + call.rows
            yield [output[begin:end] for output in outputs]


def _stacked(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """``parts`` behind each other, and zeros up to the next bucket."""
    rows = sum(len(part) for part in parts)
    whole = np.zeros((bucket(rows), *parts[0].shape[1:]), parts[0].dtype)
    np.concatenate(parts, out=whole[:rows])
    return whole
