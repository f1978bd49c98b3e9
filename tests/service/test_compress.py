from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import STREAM_LENGTH, TARGET_LENGTH, FakeModels, photo
from PIL import Image
from service_harness import Running, Start, assert_problem, until

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import psnr, ssim
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.encoding import EncodeOptions
from thumbstream.ids import curve_key, identify
from thumbstream.images import thumbnail
from thumbstream.server.app import create_app
from thumbstream.settings import Settings
from thumbstream.storage.sqlite import SQLiteStore

PNG = {"Content-Type": "image/png"}


async def test_upload_stores_stream_and_curve(running: Running) -> None:
    answer = await running.http.post("/compress", content=photo(64, 48), headers=PNG)
    assert answer.status_code == 201
    key, curve_name = running.store.streams
    stream, stored = running.store.streams.values()
    assert key == identify(stream)
    assert curve_name == curve_key(key)
    curve = RateCurve.from_bytes(stored)
    assert answer.headers["location"] == f"/thumb/{key}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "id": key,
        "length": STREAM_LENGTH,
        "width": 64,
        "height": 48,
        "thumb_width": 32,
        "thumb_height": 24,
        "alpha": False,
        "truncated": False,
        "aspect_ratio": [32, 24],
        "model": "fake-1",
        "url": f"/thumb/{key}",
        "prefix_urls": {str(size): f"/t/{key}/{size}" for size in (16, 32, 64, 128, 256)},
        "prefix_base64": base64.b64encode(stream[:32]).decode(),
        "curve": [
            [length, pytest.approx(ssim, abs=1e-4), pytest.approx(psnr, abs=0.01)]
            for length, ssim, psnr in zip(curve.lengths, curve.ssim, curve.psnr, strict=True)
        ],
    }
    assert curve.lengths[-1] == STREAM_LENGTH


async def test_curve_equals_decoded_prefixes(running: Running) -> None:
    answer = await running.upload(seed=3)
    small = thumbnail(photo(seed=3), 32).pixels
    stream, codec = running.store.streams[answer["id"]], running.models.load()
    for length, measured_ssim, measured_psnr in answer["curve"]:
        shown = codec.decode(stream[:length])
        assert measured_ssim == pytest.approx(float(ssim(small, shown)), abs=1e-4)
        assert measured_psnr == pytest.approx(float(psnr(small, shown)), abs=0.01)


async def test_curves_can_be_switched_off(start: Start) -> None:
    running = await start(measure_curves=False)
    answer = await running.upload()
    assert answer["curve"] is None
    assert list(running.store.streams) == [answer["id"]]


async def test_missing_curve_is_added_by_the_next_upload(start: Start) -> None:
    running = await start()
    key = (await running.upload())["id"]
    del running.store.streams[curve_key(key)]
    again = await running.http.post("/compress", content=photo(), headers=PNG)
    assert again.status_code == 200
    assert curve_key(key) in running.store.streams


async def test_short_stream_has_no_curve(running: Running) -> None:
    answer = await running.upload(size=64, max_bytes=2)
    assert (answer["length"], answer["curve"]) == (2, None)
    assert list(running.store.streams) == [answer["id"]]


async def test_sqlite_commits_stream_and_curve_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(tmp_path / "streams.db")
    commits: list[list[str]] = []
    insert = store._insert

    def watched(batch: Sequence[Any]) -> list[bool]:
        commits.append([put.key for put in batch])
        return insert(batch)

    monkeypatch.setattr(store, "_insert", watched)
    app = create_app(Settings(encode_workers=1), models=FakeModels(), store=store)
    await app.services.open()
    receipt = await app.services.pipeline.compress(photo(), EncodeOptions())
    await app.services.close()
    assert commits == [[receipt.id, curve_key(receipt.id)]]


@pytest.mark.parametrize("refused", ["~", ""])
async def test_stream_and_curve_are_acknowledged_together(running: Running, refused: str) -> None:
    running.store.refused = refused
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert_problem(answer, 507, "store_full")
    running.store.refused = None
    assert (await running.upload())["id"] in running.store.streams


async def test_repeated_upload_is_200(running: Running) -> None:
    first, second = [
        await running.http.post("/compress", content=photo(), headers=PNG) for _ in range(2)
    ]
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert second.headers["location"] == first.headers["location"]


async def test_form_upload_equals_raw_upload(running: Running) -> None:
    raw = await running.http.post("/compress", content=photo(form="JPEG"), headers=PNG)
    form = await running.http.post(
        "/compress", files={"file": ("x.bin", photo(form="JPEG"))}, data={"note": "ignored"}
    )
    assert (raw.status_code, form.status_code) == (201, 200)
    assert raw.json()["id"] == form.json()["id"]


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "IMAGE/PNG", "application/octet-stream", ""]
)
async def test_format_is_detected_from_the_bytes(running: Running, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await running.http.post("/compress", content=photo(form="WEBP"), headers=headers)
    assert answer.status_code == 201, answer.text


async def test_size_max_bytes_and_model(running: Running) -> None:
    answer = await running.upload(size=64, max_bytes=20, model="fake-2")
    assert (answer["thumb_width"], answer["thumb_height"]) == (64, 48)
    assert answer["length"] == 20
    assert answer["model"] == "fake-2"
    assert list(answer["prefix_urls"]) == ["16", "32"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("ssim:0.85", Target("ssim", 0.85)),
        ("psnr:28", Target("psnr", 28)),
        ("bytes:64", Target("bytes", 64)),
    ],
)
async def test_target_reaches_the_codec(running: Running, text: str, target: Target) -> None:
    answer = await running.upload(target=text)
    assert answer["length"] == TARGET_LENGTH
    assert answer["curve"][-1][0] == TARGET_LENGTH
    assert running.models.load().targets == [target]


@pytest.mark.parametrize(
    "text", ["ssim", "ssim:", "ssim:2", "psnr:nan", "bytes:0", "bytes:" + 400 * "9", "size:32"]
)
async def test_rejects_invalid_targets(running: Running, text: str) -> None:
    answer = await running.http.post(
        "/compress", content=photo(), params={"target": text}, headers=PNG
    )
    assert assert_problem(answer, 400, "bad_request")["detail"].startswith("target: ")


async def test_target_and_max_bytes_are_mutually_exclusive(running: Running) -> None:
    answer = await running.http.post(
        "/compress?target=ssim:0.8&max_bytes=64", content=photo(), headers=PNG
    )
    assert "exclusive" in assert_problem(answer, 400, "bad_request")["detail"]


async def test_default_size_is_configurable(start: Start) -> None:
    running = await start(default_size=48)
    assert (await running.upload())["thumb_width"] == 48


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("size=33", "size"),
        ("size=0", "size"),
        ("size=264", "size"),
        ("size=x", "size"),
        ("max_bytes=0", "max_bytes"),
        ("max_bytes=1000000", "max_bytes"),
        ("model=", "model"),
    ],
)
async def test_invalid_parameter_is_named(running: Running, query: str, parameter: str) -> None:
    answer = await running.http.post(f"/compress?{query}", content=photo(), headers=PNG)
    document = assert_problem(answer, 400, "bad_request")
    assert document["errors"][0]["parameter"] == parameter
    assert document["detail"].startswith(f"{parameter}: ")


async def test_unknown_model_is_422(running: Running) -> None:
    answer = await running.http.post("/compress?model=nope", content=photo(), headers=PNG)
    assert "fake-1" in assert_problem(answer, 422, "unknown_model")["detail"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded"]
)
async def test_rejects_other_content_types(running: Running, content_type: str) -> None:
    answer = await running.http.post(
        "/compress", content=photo(), headers={"Content-Type": content_type}
    )
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept-post"].startswith("image/*")


@pytest.mark.parametrize(
    "body", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", b"x"]
)
async def test_rejects_unsupported_formats(running: Running, body: bytes) -> None:
    answer = await running.http.post("/compress", content=body, headers=PNG)
    assert_problem(answer, 415, "unsupported_format")


async def test_damaged_picture_is_invalid_image(running: Running) -> None:
    answer = await running.http.post("/compress", content=photo()[:60], headers=PNG)
    assert_problem(answer, 422, "invalid_image")


async def test_too_many_pixels(start: Start) -> None:
    running = await start(max_pixels=64 * 48 - 1)
    answer = await running.http.post("/compress", content=photo(64, 48), headers=PNG)
    assert_problem(answer, 422, "too_many_pixels")


async def test_empty_body_is_bad_request(running: Running) -> None:
    assert_problem(await running.http.post("/compress", headers=PNG), 400, "bad_request")


async def test_rejects_malformed_forms(running: Running) -> None:
    other = await running.http.post("/compress", files={"picture": photo()})
    assert "'file'" in assert_problem(other, 400, "bad_request")["detail"]
    text = await running.http.post("/compress", data={"file": "text"}, files={"other": b"1"})
    assert_problem(text, 415, "unsupported_format")  # a part needs no file name
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = await running.http.post(
            "/compress", content=b"garbage", headers={"Content-Type": content_type}
        )
        assert_problem(answer, 400, "bad_request")
    two = await running.http.post(
        "/compress", files=[("file", ("a", photo())), ("file", ("b", photo()))]
    )
    assert_problem(two, 400, "bad_request")


async def test_too_large_content_length_is_rejected_before_reading(start: Start) -> None:
    running = await start(max_upload_bytes=1000)
    touched = []

    async def body() -> AsyncIterator[bytes]:
        touched.append(1)
        yield bytes(1001)

    headers = PNG | {"Content-Length": "1001"}
    answer = await running.http.post("/compress", content=body(), headers=headers)
    assert_problem(answer, 413, "body_too_large")
    assert touched == []
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("form", [False, True])
async def test_chunked_body_is_rejected_at_the_limit(start: Start, form: bool) -> None:
    running = await start(max_upload_bytes=1000)
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        if form:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while sent < 10_000_000:
            sent += 500
            yield bytes(500)

    headers = {"Content-Type": "multipart/form-data; boundary=x"} if form else PNG
    answer = await running.http.post("/compress", content=body(), headers=headers)
    assert_problem(answer, 413, "body_too_large")
    assert sent <= 1000 + 64 * 1024 + 500
    assert answer.headers["connection"] == "close"


async def test_upload_limit_applies_to_forms(start: Start) -> None:
    running = await start(max_upload_bytes=1000)
    answer = await running.http.post("/compress", files={"file": bytes(1001)})
    assert_problem(answer, 413, "body_too_large")


async def test_stalled_body_times_out(start: Start) -> None:
    running = await start(upload_timeout_seconds=0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.sleep(5)

    answer = await running.http.post("/compress", content=body(), headers=PNG)
    assert_problem(answer, 408, "upload_timeout")


async def test_concurrent_bodies_are_limited(start: Start) -> None:
    running = await start(max_concurrent_uploads=1)
    reading, finish = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        reading.set()
        await finish.wait()
        yield photo()

    first = asyncio.create_task(running.http.post("/compress", content=body(), headers=PNG))
    await reading.wait()
    second = await running.http.post("/compress", content=photo(), headers=PNG)
    assert_problem(second, 429, "overloaded")
    finish.set()
    assert (await first).status_code == 201


async def test_full_queue_is_429_and_other_routes_are_served(start: Start) -> None:
    running = await start(encode_workers=1, encode_queue=1)
    running.models.gate.clear()

    def post(seed: int) -> asyncio.Task[httpx.Response]:
        request = running.http.post("/compress", content=photo(seed=seed), headers=PNG)
        return asyncio.create_task(request)

    accepted = [post(0), post(1)]
    jobs = running.app.services.jobs
    await until(lambda: jobs.running == 1 and jobs.waiting == 1)
    refused = await post(2)
    assert_problem(refused, 429, "overloaded")
    assert refused.headers["retry-after"] == "1"
    # The event loop is free while the one worker is not.
    assert (await running.http.get("/healthz")).status_code == 200
    running.models.gate.set()
    assert [(await task).status_code for task in accepted] == [201, 201]
    assert (await post(2)).status_code == 201


async def test_slow_job_times_out(start: Start) -> None:
    running = await start(job_timeout_seconds=0.05)
    running.models.gate.clear()
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert_problem(answer, 503, "job_timeout")
    assert "retry-after" in answer.headers
    running.models.gate.set()
    assert running.store.streams == {}


async def test_failed_puts_are_not_acknowledged(start: Start) -> None:
    running = await start(store_timeout_seconds=0.1)
    running.store.down = True
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert "secret" not in assert_problem(answer, 503, "store_unavailable")["detail"]
    running.store.down, running.store.full = False, True
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert "secret" not in assert_problem(answer, 507, "store_full")["detail"]
    running.store.full, running.store.delay = False, 5
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert_problem(answer, 503, "store_unavailable")
    assert running.store.streams == {}


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, 'Bearer realm="thumbstream"'),
        ("Basic b25l", 'Bearer realm="thumbstream"'),
        ("Bearer", 'Bearer realm="thumbstream"'),
        ("Bearer wrong", 'Bearer realm="thumbstream", error="invalid_token"'),
        ("Bearer on", 'Bearer realm="thumbstream", error="invalid_token"'),
        ("Bearer first-one,second-one", 'Bearer realm="thumbstream", error="invalid_token"'),
    ],
)
async def test_missing_token_is_rejected_before_reading(
    start: Start, authorization: str | None, challenge: str
) -> None:
    running = await start(tokens="first-one,second-one")
    headers = PNG | ({"Authorization": authorization} if authorization else {})
    for url in ("/compress", "/compress?size=nonsense"):
        answer = await running.http.post(url, content=photo(), headers=headers)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == challenge
        assert answer.headers["connection"] == "close"


async def test_every_token_uploads_and_reads_need_none(start: Start) -> None:
    running = await start(tokens="first-one,second-one")
    for token in ("first-one", "second-one"):
        headers = PNG | {"Authorization": f"bearer {token}"}
        answer = await running.http.post("/compress", content=photo(), headers=headers)
        assert answer.status_code in (200, 201)
    key = answer.json()["id"]
    assert (await running.http.get(f"/thumb/{key}")).status_code == 200
    assert (await running.http.get(f"/decode/{key}")).status_code == 200


async def test_uploads_are_closed_to_other_origins(running: Running) -> None:
    answer = await running.http.post("/compress", content=photo(), headers=PNG)
    assert "access-control-allow-origin" not in answer.headers
    assert_problem(await running.http.options("/compress"), 405, "method_not_allowed")


# Transparency and aspect ratio


async def compress(running: Running, picture: bytes, **query: Any) -> dict[str, Any]:
    answer = await running.http.post("/compress", content=picture, headers=PNG, params=query)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_transparency_is_coded_if_the_model_can(running: Running) -> None:
    running.models.codecs["fake-2"].alpha = True
    answer = await compress(running, photo(transparent=True), model="fake-2")
    assert answer["alpha"] is True
    assert parse_header(running.store.streams[answer["id"]]).alpha
    assert answer["curve"][-1][0] == STREAM_LENGTH


async def test_curve_measures_composited_pixels(running: Running) -> None:
    running.models.codecs["fake-2"].alpha = True
    answer = await compress(running, photo(transparent=True), model="fake-2")
    small = thumbnail(photo(transparent=True), 32, alpha=True).pixels
    stream, codec = running.store.streams[answer["id"]], running.models.codecs["fake-2"]
    for length, similarity, noise in answer["curve"]:
        shown = codec.decode(stream[:length])
        assert similarity == pytest.approx(float(ssim(small, shown)), abs=1e-4)
        assert noise == pytest.approx(float(psnr(small, shown)), abs=0.01)


@pytest.mark.parametrize(
    ("model", "alpha", "transparent"),
    [
        ("fake-1", "keep", True),
        ("fake-1", "flatten", True),
        ("fake-2", "flatten", True),
        ("fake-2", "keep", False),
    ],
)
async def test_transparency_is_flattened_otherwise(
    running: Running, model: str, alpha: str, transparent: bool
) -> None:
    running.models.codecs["fake-2"].alpha = True
    picture = photo(transparent=transparent)
    answer = await compress(running, picture, model=model, alpha=alpha)
    assert answer["alpha"] is False
    assert not parse_header(running.store.streams[answer["id"]]).alpha
    flat = running.models.codecs[model].encode(thumbnail(picture, 32).pixels)
    assert running.store.streams[answer["id"]] == flat


async def test_rejects_invalid_alpha(running: Running) -> None:
    answer = await running.http.post(
        "/compress?alpha=perhaps", content=photo(transparent=True), headers=PNG
    )
    assert_problem(answer, 400, "bad_request")
    assert running.models.load().encoded == 1  # the warm-up


async def test_original_aspect_ratio_reaches_the_codec(running: Running) -> None:
    answer = await compress(running, photo(300, 200))
    assert running.models.load().aspects[-1] == (300, 200)
    assert answer["aspect_ratio"] == [32, 21]


async def test_response_has_the_aspect_ratio_of_the_header(running: Running) -> None:
    answer = await compress(running, photo(300, 200), model="fake-2")
    assert answer["aspect_ratio"] == [3, 2]
    assert (answer["thumb_width"], answer["thumb_height"]) == (32, 21)


async def test_cut_jpeg_is_accepted_and_reported(running: Running) -> None:
    out = io.BytesIO()
    Image.linear_gradient("L").save(out, "JPEG")
    for data, truncated in ((out.getvalue(), False), (out.getvalue()[:-2], True)):
        answer = await running.http.post(
            "/compress", content=data, headers={"Content-Type": "image/jpeg"}
        )
        assert answer.status_code in (200, 201)
        assert answer.json()["truncated"] is truncated
