"""Prefixes by quality: their length comes from the stored curve, and nothing is decoded."""

from __future__ import annotations

import base64
from typing import NamedTuple

import pytest
from fakes import STREAM_LENGTH
from service_harness import IMMUTABLE, UNKNOWN, Running, assert_problem

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.ids import curve_key

SOON = "public, max-age=10"
CURVE = RateCurve(
    lengths=(4, 16, 64, STREAM_LENGTH),
    ssim=(0.25, 0.5, 0.75, 0.875),
    psnr=(14.0, 18.0, 22.0, 26.0),
)
OTHER = RateCurve(lengths=(4, 32, STREAM_LENGTH), ssim=(0.5, 0.9375, 1.0), psnr=(20.0, 30.0, 40.0))


class Page(NamedTuple):
    running: Running
    key: str
    other: str

    def stream(self, key: str) -> bytes:
        return self.running.store.streams[key]

    async def get(self, path: str, **headers: str):  # type: ignore[no-untyped-def]
        return await self.running.http.get(path, headers=headers)


@pytest.fixture
async def page(running: Running) -> Page:
    page = Page(running, *[(await running.upload(seed))["id"] for seed in range(2)])
    running.give_curve(page.key, CURVE)
    running.give_curve(page.other, OTHER)
    running.store.reads.clear()
    return page


@pytest.mark.parametrize(
    ("target", "length"),
    [
        ("ssim=0.2", 4),
        ("ssim=0.49", 16),
        ("ssim=0.51", 24),
        ("ssim=0.7499", 64),
        ("ssim=0.87", 231),
        ("ssim=0.9", STREAM_LENGTH),
        ("ssim=1", STREAM_LENGTH),
        ("psnr=14", 4),
        ("psnr=18.5", 26),
        ("psnr=100", STREAM_LENGTH),
        ("ssim=0.74&bytes=40", 40),
        ("bytes=100&ssim=0.74", 62),
        ("bytes=100&ssim=0.99", 100),
        ("%73sim=0.49", 16),
    ],
)
async def test_target_selects_the_shortest_prefix_of_the_curve(
    page: Page, target: str, length: int
) -> None:
    answer = await page.get(f"/thumb/{page.key}?{target}")
    assert answer.content == page.stream(page.key)[:length]
    assert answer.headers["etag"] == f'"{page.key}.{length}"'
    assert answer.headers["cache-control"] == IMMUTABLE


async def test_stream_and_curve_are_read_together_and_cached(page: Page) -> None:
    for _ in range(2):
        await page.get(f"/thumb/{page.key}?ssim=0.49")
    assert page.running.store.reads == [[page.key, curve_key(page.key)]]
    await page.get(f"/thumb/{page.other}?bytes=9")
    assert page.running.store.reads[1:] == [[page.other]]


async def test_prefix_by_quality_has_the_same_etag_and_ranges(page: Page) -> None:
    url = f"/thumb/{page.key}?ssim=0.49"
    head = await page.running.http.head(url)
    assert head.headers["content-length"] == "16"
    known = await page.get(url, **{"If-None-Match": f'"{page.key}.16"'})
    assert known.status_code == 304
    rest = await page.get(
        f"/thumb/{page.key}?ssim=0.7499", Range="bytes=16-", **{"If-Range": f'"{page.key}.16"'}
    )
    assert rest.status_code == 206
    assert rest.content == page.stream(page.key)[16:64]


@pytest.mark.parametrize("stored", [None, b"", b"\x00\x01", b"junk that is no curve at all"])
async def test_stream_without_curve_is_sent_in_full_for_ten_seconds(
    page: Page, stored: bytes | None
) -> None:
    curves = page.running.store.streams
    if stored is None:
        del curves[curve_key(page.key)]
    else:
        curves[curve_key(page.key)] = stored
    answer = await page.get(f"/thumb/{page.key}?ssim=0.49")
    assert answer.content == page.stream(page.key)
    assert answer.headers["cache-control"] == SOON
    answer = await page.get(f"/thumb/{page.key}?ssim=0.49&bytes=20")
    assert answer.content == page.stream(page.key)[:20]
    assert answer.headers["cache-control"] == SOON
    plain = await page.get(f"/thumb/{page.key}?bytes=20")
    assert plain.headers["cache-control"] == IMMUTABLE


async def test_curve_stored_later_is_used(page: Page) -> None:
    del page.running.store.streams[curve_key(page.key)]
    assert len((await page.get(f"/thumb/{page.key}?ssim=0.49")).content) == STREAM_LENGTH
    page.running.give_curve(page.key, CURVE)
    assert len((await page.get(f"/thumb/{page.key}?ssim=0.49")).content) == 16


async def test_curve_without_a_stream_is_ignored(page: Page) -> None:
    page.running.give_curve(UNKNOWN, CURVE)
    answer = await page.get(f"/thumb/{UNKNOWN}?ssim=0.49")
    assert_problem(answer, 404, "not_found")
    assert answer.headers["cache-control"] == SOON


async def test_batch_by_quality(page: Page) -> None:
    answer = await page.get(f"/thumbs?ids={page.other},{page.key}&ssim=0.7499")
    parts = [page.stream(page.other)[:17], page.stream(page.key)[:64]]
    assert answer.content == b"".join(len(p).to_bytes(2, "big") + p for p in parts)
    assert answer.headers["cache-control"] == IMMUTABLE
    assert len(page.running.store.reads) == 1
    thumbs = (await page.get(f"/thumbs.json?ids={page.other},{page.key}&ssim=0.7499")).json()
    assert thumbs == {
        "thumbs": {
            key: base64.b64encode(part).decode()
            for key, part in zip((page.other, page.key), parts, strict=True)
        }
    }


@pytest.mark.parametrize("path", ["/thumbs", "/thumbs.json"])
async def test_batch_is_immutable_only_if_every_curve_is_present(page: Page, path: str) -> None:
    del page.running.store.streams[curve_key(page.key)]
    answer = await page.get(f"{path}?ids={page.other},{page.key}&psnr=30")
    assert answer.headers["cache-control"] == SOON
    answer = await page.get(f"{path}?ids={page.other},{UNKNOWN}&psnr=30")
    assert answer.headers["cache-control"] == SOON
    answer = await page.get(f"{path}?ids={page.other}&psnr=30")
    assert answer.headers["cache-control"] == IMMUTABLE


@pytest.mark.parametrize(
    ("query", "lengths"),
    [
        ("{0}:24,{1}:64", (24, 64)),
        ("{0}:24,{1}", (24, STREAM_LENGTH)),
        ("{0}:24,{1}&bytes=48", (24, 48)),
        ("{0}:24,{1}:64&bytes=10", (10, 10)),
        ("{0}:24,{1}:64&ssim=0.49", (16, 4)),
        ("{0}%3A24%2C{1}%3A999999", (24, STREAM_LENGTH)),
        ("{0}:24,{1}:64,{0}:24", (24, 64, 24)),
    ],
)
async def test_byte_counts_of_single_ids(page: Page, query: str, lengths: tuple[int, ...]) -> None:
    keys = [page.key, page.other, page.key]
    ids = query.format(*keys)
    answer = await page.get(f"/thumbs?ids={ids}")
    parts = [page.stream(key)[:n] for key, n in zip(keys, lengths, strict=False)]
    assert answer.content == b"".join(len(p).to_bytes(2, "big") + p for p in parts)
    assert answer.headers["cache-control"] == IMMUTABLE
    thumbs = (await page.get(f"/thumbs.json?ids={ids}")).json()["thumbs"]
    assert base64.b64decode(thumbs[page.key]) == parts[0]


@pytest.mark.parametrize("count", ["", "0", "024", "-1", "1e2", "+5", " 5", "1000000", "5:6", "٣"])
async def test_rejects_invalid_byte_counts_of_single_ids(page: Page, count: str) -> None:
    answer = await page.running.http.get("/thumbs", params={"ids": f"{page.key}:{count}"})
    detail = assert_problem(answer, 400, "bad_request")["detail"]
    assert detail.startswith(f"ids: expected an integer from 1 to 999999 after {page.key}:, got ")


async def test_rejects_one_id_with_two_byte_counts(page: Page) -> None:
    for ids in (f"{page.key}:24,{page.key}:25", f"{page.key}:24,{page.key}"):
        for path in ("/thumbs", "/thumbs.json"):
            answer = await page.get(f"{path}?ids={ids}")
            assert "two different" in assert_problem(answer, 400, "bad_request")["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("ssim=0.8&psnr=28", "ssim and psnr are mutually exclusive"),
        ("ssim=", "ssim: expected one number such as 0.8 or 28, with at most six decimals"),
        ("ssim=x", "ssim: expected"),
        ("ssim=-0.1", "ssim: expected"),
        ("ssim=.8", "ssim: expected"),
        ("ssim=1e-1", "ssim: expected"),
        ("ssim=nan", "ssim: expected"),
        ("ssim=inf", "ssim: expected"),
        ("ssim=0,8", "ssim: expected"),
        ("ssim=0.1234567", "ssim: expected"),
        ("ssim=0.8&ssim=0.8", "ssim: expected"),
        ("psnr=%D9%A3", "psnr: expected"),
        ("psnr=28%20", "psnr: expected"),
        ("ssim=0", "ssim: "),
        ("ssim=1.01", "ssim: "),
        ("psnr=101", "psnr: "),
        ("ssim=0.8&bytes=0", "bytes: expected one integer"),
    ],
)
async def test_rejects_invalid_targets_of_reads(page: Page, query: str, detail: str) -> None:
    for url in (f"/thumb/{page.key}?{query}", f"/thumbs?ids={page.key}&{query}"):
        assert assert_problem(await page.get(url), 400, "bad_request")["detail"].startswith(detail)
    assert page.running.store.reads == []


async def test_curves_are_not_served_as_streams(page: Page) -> None:
    name = curve_key(page.key)
    for path in (f"/thumb/{name}", f"/t/{name}/16", f"/decode/{name}", f"/thumb/%7E{page.key}"):
        assert_problem(await page.get(path), 404, "not_found")
    for path in ("/thumbs", "/thumbs.json"):
        assert_problem(await page.get(f"{path}?ids={name}"), 400, "bad_request")
    assert page.running.store.reads == []


async def test_quality_requests_are_counted(page: Page) -> None:
    del page.running.store.streams[curve_key(page.other)]
    await page.get(f"/thumb/{page.key}?ssim=0.49")
    await page.get(f"/thumbs?ids={page.key},{page.other},{UNKNOWN}&ssim=0.49")
    await page.get(f"/thumb/{page.key}?bytes=16")
    text = (await page.get("/metrics")).text
    assert 'thumbstream_quality_requests_total{curve="present"} 2.0' in text
    assert 'thumbstream_quality_requests_total{curve="absent"} 1.0' in text
