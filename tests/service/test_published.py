"""The whole service as a stranger starts it: the published model and a store in a file."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from service_stand_ins import photo

import thumbstream
from thumbstream.app import create_app
from thumbstream.settings import Settings

PNG = {"Content-Type": "image/png"}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(store=f"sqlite:///{folder / 'streams.db'}", encode_workers=1))
    await app.service.open()
    try:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield http
    finally:
        await app.service.close()


async def test_a_picture_survives_a_restart_and_every_prefix_is_a_picture(tmp_path: Path) -> None:
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
        assert base64.b64decode(receipt["preview"]) == stream[:32]
        original = Image.open(io.BytesIO(picture)).resize((32, 24), Image.Resampling.LANCZOS)
        errors = {}
        for count in (1, 16, 64, len(stream)):
            shown = await http.get(f"/decode/{receipt['id']}?bytes={count}&format=png")
            pixels = np.asarray(Image.open(io.BytesIO(shown.content)))
            assert np.array_equal(pixels, thumbstream.decode(stream[:count]))
            errors[count] = float(np.mean((pixels - np.asarray(original, float)) ** 2))
        assert errors[1] > errors[16] > errors[64] > errors[len(stream)]
