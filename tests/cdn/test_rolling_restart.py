"""Two replicas are restarted one after the other, under load, and no request fails."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from cdn_servers import CountedService, Nginx, Upload, picture

READERS = 3
UPLOADERS = 2


def test_rolling_restart_fails_no_request(folder: Path, upload: Upload) -> None:
    settings = {
        "THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db",
        "THUMBSTREAM_MEASURE_CURVES": "false",  # faster uploads: more of them are on the way
        "THUMBSTREAM_ENCODE_WORKERS": "1",
    }
    replicas = [CountedService(folder, settings) for _ in range(2)]
    nginx = Nginx(folder / "nginx", replicas)
    done = threading.Event()
    answers: Counter[object] = Counter()
    acknowledged: list[str] = []
    try:
        for replica in replicas:
            replica.start()
        nginx.start()
        keys = [upload(replicas[0].url) for _ in range(4)]

        def read(number: int) -> None:
            # Another signature, which means nothing here: a cache miss each time.
            with httpx.Client(base_url=nginx.url, timeout=30) as client:
                count = 0
                while not done.is_set():
                    count += 1
                    key = keys[count % len(keys)]
                    _ask(answers, lambda: client.get(f"/thumb/{key}?bytes=32&sig={number}.{count}"))  # noqa: B023

        def write(number: int) -> None:
            with httpx.Client(base_url=nginx.url, timeout=30) as client:
                count = 0
                while not done.is_set():
                    count += 1
                    data = picture(1_000_000 * (number + 1) + count)
                    answer = _ask(answers, lambda: client.post("/compress", content=data))  # noqa: B023
                    if answer is not None and answer.is_success:
                        acknowledged.append(answer.json()["id"])

        with ThreadPoolExecutor(READERS + UPLOADERS) as pool:
            callers = [pool.submit(read, n) for n in range(READERS)]
            callers += [pool.submit(write, n) for n in range(UPLOADERS)]
            try:
                for replica in replicas:
                    before = replica.requests("/thumb/{id}"), replica.requests("/compress")
                    _until(lambda: replica.requests("/thumb/{id}") > before[0] + 20)  # noqa: B023
                    assert replica.stop() == 0
                    replica.start()
                    _until(lambda: replica.requests("/compress") > 1)  # noqa: B023
            finally:
                done.set()
            for caller in callers:
                caller.result()

        assert set(answers) <= {200, 201}, answers
        assert answers[200] > 100
        assert answers[201] > 10
        for key in acknowledged:
            assert httpx.get(f"{nginx.url}/thumb/{key}").status_code == 200
    finally:
        nginx.stop()
        for replica in replicas:
            replica.stop()


def _ask(answers: Counter[object], request: Callable[[], httpx.Response]) -> httpx.Response | None:
    try:
        answer = request()
    except httpx.TransportError as error:
        answers[repr(error)] += 1
        return None
    answers[answer.status_code] += 1
    return answer


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the load did not reach the replica"
        time.sleep(0.1)
