"""Prometheus metrics of one application.

Every application object has its own registry, so that two applications in one process (as in tests)
do not share metrics. Label values come from fixed sets (route templates, statuses, error codes), so
that clients cannot create any number of time series.

Metrics that only the event loop updates are plain numbers, which `Metrics.collect` exports: these
are updated several times per request, and a counter of prometheus_client would take a lock each
time. Metrics that threads update are objects of prometheus_client.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import accumulate

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
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from thumbstream.errors import StoreError, StoreFullError

REQUEST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets for requests, in seconds: from a read from memory to an upload that waits in a queue."""

JOB_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets for the time of one job in a worker, in seconds."""

STORE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Buckets for store operations, in seconds: from a read from memory to the default timeout."""

OPERATIONS = ("get", "put", "delete", "list", "ping")
"""Values of the label ``operation``: operations of the store."""
REASONS = ("unavailable", "full", "timeout", "other")
"""Values of the label ``reason``: why an operation of the store failed."""


class LoopCounter:
    """A counter without a lock, to be used only in the event loop."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add ``amount``."""
        self.value += amount


class LoopHistogram:
    """A histogram over `REQUEST_BUCKETS` without a lock, to be used only in the event loop."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(REQUEST_BUCKETS) + 1)  # not cumulative; the last is +Inf
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Add one observation in seconds."""
        self.counts[bisect_left(REQUEST_BUCKETS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return a pair (upper bound, number of observations up to the bound) for each bucket."""
        bounds = [*map(str, map(float, REQUEST_BUCKETS)), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


class Metrics(Collector):
    """The metrics of one application; ``registry`` contains all of them."""

    def __init__(self) -> None:
        self.in_flight = 0
        """Number of requests in flight."""
        self.connections = 0
        """Number of open connections."""
        self.cache_hits = LoopCounter()
        self.cache_misses = LoopCounter()
        self.stream_bytes_served = LoopCounter()
        self.stream_bytes_saved = LoopCounter()
        self._quality_requests = {True: 0, False: 0}  # by whether the curve is present
        self._requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._request_seconds: defaultdict[str, LoopHistogram] = defaultdict(LoopHistogram)

        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(self)
        self.encode_seconds = self._histogram(
            "encode_seconds", "Time in a worker for one upload: reduce and encode, without waiting."
        )
        self.decode_seconds = self._histogram(
            "decode_seconds",
            "Time in a worker for one preview: decode, enlarge and write, without waiting.",
        )
        self.curve_seconds = self._histogram(
            "curve_seconds", "The part of encode_seconds that measures the rate-distortion curve."
        )
        self._token_requests = self._counter(
            "token_requests", "Requests that carried a valid token, by a hash of its name.", "token"
        )
        self._connections_closed = self._counter(
            "connections_closed",
            "Connections closed by a limit, by reason: the code of the error that was sent; idle "
            "and slow_reader get no response.",
            "reason",
        )
        self._errors = self._counter("errors", "Error responses, by code.", "code")
        self._store_seconds = self._histogram(
            "store_seconds",
            "Time of one operation of the store; a get may be of many keys.",
            "operation",
            buckets=STORE_BUCKETS,
        )
        self._store_errors = self._counter(
            "store_errors",
            "Failed operations of the store: unavailable, full, timeout, other.",
            "operation",
            "reason",
        )
        for operation in OPERATIONS:
            self._store_seconds.labels(operation)
            for reason in REASONS:
                self._store_errors.labels(operation, reason)
        self._build_info = Gauge(
            "thumbstream_build_info",
            "1, with the version, the default model, and its execution provider.",
            ("version", "model", "provider"),
            registry=registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"thumbstream_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = JOB_BUCKETS
    ) -> Histogram:
        return Histogram(
            f"thumbstream_{name}", text, labels, buckets=buckets, registry=self.registry
        )

    def callback_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add the gauge ``thumbstream_<name>``, whose value is ``read()`` at each export."""
        Gauge(f"thumbstream_{name}", text, registry=self.registry).set_function(read)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count one request and its time; ``route`` must be a route template, not a URL path."""
        self._requests[route, status] += 1
        self._request_seconds[route].observe(seconds)

    def count_token(self, name: str) -> None:
        """Count a request that carried the valid token with the configured name ``name``.

        The label is a hash of the name, because a name may identify a customer and /metrics needs
        no token.
        """
        self._token_requests.labels(sha256(name.encode()).hexdigest()[:8]).inc()

    def count_connection_closed(self, reason: str) -> None:
        """Count a connection that a limit closed; ``reason`` must come from a fixed set."""
        self._connections_closed.labels(reason).inc()

    def count_quality_request(self, *, curve: bool) -> None:
        """Count one prefix requested by quality; ``curve``: whether the stream has a curve."""
        self._quality_requests[curve] += 1

    def declare_error_codes(self, codes: Iterable[str]) -> None:
        """Export 0 for every error code, so that its first error is seen as an increase."""
        for code in codes:
            self._errors.labels(code)

    def count_error(self, code: str) -> None:
        """Count one error response; ``code`` must be a documented error code."""
        self._errors.labels(code).inc()

    def observe_store(
        self, operation: str, seconds: float, error: BaseException | None = None
    ) -> None:
        """Count one operation of the store and its time, and ``error`` if the operation failed.

        ``operation``: one of `OPERATIONS`.
        """
        self._store_seconds.labels(operation).observe(seconds)
        if error is not None:
            self._store_errors.labels(operation, _reason(error)).inc()

    def set_build_info(self, *, version: str, model: str, provider: str) -> None:
        """Set the labels of ``thumbstream_build_info``."""
        self._build_info.labels(version, model, provider).set(1)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are plain numbers; prometheus_client calls this method."""
        yield GaugeMetricFamily(
            "thumbstream_requests_in_flight", "Requests in flight.", self.in_flight
        )
        yield GaugeMetricFamily("thumbstream_connections", "Open connections.", self.connections)
        for name, text, counter in (
            ("cache_hits", "Streams and curves found in memory.", self.cache_hits),
            ("cache_misses", "Streams and curves requested from the store.", self.cache_misses),
            ("stream_bytes_served", "Bytes of streams sent.", self.stream_bytes_served),
            (
                "stream_bytes_saved",
                "Bytes of streams not sent because a prefix was requested.",
                self.stream_bytes_saved,
            ),
        ):
            yield CounterMetricFamily(f"thumbstream_{name}", text, counter.value)
        quality = CounterMetricFamily(
            "thumbstream_quality_requests",
            "Prefixes requested by quality, by whether the stream has a curve: without one the "
            "full stream is sent.",
            labels=("curve",),
        )
        for present, count in self._quality_requests.items():
            quality.add_metric(("present" if present else "absent",), count)
        yield quality
        requests = CounterMetricFamily(
            "thumbstream_requests", "Responses, by route and status.", labels=("route", "status")
        )
        for (route, status), count in self._requests.items():
            requests.add_metric((route, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "thumbstream_request_seconds",
            "Time from the end of the header fields to the end of the response.",
            labels=("route",),
        )
        for route, histogram in self._request_seconds.items():
            seconds.add_metric((route,), histogram.cumulative(), histogram.sum)
        yield seconds


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.CancelledError):  # the caller stopped waiting
        return "timeout"
    if isinstance(error, StoreFullError):
        return "full"
    return "unavailable" if isinstance(error, StoreError) else "other"
