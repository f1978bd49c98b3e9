from __future__ import annotations

import asyncio
import base64
import json
from time import monotonic

import pytest
from fakes import STREAM_LENGTH
from service_harness import IMMUTABLE, UNKNOWN, Running, Start, assert_problem

from thumbstream.http.query import PREFIX_SIZES
from thumbstream.http.response_cache import (
    ENTRY_OVERHEAD,
    MAX_AGE_S,
    MAX_CACHED_BODY_BYTES,
    CachedResponse,
    ResponseCache,
)
from thumbstream.http.responses import RawResponse


@pytest.fixture
async def stored(running: Running) -> tuple[Running, str, bytes]:
    key = (await running.upload())["id"]
    return running, key, running.store.streams[key]


async def test_every_prefix_is_exact(stored: tuple[Running, str, bytes]) -> None:
    running, key, stream = stored
    for count in [*range(1, STREAM_LENGTH + 3), 10_000, 999_999]:
        answer = await running.http.get(f"/thumb/{key}?bytes={count}")
        assert answer.content == stream[:count]
        length = min(count, STREAM_LENGTH)
        assert answer.headers["content-length"] == str(length)
        assert answer.headers["etag"] == f'"{key}.{length}"'


async def test_without_a_byte_count_the_full_stream(stored: tuple[Running, str, bytes]) -> None:
    running, key, stream = stored
    answer = await running.http.get(f"/thumb/{key}")
    assert (answer.status_code, answer.content) == (200, stream)


async def test_header_fields_of_a_prefix(stored: tuple[Running, str, bytes]) -> None:
    running, key, _ = stored
    answer = await running.http.get(f"/thumb/{key}?bytes=64")
    assert dict(answer.headers) == {
        "content-type": "application/vnd.thumbstream",
        "content-length": "64",
        "cache-control": IMMUTABLE,
        "cache-tag": key,
        "surrogate-key": key,
        "etag": f'"{key}.64"',
        "accept-ranges": "bytes",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "Content-Length, Content-Range, ETag",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize("path", ["/thumb/{key}?bytes=64", "/t/{key}/64", "/thumbs?ids={key}"])
async def test_head_has_the_headers_of_get(stored: tuple[Running, str, bytes], path: str) -> None:
    running, key, _ = stored
    url = path.format(key=key)
    got, head = await running.http.get(url), await running.http.head(url)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers == got.headers


@pytest.mark.parametrize("size", PREFIX_SIZES)
async def test_prefix_sizes(stored: tuple[Running, str, bytes], size: int) -> None:
    running, key, stream = stored
    answer = await running.http.get(f"/t/{key}/{size}")
    assert answer.content == stream[:size]
    assert answer.headers["cache-control"] == IMMUTABLE
    assert answer.headers["etag"] == f'"{key}.{min(size, STREAM_LENGTH)}"'


@pytest.mark.parametrize("size", ["0", "1", "48", "1024", "064", "16.0", "", "16/", "x"])
async def test_other_prefix_sizes_are_404(stored: tuple[Running, str, bytes], size: str) -> None:
    running, key, _ = stored
    assert_problem(await running.http.get(f"/t/{key}/{size}"), 404, "not_found")


async def test_if_none_match(stored: tuple[Running, str, bytes]) -> None:
    running, key, _ = stored
    for field in (f'"{key}.64"', f'W/"{key}.64"', f'"x", "{key}.64"', "*"):
        answer = await running.http.get(
            f"/thumb/{key}?bytes=64", headers={"If-None-Match": field, "Range": "bytes=0-1"}
        )
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == f'"{key}.64"'
        assert answer.headers["cache-control"] == IMMUTABLE
        assert answer.headers["access-control-allow-origin"] == "*"
    other = await running.http.get(
        f"/thumb/{key}?bytes=65", headers={"If-None-Match": f'"{key}.64"'}
    )
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("field", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=32-", 32, 64),
        ("bytes=32-47", 32, 48),
        ("bytes=60-999", 60, 64),
        ("bytes=-8", 56, 64),
        ("bytes=-999", 0, 64),
    ],
)
async def test_single_range_is_206(
    stored: tuple[Running, str, bytes], field: str, first: int, stop: int
) -> None:
    running, key, stream = stored
    for url in (f"/thumb/{key}?bytes=64", f"/t/{key}/64"):
        answer = await running.http.get(url, headers={"Range": field})
        assert answer.status_code == 206
        assert answer.content == stream[first:stop]
        assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/64"
        assert answer.headers["content-length"] == str(stop - first)
        assert answer.headers["etag"] == f'"{key}.64"'


@pytest.mark.parametrize("field", ["bytes=0-1,4-5", "bytes=5-4", "lines=1-2", "nonsense"])
async def test_unsupported_ranges_return_the_full_stream(
    stored: tuple[Running, str, bytes], field: str
) -> None:
    running, key, stream = stored
    answer = await running.http.get(f"/thumb/{key}?bytes=64", headers={"Range": field})
    assert (answer.status_code, answer.content) == (200, stream[:64])
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("field", ["bytes=64-", "bytes=99-100", "bytes=-0"])
async def test_range_after_the_end_is_416(stored: tuple[Running, str, bytes], field: str) -> None:
    running, key, _ = stored
    answer = await running.http.get(f"/thumb/{key}?bytes=64", headers={"Range": field})
    assert_problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */64"


async def test_client_with_a_prefix_fetches_only_the_rest(
    stored: tuple[Running, str, bytes],
) -> None:
    running, key, stream = stored
    held = await running.http.get(f"/t/{key}/32")
    rest = await running.http.get(
        f"/thumb/{key}", headers={"Range": "bytes=32-", "If-Range": held.headers["etag"]}
    )
    assert rest.status_code == 206
    assert held.content + rest.content == stream


@pytest.mark.parametrize("validator", [f'"{UNKNOWN}.32"', "Wed, 21 Oct 2015 07:28:00 GMT", '""'])
async def test_if_range_of_another_stream_returns_the_full_stream(
    stored: tuple[Running, str, bytes], validator: str
) -> None:
    running, key, stream = stored
    headers = {"Range": "bytes=32-", "If-Range": validator}
    answer = await running.http.get(f"/thumb/{key}", headers=headers)
    assert (answer.status_code, answer.content) == (200, stream)


async def test_head_ignores_range(stored: tuple[Running, str, bytes]) -> None:
    running, key, _ = stored
    answer = await running.http.head(f"/thumb/{key}", headers={"Range": "bytes=0-1"})
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(STREAM_LENGTH)


@pytest.mark.parametrize(
    "query", ["bytes=0", "bytes=-1", "bytes=", "bytes=1.5", "bytes=1e3", "bytes=1000000",
              "bytes=08", "bytes=1&bytes=2", "bytes=%C2%B2", "bytes=abc"]
)  # fmt: skip
async def test_rejects_invalid_byte_counts(stored: tuple[Running, str, bytes], query: str) -> None:
    running, key, _ = stored
    for url in (f"/thumb/{key}?{query}", f"/thumbs?ids={key}&{query}"):
        document = assert_problem(await running.http.get(url), 400, "bad_request")
        assert document["detail"] == "bytes: expected one integer from 1 to 999999"


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/thumb/{key}?byte=64", "bytes, psnr, ssim"),
        ("/thumb/{key}?bytes=10&v=2", "bytes, psnr, ssim"),
        ("/thumb/{key}?ids={key}", "bytes, psnr, ssim"),
        ("/thumb/{key}?", None),
        ("/t/{key}/64?bytes=16", "none"),
        ("/t/{key}/64?v=2", "none"),
        ("/thumbs?ids={key}&byte=64", "bytes, ids, psnr, ssim"),
        ("/thumbs.json?ids={key}&size=32", "bytes, ids, psnr, ssim"),
        ("/decode/{key}?byte=64", "bytes, format, scale"),
        ("/decode/{key}?scale=2&exp=1&sig=x", None),
        ("/thumb/{key}?exp=1&sig=x", None),
        ("/t/{key}/64?exp=1&sig=x", None),
    ],
)
async def test_rejects_unknown_parameters(
    stored: tuple[Running, str, bytes], path: str, known: str | None
) -> None:
    running, key, _ = stored
    answer = await running.http.get(path.format(key=key))
    if known is None:
        assert answer.status_code == 200
    else:
        detail = assert_problem(answer, 400, "bad_request")["detail"]
        assert detail.startswith("unknown parameter '")
        assert detail.endswith(known)


async def test_unknown_stream_is_404_for_ten_seconds(running: Running) -> None:
    answer = await running.http.get(f"/thumb/{UNKNOWN}")
    assert_problem(answer, 404, "not_found")
    assert answer.headers["cache-control"] == "public, max-age=10"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["", "short", "A" * 21 + "B", "A" * 23, "..%2fetc", "%00" * 22])
async def test_invalid_ids_never_reach_the_store(running: Running, path: str) -> None:
    assert_problem(await running.http.get(f"/thumb/{path}"), 404, "not_found")
    assert_problem(await running.http.get(f"/t/{path}/64"), 404, "not_found")
    assert running.store.reads == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path", [f"/thumb/{UNKNOWN}", f"/t/{UNKNOWN}/16", "/thumbs", "/thumbs.json"]
)
async def test_other_methods_are_405(running: Running, method: str, path: str) -> None:
    deletable = path.startswith("/thumb/")
    if deletable and method == "DELETE":
        method = "TRACE"  # DELETE is a route of its own there
    answer = await running.http.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, " * deletable + "GET, HEAD, OPTIONS"


async def test_preflight(running: Running) -> None:
    answer = await running.http.options(
        f"/thumb/{UNKNOWN}",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "range",
        },
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert (await running.http.options("/thumbs")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"


async def test_cors_origin_is_configurable(start: Start) -> None:
    one = await start(cors_origin="https://shop.example")
    answer = await one.http.get(f"/thumb/{UNKNOWN}")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    none = await start(cors_origin="")
    answer = await none.http.get(f"/thumb/{UNKNOWN}")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def parse_batch(body: bytes) -> list[bytes]:
    streams = []
    while body:
        length = int.from_bytes(body[:2], "big")
        assert len(body) >= 2 + length
        streams.append(body[2 : 2 + length])
        body = body[2 + length :]
    return streams


async def test_batch(running: Running) -> None:
    keys = [(await running.upload(seed))["id"] for seed in range(3)]
    running.store.reads.clear()
    answer = await running.http.get(f"/thumbs?ids={keys[2]},{keys[0]},{keys[1]},{keys[0]}&bytes=48")
    order = [keys[2], keys[0], keys[1], keys[0]]
    assert parse_batch(answer.content) == [running.store.streams[key][:48] for key in order]
    assert answer.headers["content-type"] == "application/vnd.thumbstream.batch"
    assert answer.headers["content-length"] == str(4 * 50)
    assert answer.headers["cache-control"] == IMMUTABLE
    assert len(running.store.reads) == 1
    again = await running.http.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_batch_with_unknown_stream_is_cached_for_ten_seconds(running: Running) -> None:
    key = (await running.upload())["id"]
    answer = await running.http.get(f"/thumbs?ids={key},{UNKNOWN}")
    assert parse_batch(answer.content) == [running.store.streams[key], b""]
    assert answer.headers["cache-control"] == "public, max-age=10"


async def test_batch_as_json(running: Running) -> None:
    key = (await running.upload())["id"]
    answer = await running.http.get(f"/thumbs.json?ids={key},{UNKNOWN}&bytes=20")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=10"
    thumbs = json.loads(answer.content)["thumbs"]
    assert base64.b64decode(thumbs[key]) == running.store.streams[key][:20]
    assert thumbs[UNKNOWN] is None
    known = await running.http.get(f"/thumbs.json?ids={key}")
    assert known.headers["cache-control"] == IMMUTABLE


@pytest.mark.parametrize("path", ["/thumbs", "/thumbs.json"])
async def test_rejects_invalid_ids_of_batches(running: Running, path: str) -> None:
    for query in ("", "?ids=", "?ids=,", "?ids=" + ",".join([UNKNOWN] * 65)):
        document = assert_problem(await running.http.get(path + query), 400, "bad_request")
        assert document["detail"] == "ids: expected 1 to 64 ids, separated by commas"
    document = assert_problem(
        await running.http.get(f"{path}?ids={UNKNOWN},nope"), 400, "bad_request"
    )
    assert "'nope'" in document["detail"]
    assert running.store.reads == []
    full = await running.http.get(f"{path}?ids=" + ",".join([UNKNOWN] * 64))
    assert full.status_code == 200


async def test_reads_are_coalesced_and_cached(running: Running) -> None:
    keys = [(await running.upload(seed))["id"] for seed in range(4)]
    running.store.reads.clear()
    for _ in range(2):
        answers = await asyncio.gather(*(running.http.get(f"/thumb/{key}") for key in keys))
        assert [answer.content for answer in answers] == [running.store.streams[k] for k in keys]
    assert sorted(key for read in running.store.reads for key in read) == sorted(keys)


@pytest.mark.parametrize("path", ["/thumb/{key}", "/t/{key}/16", "/thumbs?ids={key}"])
async def test_store_failure_is_503(running: Running, path: str) -> None:
    running.store.down = True
    answer = await running.http.get(path.format(key=UNKNOWN))
    document = assert_problem(answer, 503, "store_unavailable")
    assert "secret" not in document["detail"]
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["cache-control"] == "no-store"


async def test_unexpected_error_is_hidden_from_the_client(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.store.broken = True
    document = assert_problem(await running.http.get(f"/thumb/{UNKNOWN}"), 500, "internal")
    assert "secret" not in document["detail"]
    assert "a bug with a secret" in caplog.text


async def test_plain_responses_are_cached_and_counted(running: Running) -> None:
    key = (await running.upload())["id"]
    path = f"/thumb/{key}?bytes=32"
    first = await running.http.get(path)
    reads = list(running.store.reads)
    again = [await running.http.get(path) for _ in range(3)]
    assert {(a.status_code, a.content) for a in again} == {(200, first.content)}
    assert all(a.headers == first.headers for a in again)
    assert running.store.reads == reads
    text = (await running.http.get("/metrics")).text
    assert "thumbstream_stream_bytes_served_total 128.0" in text
    assert f"thumbstream_stream_bytes_saved_total {4.0 * (STREAM_LENGTH - 32)}" in text
    # What is no plain GET is not answered by it.
    assert (await running.http.head(path)).content == b""
    part = await running.http.get(path, headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, first.content[8:16])
    assert (await running.http.get(path, headers={"If-None-Match": "*"})).status_code == 304
    assert (await running.http.post(path)).status_code == 405


async def test_matching_etag_is_304(start: Start) -> None:
    running = await start(cache_bytes=0)
    key = (await running.upload())["id"]
    for path in (f"/thumb/{key}?bytes=32", f"/t/{key}/32"):
        given = {"If-None-Match": f'"other", W/"{key}.32"'}
        answer = await running.http.get(path, headers=given)
        assert (answer.status_code, answer.headers["etag"]) == (304, f'"{key}.32"')
    # A cache that revalidates learns that a stream was deleted.
    running.store.streams.clear()
    assert (
        await running.http.get(f"/t/{key}/32", headers={"If-None-Match": f'"{key}.32"'})
    ).status_code == 404
    await running.upload()
    assert (
        await running.http.get(f"/t/{key}/64", headers={"If-None-Match": f'"{key}.32"'})
    ).status_code == 200
    assert (
        await running.http.get(f"/t/{UNKNOWN}/32", headers={"If-None-Match": "*"})
    ).status_code == 404


def cached(body: bytes) -> CachedResponse:
    return CachedResponse(RawResponse(200, [], body), 0, monotonic(), b"")


def found(cache: ResponseCache, path: str, query: bytes = b"") -> bool:
    scope = {"method": "GET", "path": path, "query_string": query, "headers": []}
    return cache.find(scope) is not None


def test_response_cache_evicts_the_least_recently_used() -> None:
    cache = ResponseCache(2 * (ENTRY_OVERHEAD + 10))
    for name in ("a", "b"):
        cache.put(f"/{name}", b"", cached(name.encode()))
    assert found(cache, "/a")
    cache.put("/c", b"", cached(b"c"))
    assert [found(cache, path) for path in ("/a", "/b", "/c")] == [True, False, True]
    cache.put("/long", b"", cached(bytes(MAX_CACHED_BODY_BYTES + 1)))
    assert not found(cache, "/long")


def test_response_cache_is_bounded_in_bytes_of_queries_too() -> None:
    limit = 100_000
    cache = ResponseCache(limit)
    for number in range(1000):
        cache.put("/thumb/x", b"bytes=1&ssim=" + str(number).zfill(8000).encode(), cached(b"x"))
        assert 0 < cache.size <= limit
    assert len(cache._entries) <= limit // 8000
    size = cache.size
    cache.put("/thumb/x", b"bytes=1&ssim=" + str(999).zfill(8000).encode(), cached(b"x"))
    assert cache.size == size


def test_response_cache_forgets_by_age_and_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ResponseCache(100_000)
    for path, query in (
        ("/thumb/x", b""),
        ("/thumb/x", b"bytes=3"),
        ("/t/x/16", b""),
        ("/t/y/16", b""),
    ):
        cache.put(path, query, cached(b"x"))
    cache.forget(["x", "z"])
    assert [path for path, _ in cache._entries] == ["/t/y/16"]
    assert cache.size == ENTRY_OVERHEAD + len("/t/y/16") + 1
    later = monotonic() + 1 + MAX_AGE_S
    monkeypatch.setattr("thumbstream.http.response_cache.monotonic", lambda: later)
    assert not found(cache, "/t/y/16")


def test_response_cache_of_zero_bytes_is_disabled() -> None:
    cache = ResponseCache(0)
    cache.put("/a", b"", cached(b"a"))
    assert not found(cache, "/a")


async def test_cache_buster_is_ignored(running: Running) -> None:
    key = (await running.upload())["id"]
    for path in (f"/thumb/{key}?bytes=32", f"/t/{key}/32?", f"/thumbs?ids={key}:32"):
        plain = await running.http.get(path)
        for value in ("1", "", "a%20b"):
            busted = await running.http.get(f"{path}&_={value}")
            assert busted.status_code == 200
            assert busted.content == plain.content
            assert busted.headers["etag"] == plain.headers["etag"]
    assert (await running.http.get(f"/thumb/{key}?w=1")).status_code == 400
