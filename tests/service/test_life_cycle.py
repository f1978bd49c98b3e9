"""Streams are deleted, looked up and listed over HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fakes import photo
from service_harness import UNKNOWN, Running, Start, assert_problem, until

from thumbstream.ids import curve_key
from thumbstream.storage import Record

TOKENS = "web:a-long-enough-secret"
TOKEN = {"Authorization": "Bearer a-long-enough-secret"}


@pytest.fixture
async def service(start: Start) -> Running:
    running = await start(tokens=TOKENS)
    running.http.headers.update(TOKEN)
    return running


async def listed(running: Running, label: str, **query: Any) -> dict[str, Any]:
    answer = await running.http.get("/streams", params={"label": label, **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def test_deleted_stream_is_gone_and_can_be_uploaded_again(service: Running) -> None:
    key = (await service.upload())["id"]
    paths = (f"/thumb/{key}?bytes=32", f"/t/{key}/64", f"/thumb/{key}?ssim=0.5", f"/decode/{key}")
    for path in paths:
        assert (await service.http.get(path)).status_code == 200
    for _ in range(2):
        answer = await service.http.delete(f"/thumb/{key}")
        assert (answer.status_code, answer.content) == (204, b"")
    assert service.store.streams == {}
    for path in paths:
        assert_problem(await service.http.get(path), 404, "not_found")
        etag = {"If-None-Match": f'"{key}.32"'}
        assert (await service.http.get(path, headers=etag)).status_code == 404
    assert (await service.http.get(f"/thumbs.json?ids={key}")).json() == {"thumbs": {key: None}}
    assert (await service.upload())["id"] == key
    assert (await service.http.get(paths[0])).status_code == 200
    assert curve_key(key) in service.store.streams


async def test_unknown_and_invalid_ids(service: Running) -> None:
    assert (await service.http.delete(f"/thumb/{UNKNOWN}")).status_code == 204
    assert_problem(await service.http.delete("/thumb/x"), 404, "not_found")
    assert_problem(await service.http.delete("/thumb/short"), 404, "not_found")
    assert_problem(await service.http.delete(f"/thumb/{UNKNOWN}?x=1"), 400, "bad_request")
    assert_problem(await service.http.get(f"/streams/{UNKNOWN}"), 404, "not_found")
    assert_problem(await service.http.get("/streams/short"), 404, "not_found")


REQUESTS = [
    ("DELETE", f"/thumb/{UNKNOWN}"),
    ("GET", f"/streams/{UNKNOWN}"),
    ("GET", "/streams?label=a"),
    ("DELETE", "/streams?label=a"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_a_token_is_required(start: Start, method: str, path: str) -> None:
    for chosen in ({"tokens": TOKENS}, {}, {"tokens": TOKENS, "read_keys": "k" * 16}):
        running = await start(**chosen)
        key = running.store.streams[UNKNOWN] = b"stream"
        answer = await running.http.request(method, path)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = {"Authorization": "Bearer another-secret-of-some-length"}
        answer = await running.http.request(method, path, headers=wrong)
        assert_problem(answer, 401, "unauthorized")
        assert running.store.streams[UNKNOWN] == key


async def test_delete_works_where_reads_are_signed(start: Start) -> None:
    running = await start(tokens=TOKENS, read_keys="k" * 16)
    running.http.headers.update(TOKEN)
    key = (await running.upload())["id"]
    assert (await running.http.delete(f"/thumb/{key}")).status_code == 204
    assert running.store.streams == {}


async def test_a_stream_tells_its_record(service: Running) -> None:
    before = int(time.time())
    result = await service.upload(label="product-123")
    await service.upload(label="ä b/c")
    answer = await service.http.get(f"/streams/{result['id']}")
    document = answer.json()
    created = time.strptime(document.pop("created"), "%Y-%m-%dT%H:%M:%SZ")
    assert before <= time.mktime(created) - time.timezone <= time.time()
    assert document == {
        "id": result["id"],
        "length": result["length"],
        "expires": None,
        "labels": ["product-123", "ä b/c"],
        "url": f"/thumb/{result['id']}",
    }


async def test_streams_of_a_label_page_by_page(start: Start) -> None:
    running = await start(tokens=TOKENS, root_path="/root")
    running.http.headers.update(TOKEN)
    keys = sorted([(await running.upload(seed, label="a b&c"))["id"] for seed in range(5)])
    await running.upload(9, label="other")
    found: list[str] = []
    page = await listed(running, "a b&c", limit=2)
    while True:
        found += [stream["id"] for stream in page["streams"]]
        if page["next"] is None:
            break
        assert page["next"].startswith("/root/streams?label=a+b%26c&limit=2&after=")
        page = (await running.http.get(page["next"])).json()
    assert found == keys
    assert (await listed(running, "unused"))["streams"] == []


async def test_delete_by_label_spares_streams_with_other_uploads(service: Running) -> None:
    only = (await service.upload(1, label="a"))["id"]
    shared = (await service.upload(2, label="a"))["id"]
    await service.upload(2, label="b")
    plain = (await service.upload(3, label="a"))["id"]
    await service.upload(3)
    for key in (only, shared, plain):
        assert (await service.http.get(f"/t/{key}/16")).status_code == 200
    answer = await service.http.delete("/streams?label=a")
    assert answer.json() == {"label": "a", "deleted": [only], "more": False}
    statuses = [
        (await service.http.get(f"/t/{key}/16")).status_code for key in (only, shared, plain)
    ]
    assert statuses == [404, 200, 200]
    assert (await listed(service, "a"))["streams"] == []
    assert [stream["id"] for stream in (await listed(service, "b"))["streams"]] == [shared]


@pytest.mark.parametrize("label", ["", "x" * 129, "ä" * 65, "a\nb", "\x7f", "\ufffd"])
async def test_rejects_invalid_labels(service: Running, label: str) -> None:
    params = {"label": label}
    answer = await service.http.post("/compress", content=photo(), params=params)
    [error] = assert_problem(answer, 400, "bad_request")["errors"]
    assert error["parameter"] == "label"
    assert "Value error" not in error["message"]
    for method in ("GET", "DELETE"):
        answer = await service.http.request(method, "/streams", params=params)
        assert_problem(answer, 400, "bad_request")
    assert_problem(await service.http.get("/streams"), 400, "bad_request")
    for limit, bound in ((0, "greater than or equal to 1"), (1001, "less than or equal to 1000")):
        answer = await service.http.get(f"/streams?label=a&limit={limit}")
        assert bound in assert_problem(answer, 400, "bad_request")["detail"]


async def test_cacheable_responses_carry_the_ids_as_tags(service: Running) -> None:
    a, b = [(await service.upload(seed))["id"] for seed in (1, 2)]
    for path in (f"/thumb/{a}", f"/t/{a}/16", f"/thumb/{a}?ssim=0.1", f"/decode/{a}?format=png"):
        answer = await service.http.get(path)
        again = await service.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (answer.status_code, again.status_code) == (200, 304)
        for one in (answer, again):
            assert (one.headers["cache-tag"], one.headers["surrogate-key"]) == (a, a)
    batch = await service.http.get(f"/thumbs?ids={b}:9,{a},{b}:9")
    assert batch.headers["cache-tag"] == f"{b},{a}"
    assert batch.headers["surrogate-key"] == f"{b} {a}"


async def test_retention(start: Start) -> None:
    running = await start(tokens=TOKENS, retention_days=30)
    running.http.headers.update(TOKEN)
    key = (await running.upload())["id"]
    record = running.store.records[key]
    assert record.created is not None
    assert record.expires == record.created + 30 * 86_400
    document = (await running.http.get(f"/streams/{key}")).json()
    assert document["expires"] > document["created"]
    for path in (f"/t/{key}/16", f"/decode/{key}"):
        caching = (await running.http.get(path)).headers["cache-control"]
        assert caching == "public, max-age=86400, immutable"


async def test_expired_streams_are_deleted_in_the_background(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("thumbstream.http.services.SWEEP_SECONDS", 0.01)
    caplog.set_level("INFO")
    running = await start()
    running.store.down = True
    await until(lambda: "not deleted" in caplog.text)
    running.store.down = False
    await running.store.put("old", b"stream", Record(1, expires=2))
    await running.store.put("new", b"stream")
    await until(lambda: "old" not in running.store.streams)
    assert "new" in running.store.streams


async def test_store_that_fails_is_503(service: Running) -> None:
    service.store.down = True
    for method, path in REQUESTS:
        answer = await service.http.request(method, path)
        assert_problem(answer, 503, "store_unavailable")


async def test_allow_names_the_methods_of_all_routes_of_a_path(service: Running) -> None:
    for path, methods in (("/streams?label=a", "DELETE, GET, HEAD"), ("/models", "GET, HEAD")):
        answer = await service.http.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
