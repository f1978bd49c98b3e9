"""What the service counts, for Prometheus.

One registry per application object, so that two of them in one process (tests) do not share
numbers. Label values come from fixed sets only (route templates and statuses): a request cannot
create a time series.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from thumbstream.store.tiered import TieredStore
from thumbstream.workers import Workers

REQUEST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: from a slice out of memory to an encode at the end of a long queue."""

WORK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds of one job in a worker thread."""


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
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
        self.cache_hits = Counter(
            "thumbstream_cache_hits", "Streams and curves found in memory.", registry=registry
        )
        self.cache_misses = Counter(
            "thumbstream_cache_misses", "Streams and curves asked of the store.", registry=registry
        )
        self.stream_bytes_served = Counter(
            "thumbstream_stream_bytes_served", "Bytes of streams sent.", registry=registry
        )
        self.stream_bytes_saved = Counter(
            "thumbstream_stream_bytes_saved",
            "Bytes of streams not sent because a prefix was asked for.",
            registry=registry,
        )
        self._tokens = Counter(
            "thumbstream_token_requests",
            "Requests that carried a valid token, by its name.",
            ("token",),
            registry=registry,
        )
        self.connections = Gauge("thumbstream_connections", "Open connections.", registry=registry)
        self._refused = Counter(
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
        self._answered: dict[tuple[str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request. ``route`` is a template, never a path that a client sent."""
        counter = self._answered.get((route, status))
        if counter is None:
            counter = self._answered[route, status] = self._requests.labels(route, str(status))
        counter.inc()
        timer = self._timed.get(route)
        if timer is None:
            timer = self._timed[route] = self._seconds.labels(route)
        timer.observe(seconds)

    def token(self, name: str) -> None:
        """Counts a request of a token; ``name`` is one of those configured."""
        self._tokens.labels(name).inc()

    def refused(self, reason: str) -> None:
        """Counts a connection closed by a limit; ``reason`` is one of a fixed few."""
        self._refused.labels(reason).inc()

    def by_quality(self, *, measured: bool) -> None:
        """Counts one prefix that was asked for by quality; ``measured``: its curve was there."""
        self._by_quality[measured].inc()

    def watch_workers(self, workers: Workers) -> None:
        """Shows the depth of the queue, read at the time of each scrape."""
        waiting = Gauge("thumbstream_jobs_waiting", "Jobs in the queue.", registry=self.registry)
        waiting.set_function(lambda: workers.waiting)
        running = Gauge("thumbstream_jobs_running", "Jobs in threads.", registry=self.registry)
        running.set_function(lambda: workers.running)

    def watch_tiers(self, store: TieredStore) -> None:
        """Shows how the cache in front of the store does, read at the time of each scrape."""
        self.registry.register(_Tiers(store))

    def page(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self.registry)


class _Tiers(Collector):
    """The counters of a `TieredStore`."""

    def __init__(self, store: TieredStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "thumbstream_shared_cache_hits",
            "Streams and curves found in the cache in front of the store.",
            value=self._store.hits,
        )
        yield CounterMetricFamily(
            "thumbstream_shared_cache_misses",
            "Streams and curves that the durable store was asked for.",
            value=self._store.misses,
        )
        yield GaugeMetricFamily(
            "thumbstream_shared_cache_usable",
            "1, or 0 while the cache does not answer and is left alone.",
            value=self._store.cache_usable,
        )
