"""What a cache in front makes of the service: nginx from the distribution, as it is deployed."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cdn_servers import CountedService, Nginx, Upload

STATUS = "x-cache-status"
IMMUTABLE = "public, max-age=31536000, immutable"
NEGATIVE_SECONDS = 10


@pytest.fixture
def key(origin: CountedService, upload: Upload) -> str:
    return upload(origin.url)


def test_each_url_reaches_the_service_once(
    cdn: httpx.Client, origin: CountedService, upload: Upload
) -> None:
    keys = [upload(origin.url) for _ in range(12)]
    rng = random.Random(5)
    popularity = [1 / rank for rank in range(1, len(keys) + 1)]
    paths = [f"/t/{key}/{rng.choice((16, 32, 64))}" for key in rng.choices(keys, popularity, k=400)]
    before = origin.requests("/t/{id}/{bytes}")
    hits = sum(cdn.get(path).headers[STATUS] == "HIT" for path in paths)
    assert origin.requests("/t/{id}/{bytes}") - before == len(set(paths))
    assert hits == len(paths) - len(set(paths))
    assert hits / len(paths) > 0.9


def test_simultaneous_misses_are_collapsed(
    cdn: httpx.Client, origin: CountedService, key: str
) -> None:
    before = origin.requests("/thumb/{id}")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(cdn.get, [f"/thumb/{key}"] * 16))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert origin.requests("/thumb/{id}") - before == 1


def test_cached_stream_serves_every_range(
    cdn: httpx.Client, origin: CountedService, key: str
) -> None:
    before = origin.requests("/thumb/{id}")
    first = cdn.get(f"/thumb/{key}", headers={"Range": "bytes=0-31"})  # on an empty cache
    assert first.status_code == 206
    full = cdn.get(f"/thumb/{key}")
    assert full.headers[STATUS] == "HIT"
    assert full.headers["cache-control"] == IMMUTABLE
    assert first.content == full.content[:32]
    length = len(full.content)
    for start, stop in ((0, 16), (16, 32), (32, 64), (64, length), (length - 1, length)):
        part = cdn.get(f"/thumb/{key}", headers={"Range": f"bytes={start}-{stop - 1}"})
        assert (part.status_code, part.headers[STATUS]) == (206, "HIT")
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{length}"
        assert part.content == full.content[start:stop]
    beyond = cdn.get(f"/thumb/{key}", headers={"Range": f"bytes={length}-"})
    assert beyond.status_code == 416
    assert origin.requests("/thumb/{id}") - before == 1


def test_revalidation_is_answered_by_the_cache(
    cdn: httpx.Client, origin: CountedService, key: str
) -> None:
    path = f"/t/{key}/32"
    etag = cdn.get(path).headers["etag"]
    before = origin.requests("/t/{id}/{bytes}")
    again = cdn.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers[STATUS]) == (304, b"", "HIT")
    assert cdn.get(path, headers={"If-None-Match": '"another"'}).status_code == 200
    assert origin.requests("/t/{id}/{bytes}") == before


def test_short_lived_responses_are_revalidated(
    cdn: httpx.Client, folder: Path, origin: CountedService, upload: Upload
) -> None:
    # A stream without a curve, by quality: sent in full, and cached for ten seconds only.
    uncurved = CountedService(
        folder,
        {
            "THUMBSTREAM_STORE": f"sqlite:///{folder}/uncurved.db",
            "THUMBSTREAM_MEASURE_CURVES": "false",
        },
    )
    uncurved.start()
    other = Nginx(folder / "other", [uncurved])
    try:
        other_url, path = other.url, f"/thumb/{upload(uncurved.url)}?ssim=0.5"
        other.start()
        early = httpx.get(other_url + path)
        unknown = secrets.token_urlsafe(16)
        missing = f"/thumb/{unknown}"
        assert cdn.get(missing).status_code == 404
        before = origin.requests("/thumb/{id}")
        assert (cdn.get(missing).status_code, origin.requests("/thumb/{id}")) == (404, before)
        assert (early.status_code, early.headers[STATUS]) == (200, "MISS")
        assert httpx.get(other_url + path).headers[STATUS] == "HIT"

        time.sleep(NEGATIVE_SECONDS + 1.5)
        # The body does not cross the wire again: the service says 304, and the cached body is sent.
        served = uncurved.requests("/thumb/{id}")
        late = [httpx.get(other_url + path) for _ in range(3)]
        assert {answer.content for answer in late} == {early.content}
        deadline = time.monotonic() + 20
        while 'status="304"' not in httpx.get(f"{uncurved.url}/metrics").text:
            assert time.monotonic() < deadline, "never revalidated"
            time.sleep(0.05)
        assert uncurved.requests("/thumb/{id}") == served + 1

        # A stale 404 is not served for ever: the stream that came meanwhile is found.
        cdn.get(missing)
        assert origin.requests("/thumb/{id}") > before
    finally:
        other.stop()
        uncurved.stop()


POISON = (
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Host": "evil.example"},
    {"X-Original-URL": "/thumb/other", "X-Rewrite-URL": "/metrics"},
    {"X-HTTP-Method-Override": "DELETE", "X-Method": "POST"},
    {"Origin": "https://evil.example", "Referer": "https://evil.example"},
    {"Host": "evil.example"},
    {"Accept": "text/html", "Accept-Encoding": "gzip", "Accept-Language": "de"},
    {"Cookie": "session=1", "Authorization": "Bearer wrong"},
    {"Range": "bytes=0-0", "If-Range": '"x"'},
    {"If-None-Match": "*"},
    {"Content-Type": "application/json", "X-Request-ID": "chosen"},
)


@pytest.mark.parametrize("headers", POISON, ids=lambda headers: "+".join(headers))
def test_header_fields_do_not_poison_the_cache(
    cdn: httpx.Client, origin: CountedService, key: str, headers: dict[str, str]
) -> None:
    path = f"/thumb/{key}?bytes=48"
    clean = httpx.get(origin.url + path)
    cdn.get(path, headers=headers)  # the first request: its response is what is cached
    served = cdn.get(path)
    assert (served.status_code, served.content) == (200, clean.content)
    for name in ("content-type", "etag", "cache-control", "access-control-allow-origin"):
        assert served.headers[name] == clean.headers[name]
    assert "evil" not in str(served.headers)
    assert "set-cookie" not in served.headers


def test_other_spellings_return_the_same_bytes_or_an_error(
    cdn: httpx.Client, origin: CountedService, key: str
) -> None:
    full = cdn.get(f"/thumb/{key}").content
    for query in ("bytes=16", "bytes=16&bytes=32", "bytes=16#f", "x=1", "BYTES=16", "bytes=%31%36"):
        through, direct = (get(f"/thumb/{key}?{query}") for get in (cdn.get, _at(origin.url)))
        assert (through.status_code, through.content) == (direct.status_code, direct.content)
    for path in (
        f"//thumb/{key}", f"/thumb/../thumb/{key}", f"/thumb/{key}/", f"/thumb/{key};x",
        f"/t/{key}/16/../32", f"/t/{key}%2F16", f"/THUMB/{key}", f"/thumb/{key}%00",
    ):  # fmt: skip
        through = cdn.get(path)
        assert through.status_code in (400, 404) or full.startswith(through.content)
    assert cdn.get(f"/thumb/{key}").content == full


def _at(base: str) -> Callable[[str], httpx.Response]:
    return lambda path: httpx.get(base + path)


def test_head_get_and_post_are_cached_separately(
    cdn: httpx.Client, origin: CountedService, key: str
) -> None:
    assert cdn.head(f"/thumb/{key}").content == b""
    stream = cdn.get(f"/thumb/{key}").content
    assert stream == httpx.get(f"{origin.url}/thumb/{key}").content
    for data in (stream, stream[:32]):
        decoded = cdn.post("/decode", content=data)
        assert decoded.content == httpx.post(f"{origin.url}/decode", content=data).content
    before = origin.requests("/decode")
    cdn.post("/decode", content=stream)
    assert origin.requests("/decode") == before + 1


def test_previews_are_cached_by_accepted_format(cdn: httpx.Client, key: str) -> None:
    for _ in range(2):
        for accept in ("image/webp", "image/png"):
            answer = cdn.get(f"/decode/{key}", headers={"Accept": accept})
            assert answer.headers["content-type"] == accept
    assert answer.headers[STATUS] == "HIT"


def test_errors_are_not_cached(cdn: httpx.Client, origin: CountedService, key: str) -> None:
    for path in (f"/thumb/{key}?bytes=0", f"/thumbs?ids={key}:0"):
        before = sum(map(origin.requests, ("/thumb/{id}", "/thumbs")))
        assert [cdn.get(path).status_code for _ in range(2)] == [400, 400]
        assert sum(map(origin.requests, ("/thumb/{id}", "/thumbs"))) == before + 2


def test_too_large_body_gets_the_same_error_from_the_proxy(
    cdn: httpx.Client,
) -> None:
    answer = cdn.post("/compress", content=bytes(25 * 2**20), headers={"Content-Type": "image/png"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "body_too_large"


def test_cached_streams_outlive_the_service(folder: Path, upload: Upload) -> None:
    service = CountedService(folder, {"THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db"})
    service.start()
    nginx = Nginx(folder / "nginx", [service])
    nginx.start()
    try:
        with httpx.Client(base_url=nginx.url, timeout=30) as cdn:
            seen, unseen = upload(service.url), upload(service.url)
            stream = cdn.get(f"/thumb/{seen}").content
            service.stop()
            cached = cdn.get(f"/thumb/{seen}", headers={"Range": "bytes=0-31"})
            assert (cached.status_code, cached.content) == (206, stream[:32])
            for path in (f"/thumb/{unseen}", "/models"):
                answer = cdn.get(path)
                assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["cache-control"] == "no-store"
                assert answer.headers["retry-after"] == "1"
            service.start()
            assert cdn.get(f"/thumb/{unseen}").status_code == 200  # the outage was not cached
    finally:
        nginx.stop()
        service.stop()
