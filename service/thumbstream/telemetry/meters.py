"""How the service counts: a Prometheus registry that several processes can share.

Processes behind one port (`processes`) count into files of one folder, and whichever is asked
adds them up. What is no counter but a state (a gauge) is read when it is asked for, and once a
second for the siblings. What the hot path counts is a plain addition, told to Prometheus then: a
counter of prometheus_client takes a lock, and here writes to a file, for every one of ten thousands
of requests a second.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

_OF_ALL_PROCESSES = {"process_start_time_seconds": "livemin"}
"""How a gauge about a process is told of several; those not listed are summed."""


def share(index: int) -> None:
    """Counts, from now on, together with the siblings of this process; call before `Meters`.

    The files are named by the process's place and not by its number, so that one that replaces
    another goes on counting where that one was, and no file is left behind for each that died.
    """
    shared = values.MultiProcessValue(lambda: index)  # type: ignore[no-untyped-call]
    values.ValueClass = shared


def _shared() -> bool:
    return bool(values.ValueClass._multiprocess)


class Tally:
    """A counter for the event loop alone: what it counts is told to ``counter`` by `tell`."""

    __slots__ = ("_counter", "_untold")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._untold = 0

    def inc(self, amount: int = 1) -> None:
        """Count ``amount`` more."""
        self._untold += amount

    def tell(self) -> None:
        """Tell the counter."""
        if self._untold:
            self._counter.inc(self._untold)
            self._untold = 0


class Meters:
    """The registry of one application, with the standard numbers about its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._readings: list[Callable[[], None]] = []
        if _shared():
            self._watch_process()
        else:
            ProcessCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def gauge(
        self, name: str, text: str, labels: tuple[str, ...] = (), *, mode: str = "livesum"
    ) -> Gauge:
        """A state; ``mode`` says how those of several processes become one."""
        return Gauge(
            name,
            text,
            labels,
            multiprocess_mode=mode,  # type: ignore[arg-type]  # a Literal that is not exported
            registry=self.registry,
        )

    def tally(self, counter: Counter) -> Tally:
        """A counter that only the event loop counts."""
        tally = Tally(counter)
        self._readings.append(tally.tell)
        return tally

    def follow(self, counter: Counter, read: Callable[[], int]) -> None:
        """Shows a count that is kept elsewhere."""
        tally, told = self.tally(counter), 0

        def tell() -> None:
            nonlocal told
            told, before = read(), told
            tally.inc(told - before)

        self._readings.insert(0, tell)  # before those that tell the tallies

    def watch(
        self, name: str, text: str, read: Callable[[], float], *, mode: str = "livesum"
    ) -> None:
        """Shows a state that ``read`` tells: the sum over all processes, or by another mode."""
        gauge = self.gauge(name, text, mode=mode)
        self._readings.append(lambda: gauge.set(read()))

    def refresh(self) -> None:
        """Reads all states anew. Siblings show what was read last, so call it now and then."""
        for read in self._readings:
            read()

    def page(self) -> bytes:
        """All numbers, of all processes, in Prometheus' text format."""
        self.refresh()
        if not _shared():
            return generate_latest(self.registry)
        everyone = CollectorRegistry()
        PlatformCollector(registry=everyone)
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)

    def _watch_process(self) -> None:
        """The standard numbers about a process, kept like states and so added up."""
        collector = ProcessCollector(registry=None)
        gauges = {
            sample.name: self.gauge(
                sample.name,
                family.documentation,
                mode=_OF_ALL_PROCESSES.get(sample.name, "livesum"),
            )
            for family in collector.collect()
            for sample in family.samples
        }

        def read() -> None:
            for family in collector.collect():
                for sample in family.samples:
                    gauges[sample.name].set(sample.value)

        self._readings.append(read)
