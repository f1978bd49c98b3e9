"""A service on a real store, and clients that remember what it acknowledged.

Also a program: ``python fault_service.py`` serves stand-in models with the settings of its
environment.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from fakes import FakeModels, photo
from service_harness import assert_problem

from thumbstream.ids import identify
from thumbstream.server.app import Application, create_app, serve
from thumbstream.settings import Settings, load_settings
from thumbstream.storage import Store

BATCH = 50
"""Ids in one request, when all of them are read again."""


@asynccontextmanager
async def service(store: str, *, built: Store | None = None, **chosen: Any) -> AsyncIterator[Users]:
    """Users of a service in this process. Streams come from the store, not from memory.

    ``built`` stands in for the store that the settings name.
    """
    settings = {
        "store": store,
        "encode_workers": 1,
        "cache_bytes": 0,
        "measure_curves": False,
    } | chosen
    app = create_app(Settings(**settings), models=FakeModels(), store=built)
    await app.services.open()
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Users(http, app)
    finally:
        await app.services.close()


class Users:
    """Clients that upload, read and count; every response must be a success or a problem."""

    def __init__(self, http: httpx.AsyncClient, app: Application | None = None) -> None:
        self.http = http
        self.app = app
        """The service itself, where it runs in this process."""
        self.acknowledged: list[str] = []
        """Ids that were answered with 201 or 200, in that order."""
        self.refused_uploads = 0
        self.served_reads = 0
        self.refused_reads = 0
        self.full = 0
        self._seeds = itertools.count()

    async def upload(self) -> bool:
        """Post a new picture; returns whether it was accepted."""
        picture = photo(16, 16, seed=next(self._seeds))
        answer = await self.http.post(
            "/compress?size=16", content=picture, headers={"Content-Type": "image/png"}
        )
        if answer.status_code in (200, 201):
            self.acknowledged.append(answer.json()["id"])
            return True
        if answer.status_code == 507:
            assert_problem(answer, 507, "store_full")
            self.full += 1
            return False
        document = assert_problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"]
        assert document["detail"] == "The store does not answer."
        self.refused_uploads += 1
        return False

    async def read(self, key: str) -> bool:
        """Get an acknowledged stream; returns whether it was served unchanged."""
        answer = await self.http.get(f"/thumb/{key}")
        if answer.status_code == 200:
            assert identify(answer.content) == key
            self.served_reads += 1
            return True
        assert_problem(answer, 503, "store_unavailable")
        self.refused_reads += 1
        return False

    async def lost(self) -> list[str]:
        """The acknowledged streams that are missing or damaged."""
        lost = []
        for start in range(0, len(self.acknowledged), BATCH):
            keys = self.acknowledged[start : start + BATCH]
            answer = await self.http.get(f"/thumbs?ids={','.join(keys)}")
            assert answer.status_code == 200, answer.text
            lost += [
                key
                for key, stream in zip(keys, split(answer.content), strict=True)
                if identify(stream) != key
            ]
        return lost

    async def ready(self) -> bool:
        answer = await self.http.get("/readyz")
        if answer.status_code != 200:
            assert_problem(answer, 503, "not_ready")
        return answer.status_code == 200

    async def healthy(self) -> bool:
        return (await self.http.get("/healthz")).status_code == 200

    @asynccontextmanager
    async def load(self, uploaders: int = 4, readers: int = 4) -> AsyncIterator[None]:
        """Uploads and reads in the background; other responses than right or problem ones fail."""
        tasks = [asyncio.create_task(self._uploading()) for _ in range(uploaders)]
        tasks += [asyncio.create_task(self._reading()) for _ in range(readers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if not isinstance(result, asyncio.CancelledError):
                raise AssertionError("a user stopped") from result

    async def _uploading(self) -> None:
        while True:
            if not await self.upload():
                await asyncio.sleep(0.05)

    async def _reading(self) -> None:
        for number in itertools.count():
            keys = self.acknowledged
            if not keys or not await self.read(keys[(number * 31) % len(keys)]):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0)


def split(batch: bytes) -> list[bytes]:
    """The entries of a ``/thumbs`` answer."""
    entries = []
    while batch:
        length = int.from_bytes(batch[:2], "big")
        entries.append(batch[2 : 2 + length])
        batch = batch[2 + length :]
    return entries


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until ``condition``, a function or coroutine function, is true."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        raise SystemExit(0 if serve(load_settings(), models=FakeModels()) else 1)
