from __future__ import annotations

import json
import logging
import os
from typing import Any

import httpx
import pytest
from fakes import FakeModels, MemoryStore, photo
from service_harness import UNKNOWN, Running, Start, assert_problem

from thumbstream.errors import UnknownModelError
from thumbstream.server.app import create_app
from thumbstream.settings import Settings
from thumbstream.telemetry.logging import JsonFormatter, TextFormatter, add_request_context


async def test_health_depends_on_nothing(running: Running) -> None:
    running.store.down = True
    answer = await running.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready(running: Running) -> None:
    answer = await running.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "store": "memory",
        "models": ["fake-1", "fake-2"],
    }


async def test_not_ready_without_a_store(start: Start) -> None:
    running = await start(store_timeout_seconds=0.05)
    running.store.down = True
    answer = await running.http.get("/readyz")
    assert "secret" not in assert_problem(answer, 503, "not_ready")["detail"]
    assert answer.headers["retry-after"] == "1"
    running.store.down, running.store.delay = False, 5
    assert_problem(await running.http.get("/readyz"), 503, "not_ready")


async def test_draining_service_is_not_ready_but_serves(running: Running) -> None:
    running.app.services.drain()
    assert_problem(await running.http.get("/readyz"), 503, "not_ready")
    assert (await running.http.get("/healthz")).status_code == 200
    await running.upload()


async def test_services_open_and_close() -> None:
    store = MemoryStore()
    app = create_app(Settings(), models=FakeModels(), store=store)
    with pytest.raises(Exception, match="starting"):
        await app.services.check_ready()
    await app.services.open()
    await app.services.check_ready()
    await app.services.close()
    assert store.opened
    assert store.closed


async def test_unknown_model_stops_the_start_and_closes_the_store() -> None:
    store = MemoryStore()
    app = create_app(Settings(models=("nope",)), models=FakeModels(), store=store)
    with pytest.raises(UnknownModelError):
        await app.services.open()
    assert store.closed
    await app.services.jobs.close()


async def test_models(start: Start) -> None:
    running = await start(models="fake-2,fake-1")
    answer = await running.http.get("/models")
    assert answer.headers["access-control-allow-origin"] == "*"
    document = answer.json()
    assert document["default"] == "fake-2"
    assert [model["id"] for model in document["models"]] == ["fake-2", "fake-1"]
    assert document["models"][0]["bitstream_id"] == 8
    assert document["models"][0]["providers"] == ["FakeProvider"]
    assert (await running.upload())["model"] == "fake-2"


async def test_only_the_default_model_is_opened_at_the_start(running: Running) -> None:
    """Others are opened on first use; listing the models opens none."""

    async def providers() -> list[list[str]]:
        models = (await running.http.get("/models")).json()["models"]
        return [model["providers"] for model in models]

    assert await providers() == [["FakeProvider"], []]
    assert running.models.loaded == {"fake-1"}
    answer = await running.http.post("/compress?model=fake-2", content=photo())
    assert answer.json()["model"] == "fake-2"
    assert await providers() == [["FakeProvider"], ["FakeProvider"]]


async def test_configured_models_are_opened_at_the_start(start: Start) -> None:
    running = await start(models="fake-2,fake-1")
    assert running.models.loaded == {"fake-1", "fake-2"}


def sample(text: str, name: str) -> float:
    return next(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
    )


async def test_metrics_count_requests(running: Running) -> None:
    key = (await running.upload())["id"]
    await running.http.get(f"/thumb/{key}?bytes=40")
    await running.http.get(f"/thumb/{key}?bytes=40")
    await running.http.get(f"/thumb/{UNKNOWN}")
    await running.http.get(f"/decode/{key}")
    await running.http.get("/invented/by/a/client")
    answer = await running.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    expected = {
        'thumbstream_requests_total{route="/compress",status="201"}': 1,
        'thumbstream_requests_total{route="/thumb/{id}",status="200"}': 2,
        'thumbstream_requests_total{route="/thumb/{id}",status="404"}': 1,
        'thumbstream_requests_total{route="/decode/{id}",status="200"}': 1,
        'thumbstream_requests_total{route="unmatched",status="404"}': 1,
        'thumbstream_request_seconds_count{route="/thumb/{id}"}': 3,
        "thumbstream_encode_seconds_count": 1,
        "thumbstream_curve_seconds_count": 1,
        "thumbstream_decode_seconds_count": 1,
        "thumbstream_cache_hits_total": 2,
        "thumbstream_cache_misses_total": 2,
        "thumbstream_stream_bytes_served_total": 80,
        "thumbstream_stream_bytes_saved_total": 400,
        "thumbstream_jobs_waiting": 0,
        "thumbstream_jobs_running": 0,
        "thumbstream_requests_in_flight": 1,
        "thumbstream_cache_bytes": 440,
        'thumbstream_errors_total{code="not_found"}': 2,
        'thumbstream_store_seconds_count{operation="put"}': 1,
        'thumbstream_store_seconds_count{operation="get"}': 2,
        'thumbstream_build_info{model="fake-1",provider="FakeProvider"': 1,
        "process_resident_memory_bytes": sample(text, "process_resident_memory_bytes"),
    }
    assert {name: sample(text, name) for name in expected} == expected
    assert "invented" not in text


@pytest.mark.parametrize(
    ("trouble", "reason"), [("down", "unavailable"), ("full", "full"), ("broken", "other")]
)
async def test_store_errors_are_counted_by_reason(
    running: Running, trouble: str, reason: str
) -> None:
    setattr(running.store, trouble, True)
    await running.http.post("/compress", content=photo())
    text = (await running.http.get("/metrics")).text
    name = f'thumbstream_store_errors_total{{operation="put",reason="{reason}"}}'
    assert sample(text, name) == 1  # the stream with its curve


async def test_store_timeouts_are_counted(start: Start) -> None:
    running = await start(store_timeout_seconds=0.05)
    running.store.delay = 5
    assert_problem(await running.http.get(f"/thumb/{UNKNOWN}"), 503, "store_unavailable")
    text = (await running.http.get("/metrics")).text
    assert sample(text, 'thumbstream_store_errors_total{operation="get",reason="timeout"}') == 1
    assert sample(text, 'thumbstream_errors_total{code="store_unavailable"}') == 1


async def test_errors_of_every_layer_are_counted(running: Running) -> None:
    await running.http.get("/budget")
    await running.http.post("/compress?size=7", content=photo())
    await running.http.post("/compress", content=b"no picture")
    await running.http.post("/thumbs")
    running.store.broken = True
    await running.http.post("/compress", content=photo())
    text = (await running.http.get("/metrics")).text
    codes = ("method_not_allowed", "bad_request", "unsupported_format", "internal")
    counted = {code: sample(text, f'thumbstream_errors_total{{code="{code}"}}') for code in codes}
    assert counted == {
        "method_not_allowed": 2, "bad_request": 1, "unsupported_format": 1, "internal": 1,
    }  # fmt: skip


def assert_public_error(answer: httpx.Response, status: int, code: str) -> None:
    """Asserts that pages of other origins can read the error, and find it in the log by its id."""
    assert_problem(answer, status, code)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answer.headers["x-request-id"] == "find-me"
    assert answer.headers.get_list("x-request-id") == ["find-me"]
    assert len(answer.headers.get_list("access-control-allow-origin")) == 1


async def test_errors_of_every_layer_have_id_and_cors_and_are_counted(start: Start) -> None:
    running = await start(read_keys="a-key-of-16-bytes-or-more", max_connections=4)
    http = running.http
    http.headers["X-Request-ID"] = "find-me"
    limit = running.app._app
    # The concurrency limit
    limit._requests = 1
    for path in (f"/thumb/{UNKNOWN}", "/models", f"/decode/{UNKNOWN}"):
        assert_public_error(await http.get(path), 503, "busy")
    assert "access-control-allow-origin" not in (await http.get("/compress")).headers
    limit._requests = 0
    assert_public_error(await http.get("/models?" + "&" * 100), 400, "bad_request")
    # Signed URLs
    assert_public_error(await http.get(f"/thumb/{UNKNOWN}"), 403, "bad_signature")
    assert_public_error(await http.get(f"/decode/{UNKNOWN}"), 403, "bad_signature")
    # The hot path
    assert_public_error(await http.post(f"/thumb/{UNKNOWN}"), 403, "bad_signature")
    # FastAPI: a route, its validation, the router
    assert_public_error(await http.post("/budget", content=b"{"), 400, "bad_request")
    assert_public_error(await http.post("/decode?scale=x"), 400, "bad_request")
    assert_public_error(await http.put("/decode"), 405, "method_not_allowed")
    text = (await http.get("/metrics")).text
    counts = {"busy": 4, "bad_signature": 3, "bad_request": 3, "method_not_allowed": 1}
    assert {
        code: sample(text, f'thumbstream_errors_total{{code="{code}"}}') for code in counts
    } == counts


async def test_unexpected_errors_of_both_paths_are_counted_and_readable(running: Running) -> None:
    running.store.broken = True
    running.http.headers["X-Request-ID"] = "find-me"
    for path in (f"/thumb/{UNKNOWN}", f"/decode/{UNKNOWN}"):
        assert_public_error(await running.http.get(path), 500, "internal")
    text = (await running.http.get("/metrics")).text
    assert sample(text, 'thumbstream_errors_total{code="internal"}') == 2


async def test_applications_have_separate_metrics(start: Start) -> None:
    one, other = await start(), await start()
    await one.upload()
    assert 'route="/compress"' not in (await other.http.get("/metrics")).text


async def test_openapi_describes_every_route(running: Running) -> None:
    document = (await running.http.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/compress", "/decode", "/decode/{id}", "/thumb/{id}", "/t/{id}/{bytes}", "/thumbs",
        "/thumbs.json", "/budget", "/models", "/healthz", "/readyz", "/metrics", "/streams",
        "/streams/{id}",
    }  # fmt: skip
    compress = document["paths"]["/compress"]["post"]
    assert {"200", "201", "400", "401", "413", "415", "422", "429", "503", "507"} <= set(
        compress["responses"]
    )
    assert set(compress["requestBody"]["content"]) == {
        "image/*",
        "application/octet-stream",
        "multipart/form-data",
    }
    assert document["components"]["schemas"]["CompressResponse"]["examples"]
    budget = document["paths"]["/budget"]["post"]
    body = budget["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"ids", "total_bytes", "measure"}
    assert {"200", "400", "408", "413", "429", "503"} <= set(budget["responses"])
    for path in ("/thumb/{id}", "/thumbs", "/thumbs.json"):
        names = {parameter["name"] for parameter in document["paths"][path]["get"]["parameters"]}
        assert {"bytes", "ssim", "psnr"} <= names
    assert "application/problem+json" in compress["responses"]["413"]["content"]
    assert (await running.http.get("/docs")).status_code == 200


async def test_unknown_pages_and_methods(running: Running) -> None:
    assert_problem(await running.http.get("/nothing"), 404, "not_found")
    assert_problem(await running.http.get("/compress/"), 404, "not_found")
    answer = await running.http.get("/compress")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = await running.http.post("/healthz")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("given", "used"),
    [("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("two words", False), ("", False)],
)
async def test_valid_request_ids_are_used(running: Running, given: str, used: bool) -> None:
    answer = await running.http.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is used
    assert answer.headers["x-request-id"]


async def test_unexpected_error_is_logged_with_request_id_and_hidden(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(add_request_context)
    running.store.broken = True
    answer = await running.http.post(
        "/compress",
        content=photo(),
        headers={"Content-Type": "image/png", "X-Request-ID": "find-me"},
    )
    assert "secret" not in assert_problem(answer, 500, "internal")["detail"]
    [record] = [r for r in caplog.records if r.name == "thumbstream.http.errors"]
    assert record.getMessage() == "unhandled error on POST '/compress'"
    assert record.request_id == "find-me"
    assert record.exc_info is not None
    assert "a bug with a secret" in caplog.text


async def test_access_log_is_configurable(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await (await start()).http.get("/healthz")
    assert not [r for r in caplog.records if r.name == "thumbstream.http.middleware"]
    await (await start(access_log=True)).http.get("/healthz", headers={"X-Request-ID": "me"})
    [record] = [r for r in caplog.records if r.name == "thumbstream.http.middleware"]
    line = json.loads(JsonFormatter().format(record))
    assert (line["request_id"], line["route"], line["status"]) == ("me", "/healthz", 200)
    assert line["level"] == "info"
    text = TextFormatter().format(record)
    assert "request_id=me client=127.0.0.1 method=GET route=/healthz status=200 bytes=15 " in text


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    records = [r for r in caplog.records if r.name == "thumbstream.http.middleware"]
    return [json.loads(JsonFormatter().format(record)) for record in records]


async def test_access_log_of_streams(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running = await start(access_log=True, forwarded_allow_ips="127.0.0.1", read_keys="k" * 16)
    running.http.headers["X-Forwarded-For"] = "192.0.2.7"
    key = (await running.upload())["id"]
    assert (await running.http.get(f"/thumb/{key}")).status_code == 403
    running = await start(access_log=True, forwarded_allow_ips="127.0.0.1")
    running.http.headers["X-Forwarded-For"] = "192.0.2.7"
    await running.upload()
    for path in (f"/thumb/{key}?bytes=40", f"/t/{key}/64", f"/t/{key}/64", "/thumb/short"):
        await running.http.get(path)
    await running.http.head(f"/thumbs?ids={key}:9,{UNKNOWN}")
    await running.http.post("/compress?size=7")
    lines = lines_of(caplog)
    assert {line["client"] for line in lines} == {"192.0.2.7"}
    shown = [[line.get(name) for name in ("route", "status", "id", "cache")] for line in lines]
    assert shown == [
        ["/compress", 201, key, None],
        ["/thumb/{id}", 403, key, None],
        ["/compress", 201, key, None],
        ["/thumb/{id}", 200, key, "store"],
        ["/t/{id}/{bytes}", 200, key, "stream"],
        ["/t/{id}/{bytes}", 200, key, "response"],
        ["/thumb/{id}", 404, None, "store"],
        ["/thumbs", 200, None, "store"],
        ["/compress", 400, None, None],
    ]
    assert [line["bytes"] for line in lines[3:6]] == [40, 64, 64]
    assert lines[7]["bytes"] == 0


async def test_errors_of_the_hot_path_have_the_request_id(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(add_request_context)
    running.store.down = True
    answer = await running.http.get(f"/thumb/{UNKNOWN}", headers={"X-Request-ID": "find-me"})
    assert answer.headers["x-request-id"] == "find-me"
    [record] = [r for r in caplog.records if r.name == "thumbstream.storage.reader"]
    assert record.request_id == "find-me"


async def test_cacheable_responses_have_no_request_id(running: Running) -> None:
    key = (await running.upload())["id"]
    for path, status in (
        (f"/thumb/{key}", 200),
        (f"/thumb/{UNKNOWN}", 404),
        (f"/decode/{key}", 200),
        (f"/decode/{key}?scale=2&format=png&_=1", 200),
        ("/models", 200),
        ("/", 200),
    ):
        answer = await running.http.get(path, headers={"X-Request-ID": "find-me"})
        assert answer.status_code == status
        assert "x-request-id" not in answer.headers


async def test_worker_logs_have_the_request_id(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(add_request_context)
    codec = running.models.load("fake-1")
    encode = codec.encode

    def chatty(*pixels: Any, **options: Any) -> bytes:
        logging.getLogger("a.worker").warning("working")
        return encode(*pixels, **options)

    codec.encode = chatty  # type: ignore[method-assign]
    await running.http.post("/compress", content=photo(), headers={"X-Request-ID": "find-me"})
    [record] = [r for r in caplog.records if r.name == "a.worker"]
    assert record.request_id == "find-me"
    line = json.loads(JsonFormatter().format(record))
    assert (line["request_id"], line["pid"]) == ("find-me", os.getpid())
    assert f"a.worker[{os.getpid()}]: working request_id=find-me" in TextFormatter().format(record)


async def test_logs_outside_of_requests_have_no_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.addFilter(add_request_context)
    logging.getLogger("alone").warning("no request")
    assert not hasattr(caplog.records[-1], "request_id")


async def test_not_ready_when_no_worker_makes_progress(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    monkeypatch.setattr(running.app.services.jobs, "is_alive", lambda: False)
    answer = await running.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the workers make no progress"


async def test_models_are_warmed_up_at_the_default_size(start: Start) -> None:
    running = await start(default_size=64, models=("fake-2",))
    assert running.models.codecs["fake-2"].encoded_shapes == [(64, 64, 3)]
    assert running.models.codecs["fake-1"].encoded_shapes == []
