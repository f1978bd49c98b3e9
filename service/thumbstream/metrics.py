"""What the service counts, for Prometheus.

One registry per application object, so that two of them in one process (tests) do not share
numbers. Label values come from fixed sets only (route templates, statuses, codes): a request cannot
create a time series.

Several processes behind one port (`processes`) count into files of one folder, and whichever is
asked adds them up. What is no counter but a state (a gauge) is read when it is asked for, and once
a second for the siblings. What the hot path counts is a plain addition, told to Prometheus then: a
counter of prometheus_client takes a lock, and here writes to a file, for every one of ten thousands
of requests a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from thumbstream.store import StoreError, StoreFullError
from thumbstream.store.tiered import TieredStore
from thumbstream.workers import Workers

REQUEST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: from a slice out of memory to an encode at the end of a long queue."""

WORK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds of one job in a worker thread."""

STORE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds: from a page in memory to the longest that a request waits for a store."""

OPERATIONS = ("get", "put", "ping")
"""What a store is asked to do."""
REASONS = ("unavailable", "full", "timeout", "other")
"""Why it did not."""

_OF_ALL_PROCESSES = {"process_start_time_seconds": "livemin"}
"""How a gauge about a process is told of several; those not listed are summed."""


def share(index: int) -> None:
    """Counts, from now on, together with the siblings of this process; call before `Metrics`.

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


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._readings: list[Callable[[], None]] = []
        self.in_flight = 0
        """Requests under way. A plain number, because every request passes here twice."""
        if _shared():
            self._watch_process()
        else:
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "thumbstream_requests",
            "Requests answered.",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "thumbstream_request_seconds",
            "Time from the request's head to the end of the answer.",
            ("route",),
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.encode_seconds = Histogram(
            "thumbstream_encode_seconds",
            "Time in a worker for one upload: reduce and encode, without waiting.",
            buckets=WORK_BUCKETS,
            registry=registry,
        )
        self.decode_seconds = Histogram(
            "thumbstream_decode_seconds",
            "Time in a worker for one preview: decode, enlarge and write, without waiting.",
            buckets=WORK_BUCKETS,
            registry=registry,
        )
        self.curve_seconds = Histogram(
            "thumbstream_curve_seconds",
            "The part of encode_seconds that measures the rate-distortion curve.",
            buckets=WORK_BUCKETS,
            registry=registry,
        )
        self.cache_hits = self._tally("cache_hits", "Streams and curves found in memory.")
        self.cache_misses = self._tally("cache_misses", "Streams and curves asked of the store.")
        self.stream_bytes_served = self._tally("stream_bytes_served", "Bytes of streams sent.")
        self.stream_bytes_saved = self._tally(
            "stream_bytes_saved", "Bytes of streams not sent because a prefix was asked for."
        )
        self._tokens = Counter(
            "thumbstream_token_requests",
            "Requests that carried a valid token, by its name.",
            ("token",),
            registry=registry,
        )
        self.connections = self._gauge("thumbstream_connections", "Open connections.")
        self._connections_refused = Counter(
            "thumbstream_connections_refused",
            "Connections closed by a limit ahead of a request, by the problem's code; idle and "
            "slow_reader are told nothing.",
            ("reason",),
            registry=registry,
        )
        by_quality = Counter(
            "thumbstream_by_quality",
            "Prefixes asked for by quality: from a stored curve, or whole for the want of one.",
            ("curve",),
            registry=registry,
        )
        self._by_quality = {
            known: by_quality.labels("yes" if known else "no") for known in (True, False)
        }
        self._refusals = Counter(
            "thumbstream_refusals",
            "Answers that are errors, by their code.",
            ("code",),
            registry=registry,
        )
        self._store_seconds = Histogram(
            "thumbstream_store_seconds",
            "Time of one operation of the store; a get may be of many keys.",
            ("operation",),
            buckets=STORE_BUCKETS,
            registry=registry,
        )
        self._store_errors = Counter(
            "thumbstream_store_errors",
            "Operations that the store failed at: unavailable, full, timeout, other.",
            ("operation", "reason"),
            registry=registry,
        )
        for operation in OPERATIONS:
            self._store_seconds.labels(operation)
            for reason in REASONS:
                self._store_errors.labels(operation, reason)
        self._build = self._gauge(
            "thumbstream_build_info",
            "1, with the version, the default model, and what runs it.",
            ("version", "model", "provider"),
            mode="livemax",
        )
        self._starts = Counter(
            "thumbstream_process_starts",
            "Processes that began to serve since the service was started.",
            registry=registry,
        )
        self._processes = self._gauge("thumbstream_processes", "Processes that serve.")
        self.watch("thumbstream_requests_in_flight", "Requests under way.", lambda: self.in_flight)
        self._answered: dict[tuple[str, int], Tally] = {}
        self._timed: dict[str, Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request. ``route`` is a template, never a path that a client sent."""
        counter = self._answered.get((route, status))
        if counter is None:
            counter = self._answered[route, status] = Tally(
                self._requests.labels(route, str(status))
            )
            self._readings.append(counter.tell)
        counter.inc()
        timer = self._timed.get(route)
        if timer is None:
            timer = self._timed[route] = self._seconds.labels(route)
        timer.observe(seconds)

    def token(self, name: str) -> None:
        """Counts a request of a token; ``name`` is one of those configured."""
        self._tokens.labels(name).inc()

    def connection_refused(self, reason: str) -> None:
        """Counts a connection closed by a limit; ``reason`` is one of a fixed few."""
        self._connections_refused.labels(reason).inc()

    def by_quality(self, *, measured: bool) -> None:
        """Counts one prefix that was asked for by quality; ``measured``: its curve was there."""
        self._by_quality[measured].inc()

    def know_codes(self, codes: Iterable[str]) -> None:
        """Shows a 0 for every error code: a counter that begins at 1 has never increased."""
        for code in codes:
            self._refusals.labels(code)

    def refused(self, code: str) -> None:
        """Counts one answer that is an error. ``code`` is one of the documented ones."""
        self._refusals.labels(code).inc()

    def store_operation(
        self, operation: str, seconds: float, error: BaseException | None = None
    ) -> None:
        """Counts one ``get``, ``put`` or ``ping`` of the store, and what it failed with."""
        self._store_seconds.labels(operation).observe(seconds)
        if error is not None:
            self._store_errors.labels(operation, _reason(error)).inc()

    def serving(self, *, version: str, model: str, provider: str) -> None:
        """Says that this process serves from now on, and with what."""
        self._build.labels(version, model, provider).set(1)
        self._processes.set(1)
        self._starts.inc()

    def watch_workers(self, workers: Workers) -> None:
        """Shows the depth of the queue."""
        self.watch("thumbstream_jobs_waiting", "Jobs in the queue.", lambda: workers.waiting)
        self.watch("thumbstream_jobs_running", "Jobs in threads.", lambda: workers.running)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Shows a state: the sum over all processes of what ``read`` says."""
        gauge = self._gauge(name, text)
        self._readings.append(lambda: gauge.set(read()))

    def refresh(self) -> None:
        """Reads all states anew. Siblings show what was read last, so call it now and then."""
        for read in self._readings:
            read()

    def watch_tiers(self, store: TieredStore) -> None:
        """Shows how the cache in front of the store does."""
        self._follow(
            "shared_cache_hits",
            "Streams and curves found in the cache in front of the store.",
            lambda: store.hits,
        )
        self._follow(
            "shared_cache_misses",
            "Streams and curves that the durable store was asked for.",
            lambda: store.misses,
        )
        usable = self._gauge(
            "thumbstream_shared_cache_usable",
            "1, or 0 while the cache does not answer one of the processes and is left alone.",
            mode="livemin",
        )
        self._readings.append(lambda: usable.set(store.cache_usable))

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
            sample.name: self._gauge(
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

    def _tally(self, name: str, text: str) -> Tally:
        tally = Tally(Counter(f"thumbstream_{name}", text, registry=self.registry))
        self._readings.append(tally.tell)
        return tally

    def _follow(self, name: str, text: str, read: Callable[[], int]) -> None:
        """Shows a count that is kept elsewhere."""
        tally, told = self._tally(name, text), 0

        def tell() -> None:
            nonlocal told
            told, before = read(), told
            tally.inc(told - before)

        self._readings.insert(0, tell)  # before those that tell the tallies

    def _gauge(
        self, name: str, text: str, labels: tuple[str, ...] = (), *, mode: str = "livesum"
    ) -> Gauge:
        return Gauge(
            name,
            text,
            labels,
            multiprocess_mode=mode,  # type: ignore[arg-type]  # a Literal that is not exported
            registry=self.registry,
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.CancelledError):  # who waits for it gave up
        return "timeout"
    if isinstance(error, StoreFullError):
        return "full"
    return "unavailable" if isinstance(error, StoreError) else "other"
