"""POST /budget: a page's bytes over its thumbnails, and the URLs that return them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_harness import IMMUTABLE, UNKNOWN, Running, assert_problem

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.ids import curve_key

EASY = RateCurve(lengths=(4, 8, 16), ssim=(0.75, 0.875, 0.9375), psnr=(30.0, 31.0, 32.0))
HARD = RateCurve(lengths=(4, 8, 16), ssim=(0.25, 0.5, 0.8), psnr=(10.0, 16.0, 28.0))


async def page(running: Running, *curves: RateCurve) -> list[str]:
    """Ids of streams that have these curves."""
    keys = [(await running.upload(seed, max_bytes=16))["id"] for seed in range(len(curves))]
    for key, curve in zip(keys, curves, strict=True):
        running.give_curve(key, curve)
    running.store.reads.clear()
    return keys


async def spend(running: Running, **query: Any) -> dict[str, Any]:
    answer = await running.http.post("/budget", json=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    assert document["used_bytes"] <= query["total_bytes"]
    return document


async def test_bytes_go_to_the_steepest_curves(running: Running) -> None:
    easy, hard = await page(running, EASY, HARD)
    answer = await spend(running, ids=[easy, hard], total_bytes=20)
    assert answer == {
        "measure": "ssim",
        "total_bytes": 20,
        "used_bytes": 20,
        "mean": 0.775,
        "uniform": {"bytes_each": 10, "mean": 0.7328},
        "gain": 0.0422,
        "thumbs": {
            easy: {"bytes": 4, "quality": 0.75},
            hard: {"bytes": 16, "quality": 0.8},
        },
        "urls": [f"/thumbs?ids={easy}:4,{hard}:16"],
        "unknown": [],
        "without_curve": [],
    }
    assert len(running.store.reads) == 1


async def test_urls_return_exactly_the_planned_bytes(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thumbstream.http.budget_route.MAX_IDS", 2)
    keys = await page(running, EASY, HARD, HARD)
    answer = await spend(running, ids=keys, total_bytes=28)
    assert len(answer["urls"]) == 2
    body = b""
    for url in answer["urls"]:
        batch = await running.http.get(url)
        assert batch.headers["cache-control"] == IMMUTABLE
        body += batch.content
    prefixes = [running.store.streams[key][: answer["thumbs"][key]["bytes"]] for key in keys]
    assert body == b"".join(len(p).to_bytes(2, "big") + p for p in prefixes)
    assert sum(map(len, prefixes)) == answer["used_bytes"]


async def test_by_psnr(running: Running) -> None:
    easy, hard = await page(running, EASY, HARD)
    answer = await spend(running, ids=[easy, hard], total_bytes=20, measure="psnr")
    assert answer["measure"] == "psnr"
    assert answer["mean"] == 29.0
    assert answer["thumbs"][easy] == {"bytes": 4, "quality": 30.0}


async def test_repeated_picture_is_sent_once_and_counts_twice(running: Running) -> None:
    easy, hard = await page(running, EASY, HARD)
    answer = await spend(running, ids=[hard, easy, hard], total_bytes=20)
    assert list(answer["thumbs"]) == [hard, easy]
    assert answer["used_bytes"] == 20
    assert answer["mean"] == 0.7833
    assert answer["urls"] == [f"/thumbs?ids={hard}:16,{easy}:4"]


async def test_small_budget_omits_pictures(running: Running) -> None:
    easy, hard = await page(running, EASY, HARD)
    answer = await spend(running, ids=[easy, hard], total_bytes=4)
    assert answer["thumbs"][hard] == {"bytes": 0, "quality": 0.0}
    assert answer["urls"] == [f"/thumbs?ids={easy}:4"]
    assert answer["mean"] == 0.375
    nothing = await spend(running, ids=[hard], total_bytes=1)
    assert nothing["used_bytes"] <= 1


async def test_unknown_and_curveless_ids_are_listed(running: Running) -> None:
    easy, bare, broken = await page(running, EASY, HARD, HARD)
    del running.store.streams[curve_key(bare)]
    running.store.streams[curve_key(broken)] = b"no curve"
    running.give_curve(UNKNOWN, HARD)  # left over from a stream that was never acknowledged
    answer = await spend(running, ids=[UNKNOWN, bare, easy, broken, bare], total_bytes=100)
    assert answer["unknown"] == [UNKNOWN]
    assert answer["without_curve"] == [bare, broken]
    assert list(answer["thumbs"]) == [easy]
    only = await spend(running, ids=[bare], total_bytes=100)
    assert (only["thumbs"], only["urls"], only["gain"]) == ({}, [], 0.0)


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"\xff", "body"),
        (b'{"total_bytes": 5}', "ids"),
        (b'{"ids": [], "total_bytes": 5}', "ids"),
        (b'{"ids": "x", "total_bytes": 5}', "ids"),
        (b'{"ids": ["x"], "total_bytes": 5}', "ids.0"),
        (b'{"ids": ["~' + UNKNOWN.encode() + b'"], "total_bytes": 5}', "ids.0"),
        (b'{"ids": ["' + UNKNOWN.encode() + b'", 7], "total_bytes": 5}', "ids.1"),
        (b'{"ids": ["ID"]}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": 0}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": 1000000000}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": 1.5}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": "5"}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": true}', "total_bytes"),
        (b'{"ids": ["ID"], "total_bytes": 5, "measure": "lpips"}', "measure"),
        (b'{"ids": ["ID"], "total_bytes": 5, "bytes": 5}', "bytes"),
    ],
)
async def test_invalid_body_names_the_parameter(
    running: Running, body: bytes, parameter: str
) -> None:
    content = body.replace(b"ID", UNKNOWN.encode())
    document = assert_problem(
        await running.http.post("/budget", content=content), 400, "bad_request"
    )
    assert parameter in [error["parameter"] for error in document["errors"]]
    assert document["detail"]
    assert running.store.reads == []


async def test_rejects_too_many_ids_and_too_large_bodies(running: Running) -> None:
    await spend(running, ids=[UNKNOWN] * 512, total_bytes=5)
    many = await running.http.post("/budget", json={"ids": [UNKNOWN] * 513, "total_bytes": 5})
    assert assert_problem(many, 400, "bad_request")["detail"] == "ids: expected 1 to 512 ids"
    indented = json.dumps({"ids": [UNKNOWN] * 512, "total_bytes": 5}, indent=8)
    assert (await running.http.post("/budget", content=indented)).status_code == 200
    large = await running.http.post("/budget", content=b" " * 40_000)
    assert_problem(large, 413, "body_too_large")
    assert_problem(await running.http.post("/budget"), 400, "bad_request")


async def test_store_failure_is_503(running: Running) -> None:
    running.store.down = True
    answer = await running.http.post("/budget", json={"ids": [UNKNOWN], "total_bytes": 5})
    assert "secret" not in assert_problem(answer, 503, "store_unavailable")["detail"]


async def test_budget_is_open_to_other_origins(running: Running) -> None:
    preflight = await running.http.options("/budget", headers={"Origin": "https://shop.example"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "POST, OPTIONS"
    answer = await running.http.post("/budget", json={"ids": [UNKNOWN], "total_bytes": 5})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert_problem(await running.http.get("/budget"), 405, "method_not_allowed")


async def test_integral_floats_are_integers(running: Running) -> None:
    """JSON has one kind of number; fractions are rejected."""
    key = (await running.upload())["id"]
    plans = [
        await running.http.post("/budget", content=f'{{"ids": ["{key}"], "total_bytes": {total}}}')
        for total in ("40", "40.0")
    ]
    assert plans[0].json() == plans[1].json()
    for total in ("40.5", "true", '"40"', "1e999"):
        body = f'{{"ids": ["{key}"], "total_bytes": {total}}}'
        assert_problem(await running.http.post("/budget", content=body), 400, "bad_request")
