"""A service below a path: every address that it writes begins with it, whatever the proxy does."""

from __future__ import annotations

import re

import httpx
import pytest
from fakes import photo
from service_harness import Start

ROOT = "/a/ts"


@pytest.mark.parametrize("received", [ROOT, ""], ids=["passed-on", "stripped"])
async def test_every_address_begins_with_the_root_path(start: Start, received: str) -> None:
    running = await start(
        root_path=ROOT, read_keys="a-key-of-16-bytes-or-more", tokens="a:the-secret"
    )
    http = running.http
    http.headers["Authorization"] = "Bearer the-secret"

    async def get(address: str) -> httpx.Response:
        assert address.startswith(f"{ROOT}/")
        return await http.get(received + address.removeprefix(ROOT))

    answer = await http.post(f"{received}/compress", content=photo())
    stored = answer.json()
    for address in (answer.headers["location"], stored["url"], *stored["prefix_urls"].values()):
        assert (await get(address)).status_code == 200
    body = {"ids": [stored["id"]], "total_bytes": 900}
    plan = (await http.post(f"{received}/budget", json=body)).json()
    for address in plan["urls"]:
        assert (await get(address)).status_code == 200

    document = (await get(f"{ROOT}/openapi.json")).json()
    assert [server["url"] for server in document["servers"]] == [ROOT]
    for page in ("/", "/gallery", "/docs"):
        text = (await get(ROOT + page)).text
        addresses = re.findall(r'(?:href|src)="(/[^"]*)"', text)
        assert addresses
        for address in addresses:
            assert (await get(address)).status_code == 200
    for path in ("/healthz", "/readyz", "/models", "/metrics", f"/decode/{stored['id']}"):
        assert (await get(ROOT + path)).status_code == 200
    assert (await http.get(f"{received}/client/client.bin")).status_code == 307


async def test_root_path_without_a_slash_is_the_landing_page(start: Start) -> None:
    http = (await start(root_path=ROOT)).http
    assert (await http.get(ROOT)).text == (await http.get("/")).text
    assert (await http.get(f"{ROOT}x")).status_code == 404
