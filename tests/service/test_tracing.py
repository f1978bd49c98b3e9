"""Traces: spans and their parents, and no SDK while tracing is off."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

import httpx
import pytest
from fakes import photo
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from service_harness import UNKNOWN, Launch, Running

from thumbstream.telemetry import tracing
from thumbstream.telemetry.logging import JsonFormatter, add_request_context

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.stop()


@pytest.fixture
async def http(running: Running, recorded: InMemorySpanExporter) -> httpx.AsyncClient:
    traced = tracing.TracingMiddleware(running.app, running.app.route)
    transport = httpx.ASGITransport(app=traced, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def finished(recorded: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in recorded.get_finished_spans()}


async def test_upload_span_has_a_child_for_each_step(
    http: httpx.AsyncClient, recorded: InMemorySpanExporter
) -> None:
    answer = await http.post(
        "/compress",
        content=photo(),
        headers={"Content-Type": "image/png", "traceparent": TRACEPARENT, "X-Request-ID": "me"},
    )
    assert answer.status_code == 201
    spans = finished(recorded)
    assert set(spans) == {"POST /compress", "ingest", "encode", "curve", "store put"}
    request = spans.pop("POST /compress")
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == CALLER
    assert request.attributes is not None
    assert request.attributes["http.route"] == "/compress"
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["thumbstream.request_id"] == "me"
    for step in spans.values():
        assert step.parent is not None
        assert step.parent.span_id == request.context.span_id
        assert f"{step.context.trace_id:032x}" == TRACE


async def test_spans_of_the_hot_path(
    http: httpx.AsyncClient, running: Running, recorded: InMemorySpanExporter
) -> None:
    key = (await running.upload())["id"]
    recorded.clear()
    await http.get(f"/thumb/{key}?bytes=32")
    await http.get(f"/decode/{key}")
    await http.get("/invented/by/a/client")
    assert set(finished(recorded)) == {
        "GET /thumb/{id}", "store get", "GET /decode/{id}", "decode", "GET unmatched",
    }  # fmt: skip


async def test_failed_request_marks_its_span(
    http: httpx.AsyncClient, running: Running, recorded: InMemorySpanExporter
) -> None:
    running.store.down = True
    assert (await http.get(f"/thumb/{UNKNOWN}")).status_code == 503
    spans = finished(recorded)
    assert spans["GET /thumb/{id}"].status.status_code is StatusCode.ERROR
    assert [event.name for event in spans["store get"].events] == ["exception"]


async def test_logs_have_the_trace_id(
    http: httpx.AsyncClient,
    running: Running,
    recorded: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running.store.down = True
    caplog.handler.addFilter(add_request_context)
    await http.get(f"/thumb/{UNKNOWN}", headers={"traceparent": TRACEPARENT})
    [record] = [r for r in caplog.records if r.name == "thumbstream.storage.reader"]
    assert f'"trace_id": "{TRACE}"' in JsonFormatter().format(record)


def test_without_endpoint_the_sdk_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracing.span("a") is tracing.span("b")
    assert tracing.ids() == {}
    program = (
        "import sys; import thumbstream.server.app; from thumbstream.telemetry import tracing; "
        "tracing.start(); "
        "assert not tracing.enabled(); assert 'opentelemetry.sdk' not in sys.modules"
    )
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_otel_extra_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    caplog.set_level(logging.WARNING)
    tracing.start()
    assert not tracing.enabled()
    assert "thumbstream[otel]" in caplog.text


def test_otlp_collector_receives_spans(launch: Launch) -> None:
    received: Queue[tuple[str, bytes]] = Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        server = launch(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
            OTEL_SERVICE_NAME="previews-of-the-shop",
        )
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.process.send_signal(signal.SIGINT)  # what was not sent yet is sent now
        assert server.process.wait(60) == 0
        path, body = received.get(timeout=30)
        collector.shutdown()
    assert path == "/v1/traces"
    assert b"previews-of-the-shop" in body
    assert b"GET /healthz" in body
