"""A service in this process (``start``), and one in a process of its own (``launch``)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from fakes import FakeModels, MemoryStore  # noqa: E402
from service_harness import Launch, Launched, Running, Start  # noqa: E402

from thumbstream.server.app import create_app  # noqa: E402
from thumbstream.settings import Settings  # noqa: E402

START_SECONDS = 60


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """``await start(**settings)`` opens a service that closes after the test."""
    async with AsyncExitStack() as stack:

        async def start_one(**chosen: Any) -> Running:
            models, store = FakeModels(), MemoryStore()
            app = create_app(Settings(**{"encode_workers": 2} | chosen), models=models, store=store)
            await app.services.open()
            stack.push_async_callback(app.services.close)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
            http = httpx.AsyncClient(transport=transport, base_url="http://test")
            await stack.enter_async_context(http)
            return Running(app, http, store, models)

        yield start_one


@pytest.fixture
async def running(start: Start) -> Running:
    return await start()


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """``launch(THUMBSTREAM_X="..")`` starts a service on a free port; stopped after the module."""
    processes = []

    def launch_one(**environment: str) -> Launched:
        base = {k: v for k, v in os.environ.items() if not k.startswith("THUMBSTREAM_")}
        process = subprocess.Popen(
            [sys.executable, str(HERE / "fakes.py")],
            env=base
            | {"THUMBSTREAM_PORT": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
            | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        launched = Launched(process, 0)
        started: Queue[int | None] = Queue()

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                launched.lines.append(line)
                address = re.search(r"demo page http://127\.0\.0\.1:(\d+)/", line)
                if address:
                    started.put(int(address[1]))
            started.put(None)

        threading.Thread(target=read, daemon=True).start()
        port = started.get(timeout=START_SECONDS)
        assert port is not None, "".join(launched.lines)
        launched.port = port
        return launched

    yield launch_one
    for process in processes:
        process.kill()
        process.wait(10)
