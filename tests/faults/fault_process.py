"""Services in processes of their own, to be killed and started again on the same port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fault_service import Users
from launch import Service

PROGRAM = Path(__file__).with_name("fault_service.py")


def service_process(folder: Path, store: str) -> Service:
    """A service with the fake models of the tests and without caches."""
    settings = {
        "THUMBSTREAM_STORE": store,
        "THUMBSTREAM_MEASURE_CURVES": "false",
        "THUMBSTREAM_CACHE_BYTES": "0",
        "THUMBSTREAM_ENCODE_WORKERS": "1",
    }
    return Service(folder, settings, program=[PROGRAM])


@asynccontextmanager
async def users_of(process: Service) -> AsyncIterator[Users]:
    """Users of the service on its port."""
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as http:
        yield Users(http)
