"""The service with its defaults: the published model and a store in a file."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fakes import photo
from PIL import Image

import thumbstream
from thumbstream.codec.quality import psnr, ssim
from thumbstream.images import thumbnail
from thumbstream.models import DEFAULT_MODEL, installed_models
from thumbstream.server.app import create_app
from thumbstream.settings import Settings

PNG = {"Content-Type": "image/png"}


@asynccontextmanager
async def opened(folder: Path, **chosen: Any) -> AsyncIterator[httpx.AsyncClient]:
    store = f"sqlite:///{folder / 'streams.db'}"
    app = create_app(Settings(**{"store": store, "encode_workers": 1} | chosen))
    await app.services.open()
    try:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield http
    finally:
        await app.services.close()


async def test_stream_survives_a_restart_and_every_prefix_decodes(tmp_path: Path) -> None:
    picture = photo(400, 300)
    async with opened(tmp_path) as http:
        made = await http.post("/compress", content=picture, headers=PNG)
        assert made.status_code == 201, made.text
        receipt = made.json()
        assert (receipt["thumb_width"], receipt["thumb_height"]) == (32, 24)
        assert receipt["model"] == (await http.get("/models")).json()["default"]

    async with opened(tmp_path) as http:
        assert (await http.post("/compress", content=picture, headers=PNG)).status_code == 200
        stream = (await http.get(receipt["url"])).content
        assert len(stream) == receipt["length"]
        assert stream == thumbstream.encode(io.BytesIO(picture))
        assert base64.b64decode(receipt["prefix_base64"]) == stream[:32]
        original = Image.open(io.BytesIO(picture)).resize((32, 24), Image.Resampling.LANCZOS)
        errors = {}
        for count in (1, 16, 64, len(stream)):
            shown = await http.get(f"/decode/{receipt['id']}?bytes={count}&format=png")
            pixels = np.asarray(Image.open(io.BytesIO(shown.content)))
            assert np.array_equal(pixels, thumbstream.decode(stream[:count]))
            errors[count] = float(np.mean((pixels - np.asarray(original, float)) ** 2))
        assert errors[1] > errors[16] > errors[64] > errors[len(stream)]


async def test_concurrent_uploads_get_their_own_streams(tmp_path: Path) -> None:
    pictures = [photo(160, 120, seed=seed) for seed in range(12)]
    async with opened(tmp_path, encode_workers=8) as http:
        made = await asyncio.gather(
            *(http.post("/compress", content=picture, headers=PNG) for picture in pictures)
        )
        assert [answer.status_code for answer in made] == [201] * len(pictures)
        for picture, answer in zip(pictures, made, strict=True):
            stream = (await http.get(answer.json()["url"])).content
            assert stream == thumbstream.encode(io.BytesIO(picture))


@pytest.mark.slow
@pytest.mark.parametrize("model", installed_models().installed)
async def test_every_model_serves_by_quality(tmp_path: Path, model: str) -> None:
    picture = photo(200, 120, seed=5)
    small = thumbnail(picture, 32).pixels
    async with opened(tmp_path, models=(model,)) as http:
        made = await http.post(f"/compress?model={model}", content=picture, headers=PNG)
        assert made.status_code == 201, made.text
        receipt = made.json()
        assert receipt["model"] == model
        key, curve = receipt["id"], receipt["curve"]
        assert curve[-1][0] == receipt["length"]
        for _, measured_ssim, measured_psnr in curve[:: len(curve) // 4]:
            for name, quality, measure, step in (
                ("ssim", measured_ssim, ssim, 1e-4),
                ("psnr", measured_psnr, psnr, 1e-2),
            ):
                target = f"{max(quality - 2 * step, step):.4f}"  # sent rounded, stored rounded down
                answer = await http.get(f"/thumb/{key}?{name}={target}")
                reached = float(measure(small, thumbstream.decode(answer.content)))
                assert reached >= float(target)
        budget = {"ids": [key], "total_bytes": receipt["length"] // 2}
        plan = (await http.post("/budget", json=budget)).json()
        share = plan["thumbs"][key]["bytes"]
        batch = await http.get(plan["urls"][0])
        stream = (await http.get(receipt["url"])).content
        assert batch.content == share.to_bytes(2, "big") + stream[:share]


async def test_target_selects_the_shortest_prefix(tmp_path: Path) -> None:
    picture = photo(200, 120, seed=6)
    small = thumbnail(picture, 32).pixels
    async with opened(tmp_path) as http:
        made = await http.post("/compress?target=ssim:0.6", content=picture, headers=PNG)
        stream = (await http.get(made.json()["url"])).content
    assert stream == thumbstream.encode(picture, target="ssim:0.6")
    assert ssim(small, thumbstream.decode(stream)) >= 0.6
    assert ssim(small, thumbstream.decode(stream[:-1])) < 0.6


@pytest.mark.parametrize("server", ["redis_url", "redis_cluster_url"])
async def test_quality_and_budget_from_redis(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    store = request.getfixturevalue(server)
    picture = photo(90, 60, seed=7)
    async with opened(tmp_path, store=store, models=(DEFAULT_MODEL,)) as http:
        made = (await http.post("/compress", content=picture, headers=PNG)).json()
    async with opened(tmp_path, store=store, models=(DEFAULT_MODEL,)) as http:
        length, quality, _ = made["curve"][5]
        answer = await http.get(f"/thumb/{made['id']}?ssim={quality - 2e-4:.4f}")
        assert len(answer.content) <= length
        assert "immutable" in answer.headers["cache-control"]
        budget = {"ids": [made["id"]], "total_bytes": length}
        plan = (await http.post("/budget", json=budget)).json()
        assert 0 < plan["used_bytes"] <= length
        assert plan["without_curve"] == plan["unknown"] == []
