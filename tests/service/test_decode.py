from __future__ import annotations

import base64
import io

import httpx
import pytest
from fakes import photo
from PIL import Image
from service_harness import IMMUTABLE, UNKNOWN, Running, Start, assert_problem, until

from thumbstream.codec.bitstream import write_header


def picture(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


@pytest.fixture
async def stored(running: Running) -> tuple[Running, str, bytes]:
    key = (await running.upload())["id"]
    return running, key, running.store.streams[key]


@pytest.mark.parametrize(
    ("form", "media_type", "kind"),
    [("png", "image/png", "PNG"), ("webp", "image/webp", "WEBP")],
)
@pytest.mark.parametrize("scale", [1, 4, 16])
async def test_decode_writes_pictures(
    stored: tuple[Running, str, bytes], form: str, media_type: str, kind: str, scale: int
) -> None:
    running, key, stream = stored
    query = {"format": form, "scale": scale, "bytes": 100}
    got = await running.http.get(f"/decode/{key}", params=query)
    posted = await running.http.post("/decode", params=query, content=stream)
    for answer in (got, posted):
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media_type
        assert answer.headers["x-content-type-options"] == "nosniff"
        image = picture(answer.content)
        assert (image.format, image.size) == (kind, (32 * scale, 24 * scale))
        assert abs(image.convert("RGB").getpixel((5, 5))[0] - 100) <= 2  # the count of bytes
    assert got.headers["cache-control"] == IMMUTABLE
    assert got.headers["etag"] == f'W/"{key}.100.{form}.{scale}"'
    assert posted.headers["cache-control"] == "no-store"


async def test_data_url(stored: tuple[Running, str, bytes]) -> None:
    running, key, _ = stored
    answer = await running.http.get(f"/decode/{key}?format=data")
    assert answer.headers["content-type"] == "text/plain; charset=us-ascii"
    head, _, rest = answer.text.partition(",")
    assert head == "data:image/png;base64"
    assert picture(base64.b64decode(rest)).size == (32, 24)


async def test_accept_field_applies_without_format(
    stored: tuple[Running, str, bytes],
) -> None:
    running, key, _ = stored
    answer = await running.http.get(f"/decode/{key}", headers={"Accept": "image/webp"})
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["vary"] == "Accept"
    named = await running.http.get(f"/decode/{key}?format=png", headers={"Accept": "image/webp"})
    assert named.headers["content-type"] == "image/png"
    assert "vary" not in named.headers


async def test_matching_etag_of_a_preview_is_304_without_decoding(
    stored: tuple[Running, str, bytes],
) -> None:
    running, key, _ = stored
    url = f"/decode/{key}?bytes=64&format=png&scale=2"
    etag = (await running.http.get(url)).headers["etag"]
    running.models.gate.clear()  # whoever decodes now would wait
    answer = await running.http.get(url, headers={"If-None-Match": etag})
    running.models.gate.set()
    assert (answer.status_code, answer.content) == (304, b"")


async def test_every_prefix_decodes(stored: tuple[Running, str, bytes]) -> None:
    running, _, stream = stored
    for count in (1, 2, 32, 239):
        answer = await running.http.post("/decode", content=stream[:count])
        assert answer.status_code == 200
        assert picture(answer.content).size == (32, 24)


async def test_enlargement_is_smooth(running: Running) -> None:
    import numpy as np

    from thumbstream.images.write import PictureFormat, write_picture

    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    image = picture(write_picture(edge, PictureFormat.PNG, 8))
    middle = {image.getpixel((x, 32))[0] for x in range(24, 40)}
    assert len(middle) > 4  # a ramp, not two colours


@pytest.mark.parametrize("stream", [b"\x96", b"\x9f123", b"\xe3\x00\x10"])
async def test_decode_rejects_bytes_that_are_not_a_stream(running: Running, stream: bytes) -> None:
    assert_problem(await running.http.post("/decode", content=stream), 400, "bad_stream")


async def test_empty_body_is_bad_request(running: Running) -> None:
    assert_problem(await running.http.post("/decode"), 400, "bad_request")


async def test_decode_rejects_stream_of_unknown_model(running: Running) -> None:
    stream = write_header(99, 32, 32) + b"codes"
    assert_problem(await running.http.post("/decode", content=stream), 422, "unknown_model")


async def test_model_that_is_not_enabled_still_decodes(start: Start) -> None:
    running = await start(models="fake-1")
    stream = write_header(8, 32, 16) + b"codes"
    assert (await running.http.post("/decode", content=stream)).status_code == 200
    answer = await running.http.post(
        "/compress?model=fake-2", content=photo(), headers={"Content-Type": "image/png"}
    )
    assert_problem(answer, 422, "unknown_model")


@pytest.mark.parametrize(
    "query",
    [
        "scale=0",
        "scale=17",
        "scale=x",
        "scale=+2",
        "scale=02",
        "scale=2.0",
        "scale=%202",
        "format=gif",
        "bytes=0",
        "bytes=x",
        "bytes=+9",
        "bytes=09",
        "bytes=9.0",
        "bytes=1_0",
        "bytes=9%20",
        "bytes=%EF%BC%99",
        "bytes=9&bytes=9",
        "scale=2&scale=3",
        "byte=9",
    ],
)
async def test_decode_rejects_invalid_parameters(
    stored: tuple[Running, str, bytes], query: str
) -> None:
    running, key, stream = stored
    assert_problem(await running.http.get(f"/decode/{key}?{query}"), 400, "bad_request")
    assert_problem(await running.http.post(f"/decode?{query}", content=stream), 400, "bad_request")


async def test_rejects_too_large_previews(running: Running) -> None:
    stream = write_header(8, 256, 256) + b"codes"
    assert (await running.http.post("/decode?scale=8", content=stream)).status_code == 200
    answer = await running.http.post("/decode?scale=9", content=stream)
    assert "4194304" in assert_problem(answer, 400, "preview_too_large")["detail"]


async def test_rejects_too_long_streams(running: Running) -> None:
    stream = write_header(8, 32, 16) + bytes(65_536)
    answer = await running.http.post("/decode", content=stream[:65_537])
    assert_problem(answer, 413, "body_too_large")
    assert (await running.http.post("/decode", content=stream[:65_536])).status_code == 200


async def test_decode_of_unknown_stream_is_not_found(running: Running) -> None:
    for key in (UNKNOWN, "nonsense"):
        answer = await running.http.get(f"/decode/{key}")
        assert_problem(answer, 404, "not_found")
        assert answer.headers["cache-control"] == "public, max-age=10"


async def test_decoding_uses_the_bounded_queue(start: Start) -> None:
    import asyncio

    running = await start(encode_workers=1, encode_queue=0)
    running.models.gate.clear()
    first = asyncio.create_task(running.http.post("/decode", content=b"\x10codes"))
    await until(lambda: running.app.services.jobs.running == 1)
    assert_problem(await running.http.post("/decode", content=b"\x10codes"), 429, "overloaded")
    running.models.gate.set()
    assert (await first).status_code == 200


async def test_decode_is_open_to_other_origins(running: Running) -> None:
    answer: httpx.Response = await running.http.post("/decode", content=b"\x96")
    assert answer.headers["access-control-allow-origin"] == "*"
    for path, methods in (("/decode", "POST, OPTIONS"), ("/decode/x", "GET, HEAD, OPTIONS")):
        preflight = await running.http.options(path)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-methods"] == methods


@pytest.mark.parametrize(("form", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("data", "PNG")])
@pytest.mark.parametrize("scale", [1, 4])
async def test_decode_returns_transparency(
    running: Running, form: str, kind: str, scale: int
) -> None:
    running.models.codecs["fake-2"].alpha = True
    answer = await running.http.post(
        "/compress?model=fake-2",
        content=photo(transparent=True),
        headers={"Content-Type": "image/png"},
    )
    key, query = answer.json()["id"], {"format": form, "scale": scale, "bytes": 100}
    got = await running.http.get(f"/decode/{key}", params=query)
    posted = await running.http.post("/decode", params=query, content=running.store.streams[key])
    for body in (got.content, posted.content):
        image = picture(base64.b64decode(body.partition(b",")[2]) if form == "data" else body)
        assert (image.format, image.mode, image.size) == (kind, "RGBA", (32 * scale, 24 * scale))
        red, _, _, alpha = image.getpixel((5, 5))
        assert (abs(red - 100) <= 3, alpha) == (True, 128)


async def test_alpha_stream_cut_before_its_model_decodes(running: Running) -> None:
    running.models.codecs["fake-2"].alpha = True
    stream = write_header(8, 32, 16, alpha=True) + b"codes"
    for length in (1, 2, 3, 8):
        answer = await running.http.post("/decode", content=stream[:length])
        assert answer.status_code == 200
        assert picture(answer.content).mode == "RGBA"
