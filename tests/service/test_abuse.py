"""Hostile requests: each is rejected at once, or served like any other."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import httpx
import pytest
from fakes import STREAM_LENGTH, photo
from PIL import Image
from service_harness import (
    UNKNOWN,
    Launch,
    Launched,
    Running,
    Start,
    assert_problem,
    open_connection,
    read_to_end,
)

LIMIT = 100_000
PNG = {"Content-Type": "image/png"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="x"\r\n'


@pytest.fixture(scope="module")
def server(launch: Launch) -> Launched:
    return launch(THUMBSTREAM_MAX_UPLOAD_BYTES=str(LIMIT))


@pytest.fixture(scope="module")
def http(server: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def _green(server: Launched) -> Iterator[None]:
    yield
    assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
    assert not [line for line in server.lines if "ERROR" in line or "Traceback" in line]


def part(body: bytes, head: bytes = DISPOSITION) -> bytes:
    return b"--b\r\n" + head + b"\r\n" + body + b"\r\n"


# Forms


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x" * 90_000 + b"\r\n" + part(b"picture") + b"--b--\r\n", 400, "bad_request"),
        (b"\r\n" * 45_000 + part(b"") + b"--b--\r\n", 400, "bad_request"),
        (part(b"x", b'Content-Disposition: form-data; name="a"\r\n') * 2000, 400, "bad_request"),
        (part(b"x") * 2000, 400, "bad_request"),
        (part(b"x", b"x: y\r\n" * 10_000 + DISPOSITION), 400, "bad_request"),
        (part(b"x", b"x: " + b"y" * 80_000 + b"\r\n" + DISPOSITION), 400, "bad_request"),
        (part(b"x", b"y" * 80_000 + b": x\r\n" + DISPOSITION), 400, "bad_request"),
        (part(b"x" * 70_000, b'Content-Disposition: form-data; name="a"\r\n'), 400, "bad_request"),
        (part(b"\r\n--a" * 18_000) + b"--b--\r\n", 415, "unsupported_format"),
        (part(b"x" * (LIMIT + 1)) + b"--b--\r\n", 413, "body_too_large"),
        (part(b"x" * 2 * LIMIT) + b"--b--\r\n", 413, "body_too_large"),
    ],
    ids=[
        "preamble", "empty-lines", "fields", "files", "part-fields", "part-value", "part-name",
        "long-field", "near-boundaries", "too-long", "far-too-long",
    ],
)  # fmt: skip
def test_hostile_forms(http: httpx.Client, body: bytes, status: int, code: str) -> None:
    assert_problem(http.post("/compress", content=body, headers=FORM), status, code)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 71,
        'multipart/form-data; boundary="b\\"c"',
        "multipart/form-data; boundary=b\u00e9",
    ],
)
def test_rejects_invalid_boundaries(http: httpx.Client, content_type: str) -> None:
    headers = {"Content-Type": content_type.encode("latin-1")}
    assert_problem(http.post("/compress", content=part(b"x"), headers=headers), 400, "bad_request")  # type: ignore[arg-type]


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "zlib", "nonsense"])
def test_form_charset_is_ignored(http: httpx.Client, charset: str) -> None:
    # Python decodes 60 kB of punycode in a third of a second: quadratic, on the event loop.
    field = part(b"a-" + b"b" * 30_000, b'Content-Disposition: form-data; name="a"\r\n')
    body = field * 2 + part(photo()) + b"--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=b"}
    assert http.post("/compress", content=body, headers=headers).status_code in (200, 201)


# Ids and queries


@pytest.mark.parametrize(
    "key",
    [
        "", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cwin.ini", "%00", "a%00b", "%ff",
        "q0Zr2vYx3m1Ck7Ht5sNwA", "q0Zr2vYx3m1Ck7Ht5sNwAQQ", "q0Zr2vYx3m1Ck7Ht5sNwAR",
        "q0Zr2vYx3m1Ck7Ht5sNwA%0A", "q0Zr2vYx3m1Ck7Ht5sNwA+", "curve%3Aq0Zr2vYx3m1Ck7Ht5sNwAQ",
        "*", "%27%20OR%201=1--", "%0d%0aSet-Cookie:%20a=b", "a" * 4000, "%f0%9f%98%80",
    ],
)  # fmt: skip
def test_invalid_ids_are_not_found(http: httpx.Client, key: str) -> None:
    for path in (f"/thumb/{key}", f"/t/{key}/16", f"/decode/{key}"):
        answer = http.get(path)
        assert_problem(answer, 404, "not_found")
        assert "set-cookie" not in answer.headers
    if "%00" not in key and key:
        assert_problem(http.get(f"/thumbs?ids={key}"), 400, "bad_request")


@pytest.mark.parametrize("size", ["0", "-16", "16.0", "016", "1e1", "%31%36%00", "9" * 3000, ""])
def test_invalid_prefix_sizes_are_not_found(http: httpx.Client, size: str) -> None:
    assert_problem(http.get(f"/t/q0Zr2vYx3m1Ck7Ht5sNwAQ/{size}"), 404, "not_found")


async def test_rejects_query_floods(running: Running) -> None:
    key = (await running.upload())["id"]
    random = Random(1)
    for path in (
        f"/thumb/{key}",
        f"/t/{key}/16",
        f"/thumbs?ids={key}",
        f"/decode/{key}",
        "/models",
    ):
        joint = "&" if "?" in path else "?"
        few = "&".join(f"x{n}={random.random()}" for n in range(90))
        status = (await running.http.get(f"{path}{joint}{few}")).status_code
        assert status == (200 if path == "/models" else 400)
        for flood in ("&" * 100, "a=1&" * 2000, "&".join(f"bytes={n}" for n in range(1, 2000))):
            answer = await running.http.get(f"{path}{joint}{flood}")
            assert_problem(answer, 400, "bad_request")
    for repeated in ("bytes=1&bytes=2", "ssim=0.5&ssim=0.6", "bytes=1&bytes=1"):
        assert_problem(await running.http.get(f"/thumb/{key}?{repeated}"), 400, "bad_request")
    ids = "&".join(f"ids={key}" for _ in range(65))
    assert_problem(await running.http.get(f"/thumbs?{ids}"), 400, "bad_request")
    assert_problem(
        await running.http.get("/thumbs?ids=" + ",".join([key] * 65)), 400, "bad_request"
    )


# Ranges


@pytest.mark.parametrize(
    ("range_", "status"),
    [
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(2000)), 200),
        ("bytes=" + "0-," * 5000, 200),
        ("bytes=0-" + "9" * 5000, 200),
        ("bytes=" + "9" * 18 + "-", 416),
        ("bytes=" + "9" * 19 + "-", 200),
        ("bytes=-0", 416),
        ("bytes=-" + "9" * 18, 206),
        ("bytes=10-5", 200),
        ("bytes=-", 200),
        ("bytes=0x10-", 200),
        ("bytes=\u0661-", 200),
        ("bytes= 0 - 1", 200),
        ("bits=0-1", 200),
        ("bytes=0-18446744073709551616", 200),
        ("bytes=0-0,-1", 200),
    ],
)
def test_hostile_ranges(http: httpx.Client, range_: str, status: int) -> None:
    key = http.post("/compress", content=photo(), headers=PNG).json()["id"]
    answer = http.get(f"/thumb/{key}", headers={"Range": range_.encode("utf-8")})  # type: ignore[dict-item]
    assert answer.status_code == status
    assert len(answer.content) <= max(STREAM_LENGTH, 300)
    if status == 200:
        assert len(answer.content) == STREAM_LENGTH


def test_repeated_range_fields_are_several_ranges(http: httpx.Client) -> None:
    key = http.post("/compress", content=photo(), headers=PNG).json()["id"]
    answer = http.get(f"/thumb/{key}", headers=[("Range", "bytes=0-1")] * 50)
    assert (answer.status_code, len(answer.content)) == (200, STREAM_LENGTH)


# URLs instead of pictures


@pytest.mark.parametrize(
    "body",
    [
        b"http://%s/a.png", b"file:///etc/passwd", b"data:image/png;base64,iVBORw0KGgo=",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://%s/a.png"/></svg>',
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "http://%s/">]><svg>&b;</svg>',
        b"push graphic-context\nimage over 0,0 0,0 'http://%s/a.png'\npop graphic-context",
        b"#EXTM3U\n#EXTINF:1,\nhttp://%s/a.png\n", b"%%!PS\n(http://%s/) run\n",
    ],
)  # fmt: skip
def test_urls_in_requests_are_never_fetched(http: httpx.Client, body: bytes) -> None:
    async def listen() -> None:
        called = 0

        async def hear(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal called
            called += 1
            writer.close()

        listener = await asyncio.start_server(hear, "127.0.0.1", 0)
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        filled = body.replace(b"%s", address.encode()).replace(b"%%", b"%")
        async with httpx.AsyncClient(base_url=str(http.base_url), timeout=30) as client:
            for kind in ("image/svg+xml", "image/png", "application/octet-stream"):
                answer = await client.post(
                    "/compress", content=filled, headers={"Content-Type": kind}
                )
                assert_problem(answer, 415, "unsupported_format")
            form = {"file": f"http://{address}/a.png"}
            assert_problem(await client.post("/compress", data=form), 415, "unsupported_media_type")
            files = {"url": (None, form["file"])}
            assert_problem(await client.post("/compress", files=files), 400, "bad_request")
            for name in ("url", "src", "model"):
                url = f"/compress?{name}=http://{address}/"
                rejected = await client.post(url, content=photo(), headers=PNG)
                assert rejected.status_code in (400, 422)
        listener.close()
        assert called == 0

    asyncio.run(listen())


async def test_urls_in_pictures_are_never_fetched(start: Start) -> None:
    running = await start()
    opened = []
    # There is no way to take a hook out again: this one listens while the flag is up.
    listening = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
            opened.append((event, arguments))

    sys.addaudithook(hook)
    meta = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a href="http://127.0.0.1:9/"/></x:xmpmeta>'
    for form, options in (
        ("JPEG", {"xmp": meta, "comment": b"http://127.0.0.1:9/"}), ("PNG", {}),
        ("WEBP", {"xmp": meta}), ("GIF", {"comment": b"http://127.0.0.1:9/"}), ("TIFF", {}),
    ):  # fmt: skip
        out = io.BytesIO()
        Image.open(io.BytesIO(photo())).save(out, form, **options)
        answer = await running.http.post("/compress", content=out.getvalue(), headers=PNG)
        assert answer.status_code in (200, 201)
    listening = False
    assert opened == []


# Polyglots


def test_polyglots_return_only_pixels(http: httpx.Client) -> None:
    script = b"<script>alert(document.domain)</script>"
    archive = b"PK\x03\x04" + bytes(26) + b"evil" + b"PK\x05\x06" + bytes(18)
    gif = photo(form="GIF")
    for body in (
        photo(form="JPEG") + script,
        photo(form="PNG") + archive,
        gif[:13] + gif[13:-1] + b"\x21\xfe" + bytes([len(script)]) + script + b"\0;",
        photo(form="BMP") + b"%PDF-1.7\n",
        photo(form="JPEG") + photo(form="PNG", seed=1),
    ):
        made = http.post("/compress", content=body, headers=PNG)
        assert made.status_code in (200, 201), made.text
        key = made.json()["id"]
        for path in (f"/thumb/{key}", f"/decode/{key}", f"/thumbs.json?ids={key}"):
            answer = http.get(path)
            assert b"script" not in answer.content
            assert b"PK\x03\x04" not in answer.content
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]
    for body in (script + photo(form="JPEG"), b"%PDF-1.7\n" + photo(form="PNG"), archive + gif):
        answer = http.post("/compress", content=body, headers=PNG)
        assert_problem(answer, 415, "unsupported_format")


# Floods


def test_closed_connections_are_forgotten(server: Launched) -> None:
    for _ in range(1000):
        with open_connection(server) as connection:
            connection.send(b"GET /t/")
    deadline = time.monotonic() + 30
    while True:
        text = httpx.get(f"{server.url}/metrics", timeout=30).text
        [open_now] = [v for v in text.splitlines() if v.startswith("thumbstream_connections ")]
        if float(open_now.split()[1]) <= 3:
            return
        assert time.monotonic() < deadline, open_now
        time.sleep(0.05)


def test_interrupted_uploads_do_no_harm(server: Launched) -> None:
    picture = photo(400, 300)
    head = b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    for length in range(0, len(picture), max(1, len(picture) // 50)):
        with open_connection(server) as connection:
            connection.sendall(head % len(picture) + picture[:length])
    with open_connection(server) as connection:
        last = head.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nConnection: close\r\n")
        connection.sendall(last % len(picture) + picture)
        assert b" 201 Created" in read_to_end(connection)


# Bodies of real clients


@pytest.mark.parametrize("boundary", ["*****", "-" * 30 + "7e9", "a'()+_,./:=?b", "{a}~|`^"])
def test_boundaries_of_real_clients(http: httpx.Client, boundary: str) -> None:
    body = (part(photo()) + b"--b--\r\n").replace(b"--b", b"--" + boundary.encode())
    quoted = boundary if boundary == "*****" else f'"{boundary}"'
    headers = {"Content-Type": f"multipart/form-data; boundary={quoted}"}
    assert http.post("/compress", content=body, headers=headers).status_code in (200, 201)


@pytest.mark.parametrize(
    "body",
    [
        part(
            photo(), b'Content-Disposition: form-data; name="file"\r\nContent-Type: image/png\r\n'
        ),
        part(photo(), b"content-disposition: form-data; name=file; filename*=UTF-8''a.png\r\n"),
        b"This is a message in several parts.\r\n" + part(photo()),
        part(b"", b'Content-Disposition: form-data; name="empty"\r\n') + part(photo()),
        part(photo()) + part(b"x", b'Content-Disposition: form-data; name="later"\r\n'),
        part(photo() + b"\0" * 70_000, b'Content-Disposition: form-data; name="file"\r\n'),
    ],
    ids=["no-file-name", "extended-file-name", "preamble", "empty-field", "later-field", "large"],
)
def test_forms_of_real_clients(http: httpx.Client, body: bytes) -> None:
    body += b"--b--\r\nan epilogue"
    assert http.post("/compress", content=body, headers=FORM).status_code in (200, 201)


@pytest.mark.parametrize(
    "body",
    [b"", b"--b", b"--b\r\n", part(b"x"), part(photo()) * 2 + b"--b--", b"--c--", b"--b--\r\n"],
)
def test_incomplete_forms_are_rejected(http: httpx.Client, body: bytes) -> None:
    assert_problem(http.post("/compress", content=body, headers=FORM), 400, "bad_request")


@pytest.mark.parametrize("path", ["/compress", "/decode", "/budget"])
def test_encoded_bodies_are_rejected(http: httpx.Client, path: str) -> None:
    answer = http.post(path, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert "'gzip'" in assert_problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["accept-encoding"] == "identity"
    answer = http.post(path, content=photo(), headers={"Content-Encoding": "identity"})
    assert answer.json().get("code") != "unsupported_media_type" if path != "/decode" else True


@pytest.mark.parametrize("path", ["/decode", "/budget"])
def test_forms_are_rejected_where_a_raw_body_is_expected(http: httpx.Client, path: str) -> None:
    answer = http.post(path, content=part(b"x") + b"--b--\r\n", headers=FORM)
    assert_problem(answer, 415, "unsupported_media_type")


def test_slow_bodies_starve_neither_other_routes_nor_other_clients(launch: Launch) -> None:
    server = launch(THUMBSTREAM_FORWARDED_ALLOW_IPS="*")
    head = "POST {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\nContent-Length: 6000\r\n\r\nx"
    paths = ("/decode", "/budget", "/compress")

    stored = httpx.post(f"{server.url}/compress", content=photo()).json()
    stream = httpx.get(f"{server.url}{stored['url']}").content

    def statuses(address: str) -> list[int]:
        headers = {"X-Forwarded-For": address}
        with httpx.Client(base_url=server.url, timeout=30, headers=headers) as client:
            return [
                client.post("/decode", content=stream).status_code,
                client.post("/budget", json={"ids": [UNKNOWN], "total_bytes": 9}).status_code,
                client.post("/compress", content=photo()).status_code,
            ]

    with ExitStack() as stack:

        def flood(path: str, address: str, count: int) -> None:
            for _ in range(count):
                connection = stack.enter_context(open_connection(server))
                connection.sendall(head.format(path, address).encode())

        for path in paths:
            flood(path, "192.0.2.1", 32)
        assert statuses("192.0.2.2") == [200, 200, 200]  # another client has its half
        assert statuses("192.0.2.1") == [429, 429, 429]
        flood("/decode", "192.0.2.3", 16)
        assert statuses("192.0.2.2") == [429, 200, 200]  # all slots of that route are in use
