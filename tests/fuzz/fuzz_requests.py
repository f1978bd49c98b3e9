"""Target `requests`: any request gets a documented answer, and never the client's line breaks.

An input is a request as text: ``METHOD path?query``, lines ``Name: value``, an empty line, a body.
It goes into the whole ASGI application, ahead of which a real server would refuse some of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from fakes import FakeModels, MemoryStore

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.http.request_headers import parse_range
from thumbstream.ids import curve_key, identify
from thumbstream.server.app import Application, create_app
from thumbstream.settings import Settings

LONGEST = 1024
"""Bytes of an input."""
STREAM = bytes([20]) + bytes(range(99))
KEY = identify(STREAM)
SHORT = bytes([30, 1, 2])
DAMAGED = identify(SHORT)
"""Its stored curve is none."""
WORDS = (
    *(KEY.encode(), DAMAGED.encode(), b"/thumb/", b"/t/", b"/thumbs?ids=", b"/thumbs.json?ids="),
    *(b"bytes=", b"ssim=", b"psnr=", b"Range: bytes=", b"If-Range: ", b"If-None-Match: ", b'W/"'),
    *(b"/budget", b"/decode", b"/compress", b"format=", b"scale=", b"Accept: ", b"q=0.5"),
    *(b"Content-Type: multipart/form-data; boundary=x", b"\r\n--x\r\n", b"total_bytes", b"%00"),
)
STATUSES = {200, 201, 204, 206, 304, 307, 400, 401, 403, 404, 405, 408, 413, 415, 416, 422, 429}
"""Whatever a client sends: a 5xx would be the service's own fault, and nothing here fails it."""

_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def check(data: bytes) -> bool:
    """Hold the invariant for a request; whether the answer was a success."""
    scope, body = _request(data)
    status, headers, answered = _served(scope, body)
    assert status in STATUSES, f"{status} {answered[:200]!r}"
    for name, value in headers:
        assert _FIELD.fullmatch(name), name
        assert _VALUE.fullmatch(value), value
    fields = dict(headers)
    if status >= 400:
        assert fields[b"content-type"] == b"application/problem+json"
        assert scope["method"] == "HEAD" or json.loads(answered)["status"] == status
    if status == 405:
        assert fields[b"allow"]
    if status == 206:
        first, last, length = map(int, re.findall(rb"\d+", fields[b"content-range"]))
        assert 0 <= first <= last < length
        assert len(answered) == last - first + 1
    if status in (204, 304):
        assert not answered
    elif b"content-length" in fields and scope["method"] != "HEAD":  # servers drop that body
        assert int(fields[b"content-length"]) == len(answered)
    for _, value in scope["headers"]:
        span = parse_range(value.decode("latin-1"), len(STREAM))
        assert span is None or 0 <= span.start <= span.stop <= len(STREAM)
    return status < 400


def mended(data: bytes) -> bytes:
    """``data`` as it is."""
    return data


def seeds() -> Iterator[tuple[str, bytes]]:
    """One request of each kind."""
    texts = {
        "thumb": f'GET /thumb/{KEY}?bytes=32\nRange: bytes=8-\nIf-Range: "{KEY}.32"\n\n',
        "thumb-head": f'HEAD /thumb/{KEY}?ssim=0.5\nIf-None-Match: "x", W/"{KEY}.100"\n\n',
        "thumb-psnr": f"GET /thumb/{DAMAGED}?psnr=20.5&bytes=2\nIf-None-Match: *\n\n",
        "thumb-path": f"GET /t/{KEY}/64\nRange: bytes=-9\n\n",
        "batch": f"GET /thumbs?ids={KEY}:7,{DAMAGED}&bytes=9\n\n",
        "batch-json": f"GET /thumbs.json?ids={KEY},{KEY}&ssim=0.9\n\n",
        "options": f"OPTIONS /thumb/{KEY}\nOrigin: http://a.example\n\n",
        "budget": f'POST /budget\n\n{{"ids": ["{KEY}", "{DAMAGED}"], "total_bytes": 40}}',
        "decode-stored": f"GET /decode/{KEY}?bytes=9&format=webp&scale=2\nAccept: */*;q=0.5\n\n",
        "compress": "POST /compress?size=16&target=bytes:9\nContent-Type: image/png\n\nno picture",
        "form": "POST /compress\nContent-Type: multipart/form-data; boundary=x\n\n--x\r\n"
        'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nGIF89a\r\n--x--\r\n',
        "client": "GET /client/thumbstream.js\nAccept-Encoding: gzip;q=0\n\n",
        "page": 'GET /web/../../etc/passwd\nIf-None-Match: ""\n\n',
        "models": "GET /models\n\n",
        "delete": f"DELETE /thumb/{KEY}\nAuthorization: Bearer x\n\n",
        "label": "GET /streams?label=a&after=b&limit=3\n\n",
    }
    for name, text in texts.items():
        yield name, text.encode()
    yield "decode", b"POST /decode?format=dataurl\nAccept: text/plain\n\n" + STREAM


_loop: asyncio.AbstractEventLoop | None = None
_app: Application | None = None


def _application() -> tuple[Application, asyncio.AbstractEventLoop]:
    """The service on a store that holds two streams; opened at the first request."""
    global _app, _loop
    if _app is None or _loop is None:
        store = MemoryStore()
        store.streams[KEY] = STREAM
        store.streams[curve_key(KEY)] = RateCurve((9, 100), (0.5, 0.9), (20.0, 30.0)).to_bytes()
        store.streams[DAMAGED] = SHORT
        store.streams[curve_key(DAMAGED)] = b"no curve"
        _loop = asyncio.new_event_loop()
        _app = create_app(Settings(encode_workers=1), models=FakeModels(), store=store)
        _loop.run_until_complete(_app.services.open())
    return _app, _loop


def _request(data: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, body = data.partition(b"\n\n")
    line, *fields = head.split(b"\n")
    method, _, target = line.partition(b" ")
    raw_path, _, query = target.partition(b"?")
    pairs = (field.partition(b":") for field in fields)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        # What a server lets through: its parser takes tokens only, and decodes the path as UTF-8.
        "method": re.sub(r"[^A-Z]", "", method.decode("latin-1").upper()) or "GET",
        "scheme": "http",
        "path": "/" + unquote_to_bytes(raw_path).decode("utf-8", "replace").lstrip("/"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [
            (name.strip().lower(), value.strip())
            for name, _, value in pairs
            if _FIELD.fullmatch(name.strip().lower()) and _VALUE.fullmatch(value.strip())
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    return scope, body


def _served(scope: dict[str, Any], body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    app, loop = _application()
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    loop.run_until_complete(app(scope, receive, send))
    start, *parts = sent
    headers = [(bytes(name), bytes(value)) for name, value in start["headers"]]
    return start["status"], headers, b"".join(part.get("body", b"") for part in parts)
