"""What the service counts, for Prometheus.

One registry per application object, so that two of them in one process (tests) do not share
numbers. Label values come from fixed sets only (route templates, statuses, codes): a request cannot
create a time series.

`meters` says how it is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from thumbstream.errors import StoreError, StoreFullError
from thumbstream.telemetry.meters import Meters, Tally
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


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._meters = meters = Meters()
        registry = meters.registry
        self.watch = meters.watch
        self.refresh = meters.refresh
        self.page = meters.page
        self.in_flight = 0
        """Requests under way. A plain number, because every request passes here twice."""

        def tally(name: str, text: str) -> Tally:
            return meters.tally(Counter(f"thumbstream_{name}", text, registry=registry))

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
        self.cache_hits = tally("cache_hits", "Streams and curves found in memory.")
        self.cache_misses = tally("cache_misses", "Streams and curves asked of the store.")
        self.stream_bytes_served = tally("stream_bytes_served", "Bytes of streams sent.")
        self.stream_bytes_saved = tally(
            "stream_bytes_saved", "Bytes of streams not sent because a prefix was asked for."
        )
        self._tokens = Counter(
            "thumbstream_token_requests",
            "Requests that carried a valid token, by its name.",
            ("token",),
            registry=registry,
        )
        self.connections = meters.gauge("thumbstream_connections", "Open connections.")
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
        self._build = meters.gauge(
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
        self._processes = meters.gauge("thumbstream_processes", "Processes that serve.")
        self.watch("thumbstream_requests_in_flight", "Requests under way.", lambda: self.in_flight)
        self._answered: dict[tuple[str, int], Tally] = {}
        self._timed: dict[str, Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one request. ``route`` is a template, never a path that a client sent."""
        counter = self._answered.get((route, status))
        if counter is None:
            labelled = self._requests.labels(route, str(status))
            counter = self._answered[route, status] = self._meters.tally(labelled)
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


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.CancelledError):  # who waits for it gave up
        return "timeout"
    if isinstance(error, StoreFullError):
        return "full"
    return "unavailable" if isinstance(error, StoreError) else "other"
