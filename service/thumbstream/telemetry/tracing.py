"""OpenTelemetry traces: one span for each request, and a child span for each step of the pipeline.

Tracing is off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` is
set and the extra ``thumbstream[otel]`` is installed. The OpenTelemetry SDK reads the other
variables of its specification (``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``, ...). While tracing
is off, the SDK is not imported, the service adds no middleware, and `span` returns one shared
object that does nothing.

The package has its own middleware because opentelemetry-instrumentation-asgi names spans by the raw
path, creates spans for single ASGI messages, and is in beta.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbstream.telemetry.request_ids import request_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_NOOP_SPAN: AbstractContextManager[object] = nullcontext()
_tracer: Tracer | None = None  # None: off
_provider: TracerProvider | None = None


def span(name: str) -> AbstractContextManager[object]:
    """Return a context manager that records a child span of the current span.

    The span also records an exception that leaves the ``with`` block.
    """
    return _NOOP_SPAN if _tracer is None else _tracer.start_as_current_span(name)


def enabled() -> bool:
    """Return whether tracing is on."""
    return _tracer is not None


def ids() -> Mapping[str, str]:
    """Return ``trace_id`` and ``span_id`` of the current span in hex; empty if there is no span."""
    if _tracer is None:
        return {}
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def start() -> None:
    """Turn tracing on if the environment sets an endpoint and the extra is installed."""
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # Not an error, since some platforms set the variable in every container.
        log.warning("%s is set, but thumbstream[otel] is not installed: no traces", endpoint)
        return
    # A service name in the environment overrides the default name.
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": "thumbstream"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)
    log.info("OTLP exporter: %s", endpoint)


def use(provider: TracerProvider) -> None:
    """Turn tracing on, with spans recorded by ``provider``."""
    global _tracer, _provider
    _provider = provider
    _tracer = provider.get_tracer("thumbstream")


def stop() -> None:
    """Send the remaining spans and turn tracing off. Does nothing if tracing is off."""
    global _tracer, _provider
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.shutdown()


class TracingMiddleware:
    """ASGI middleware that records a server span for each request.

    The span continues the trace of the header field ``traceparent``. ``route_of`` returns the route
    template after the request was served, for span names such as ``GET /thumb/{id}``.
    """

    def __init__(self, app: ASGIApp, route_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or _tracer is None:
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, Status, StatusCode

        status = 500

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        with _tracer.start_as_current_span(
            method, extract(_carrier(scope["headers"])), SpanKind.SERVER
        ) as span:
            await self._app(scope, receive, record_status)
            route = self._route_of(scope)
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "thumbstream.request_id": request_id(scope),
                }
            )
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
