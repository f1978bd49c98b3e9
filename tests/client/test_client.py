"""Every method of both clients against a real service."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from launch import Service, clean_environment
from PIL import Image

import thumbstream
from thumbstream.client import AsyncClient, Client, ServiceError
from thumbstream.ids import identify

Connect = Callable[..., Any]
NewPicture = Callable[[], bytes]
UNKNOWN = "A" * 22
KEY = "an-example-key-of-32-bytes-or-more"


async def test_upload_returns_everything(
    connect: Connect, service: Service, new_picture: NewPicture
) -> None:
    client, picture = connect(service.url), new_picture()
    first = await client.compress(picture)
    again = await client.compress(picture)
    stream = thumbstream.encode(io.BytesIO(picture))
    assert (first.new, again.new) == (True, False)
    assert first.id == again.id == identify(stream)
    assert (first.width, first.height, first.thumb_width) == (96, 64, 32)
    assert (first.length, first.prefix) == (len(stream), stream[:32])
    assert first.aspect_ratio == (3, 2)
    assert first.prefix_urls[32] == f"/t/{first.id}/32"
    assert first.curve is not None
    assert first.curve[-1].bytes == first.length
    assert 0 < first.curve[0].ssim < first.curve[-1].ssim <= 1


async def test_upload_by_path_with_options(
    connect: Connect, service: Service, new_picture: NewPicture, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(new_picture())
    client = connect(service.url)
    by_path = await client.compress(path, size=64, max_bytes=100, alpha="flatten")
    assert by_path.thumb_width == 64
    assert by_path.length <= 100
    by_name = await client.compress(str(path), target="bytes:48", model="thumbstream-2")
    assert by_name.length <= 48


async def test_reads(connect: Connect, service: Service, new_picture: NewPicture) -> None:
    client, picture = connect(service.url), new_picture()
    stream = thumbstream.encode(io.BytesIO(picture))
    key = (await client.compress(picture)).id
    other = (await client.compress(new_picture())).id
    assert await client.thumb(key) == stream
    assert await client.thumb(key, bytes=20) == stream[:20]
    by_quality = await client.thumb(key, ssim=0.60)
    assert by_quality == stream[: len(by_quality)]
    assert len(by_quality) < len(stream)
    assert await client.thumb(key, psnr=99, bytes=30) == stream[:30]
    batch = await client.thumbs([key, UNKNOWN, other], bytes=16)
    assert list(batch) == [key, UNKNOWN, other]
    assert (batch[key], batch[UNKNOWN], len(batch[other])) == (stream[:16], None, 16)
    counted = await client.thumbs({key: 10, other: 11})
    assert [len(prefix) for prefix in counted.values()] == [10, 11]


async def test_previews(connect: Connect, service: Service, new_picture: NewPicture) -> None:
    client = connect(service.url)
    key = (await client.compress(new_picture())).id
    stream = await client.thumb(key)
    stored = await client.decode(key, bytes=40, scale=2)
    assert stored == await client.decode(stream[:40], scale=2)
    assert Image.open(io.BytesIO(stored)).size == (64, 42)
    webp = await client.decode(key, format="webp")
    assert Image.open(io.BytesIO(webp)).format == "WEBP"


async def test_a_budget_is_fetched_with_its_counts(
    connect: Connect, service: Service, new_picture: NewPicture
) -> None:
    client = connect(service.url)
    ids = [(await client.compress(new_picture())).id for _ in range(3)]
    page = await client.budget([*ids, UNKNOWN], 150)
    assert page.used_bytes <= 150
    assert page.unknown == (UNKNOWN,)
    assert page.mean >= page.uniform.mean
    fetched = await client.thumbs({key: share.bytes for key, share in page.thumbs.items()})
    assert sum(len(prefix) for prefix in fetched.values()) == page.used_bytes
    assert (await client.budget(ids, 150, measure="psnr")).measure == "psnr"


async def test_an_error_is_its_problem_document(
    connect: Connect, service: Service, new_picture: NewPicture
) -> None:
    client = connect(service.url)
    with pytest.raises(ServiceError) as caught:
        await client.compress(b"not a picture")
    error = caught.value
    assert (error.code, error.status) == ("unsupported_format", 415)
    assert error.request_id
    assert error.detail in str(error)
    with pytest.raises(ServiceError, match="not_found"):
        await client.thumb(UNKNOWN)
    with pytest.raises(ServiceError, match="not_found"):
        await client.thumb("../metrics")
    with pytest.raises(ServiceError, match="bad_request"):
        await client.compress(new_picture(), size=7)


async def test_a_response_of_another_server(connect: Connect, service: Service) -> None:
    with pytest.raises(ServiceError) as caught:
        await connect(f"{service.url}/metrics?").budget(["a"], 10)
    assert caught.value.status >= 400

    def page(request: httpx.Request) -> httpx.Response:
        status = 502 if request.url.path == "/thumbs" else 200
        return httpx.Response(status, text="<html>Welcome</html>")

    client = connect("http://proxy.example", transport=httpx.MockTransport(page))
    for call in (client.thumbs([UNKNOWN]), client.budget([UNKNOWN], 10)):
        with pytest.raises(ServiceError) as caught:
            await call
        assert caught.value.code == "unexpected_response"
        assert "Welcome" in caught.value.detail


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("thumbs.example", {}, "http://host:8000, got 'thumbs.example'"),
        ("//thumbs.example", {}, "http://host:8000"),
        ("http://", {}, "http://host:8000"),
        ("http://me:secret@host:x", {}, "got 'host:x'"),
        ("http://host:99999", {}, "http://host:8000"),
        ("http://[::1", {}, "http://host:8000"),
        ("http://host", {"token": "schlüssel"}, "token: expected printable ASCII"),
        ("http://host", {"token": "a\nb"}, "token: expected printable ASCII"),
        ("http://host", {"read_seconds": 0}, "read_seconds: expected at least 1"),
    ],
)
def test_invalid_parameters_of_a_client(url: str, options: dict[str, Any], reason: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=re.escape(reason)):
            kind(url, **options)


async def test_invalid_arguments_are_errors_before_a_request(connect: Connect) -> None:
    client = connect("http://host.invalid")
    for call in (client.thumbs("abc"), client.budget("abc", 10)):
        with pytest.raises(TypeError, match="ids: expected a list of ids, got str"):
            await call
    for call, name in (
        (client.compress(b"", label="\ud800"), "label"),
        (client.streams("\ud800"), "label"),
        (client.delete_label("\ud800"), "label"),
        (client.thumb("\ud800"), "id"),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected Unicode text"):
            await call


async def test_tokens(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service(THUMBSTREAM_TOKENS="shop:a-secret-of-a-shop")
    with pytest.raises(ServiceError) as caught:
        await connect(service.url).compress(new_picture())
    assert caught.value.status == 401
    client = connect(service.url, token="a-secret-of-a-shop")
    assert (await client.compress(new_picture())).new


async def test_life_cycle(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service(
        THUMBSTREAM_TOKENS="shop:a-secret-of-a-shop", THUMBSTREAM_RETENTION_DAYS="30"
    )
    client = connect(service.url, token="a-secret-of-a-shop")
    label = "product 17, blue & red"
    ids = sorted([(await client.compress(new_picture(), label=label)).id for _ in range(3)])
    first = await client.streams(label, limit=2)
    rest = await client.streams(label, after=first.next)
    assert [stream.id for stream in (*first.streams, *rest.streams)] == ids
    assert rest.next is None
    described = await client.describe(ids[0])
    assert described == first.streams[0]
    assert described.labels == (label,)
    assert described.length == len(await client.thumb(ids[0]))
    assert described.expires - described.created == timedelta(days=30)

    await client.delete(ids[0])
    await client.delete(ids[0])  # 204 as well
    for call in (client.thumb(ids[0]), client.describe(ids[0])):
        with pytest.raises(ServiceError, match="not_found"):
            await call
    deleted = await client.delete_label(label)
    assert (sorted(deleted.deleted), deleted.more) == (ids[1:], False)
    assert (await client.streams(label)).streams == ()
    with pytest.raises(ServiceError, match="unauthorized"):
        await connect(service.url).delete(ids[0])


async def test_signed_reads(
    connect: Connect, start_service: Callable[..., Service], new_picture: NewPicture
) -> None:
    service = start_service(THUMBSTREAM_READ_KEYS=KEY, THUMBSTREAM_TOKENS="shop:another-secret")
    unsigned = connect(service.url)
    client = connect(service.url, read_key=KEY, token="another-secret")
    ids = [(await client.compress(new_picture())).id for _ in range(2)]
    with pytest.raises(ServiceError, match="bad_signature"):
        await unsigned.thumb(ids[0])
    assert len(await client.thumb(ids[0], bytes=20)) == 20
    assert len(await client.thumbs(ids, bytes=9)) == 2
    assert await client.decode(ids[0])
    page = await client.budget(ids, 60)
    async with httpx.AsyncClient() as plain:
        assert (await plain.get(service.url + page.urls[0])).status_code == 200
    # A token reads too, but caches store no response to it.
    assert await connect(service.url, token="another-secret").thumb(ids[1], bytes=8)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_urls_for_pages(kind: type[Client | AsyncClient]) -> None:
    plain = kind("https://thumbs.example")
    assert plain.url(UNKNOWN, bytes=64) == f"/thumb/{UNKNOWN}?bytes=64"
    assert plain.url(UNKNOWN, ssim=0.80) == f"/thumb/{UNKNOWN}?ssim=0.8"
    signed = kind("https://thumbs.example", read_key=KEY, read_seconds=600).url(UNKNOWN)
    query = parse_qs(urlsplit(signed).query)
    assert 600 <= int(query["exp"][0]) - time.time() <= 1200
    assert int(query["exp"][0]) % 600 == 0


def test_below_a_root_path(start_service: Callable[..., Service], new_picture: NewPicture) -> None:
    service = start_service(THUMBSTREAM_ROOT_PATH="/previews")
    with Client(f"{service.url}/previews") as client:
        stored = client.compress(new_picture())
        assert stored.url == f"/previews/thumb/{stored.id}"
        assert len(client.thumb(stored.id, bytes=12)) == 12


def test_only_the_client_needs_httpx() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "import thumbstream, thumbstream.cli\n"
        "try:\n    import thumbstream.client\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'thumbstream[client]'" in done.stdout
