"""Measurements: load on a server, work without one, and the two in turns."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

from loadtest.lib import servers, wrk
from thumbstream import images

GRID = 32
"""Long side of the thumbnails that are made."""
CLIENT = Path(__file__).resolve().parent / "load_client.py"


class Load:
    """Starts load generators: wrk for GET where it is installed, else this folder's own."""

    def __init__(self, folder: Path, connections: int, seconds: float) -> None:
        self._folder = folder
        self._connections = connections
        self._seconds = seconds
        self._wrk = shutil.which("wrk") if seconds >= 1 else None  # wrk counts whole seconds
        self.generator = "wrk" if self._wrk else "load_client.py"

    def get(self, port: int, path: str) -> dict[str, Any]:
        """GET ``path`` over and over."""
        if self._wrk:
            url = f"http://127.0.0.1:{port}{path}"
            return wrk.run(self._wrk, url, self._connections, round(self._seconds))
        return self._own(port, self._connections, [_get(path)])

    def get_many(self, port: int, paths: list[str]) -> dict[str, Any]:
        """GET many ``paths`` in turn over and over."""
        listed = self._listed(paths)
        if not self._wrk:
            return self._run(port, self._seconds, self._connections, [listed])
        script = self._folder / "cycle.lua"
        script.write_text(wrk.CYCLE.format(paths=str(listed)), encoding="ascii")
        url = f"http://127.0.0.1:{port}/"
        return wrk.run(self._wrk, url, self._connections, round(self._seconds), script)

    def get_once(self, port: int, paths: list[str]) -> dict[str, Any]:
        """GET each of ``paths`` once."""
        return self._run(port, 0, self._connections, [self._listed(paths)])

    def _listed(self, paths: list[str]) -> Path:
        listed = self._folder / "many.paths"
        listed.write_text("\n".join(paths), encoding="ascii")
        return listed

    def post(self, port: int, files: list[bytes], connections: int) -> dict[str, Any]:
        """POST the ``files`` to /compress over and over, ``connections`` at a time."""
        return self._own(port, connections, [_post(data) for data in files])

    def get_each(self, port: int, paths: list[str], connections: int) -> dict[str, Any]:
        """GET the ``paths`` in turn over and over, ``connections`` at a time."""
        return self._own(port, connections, [_get(path) for path in paths])

    def _own(self, port: int, connections: int, requests: list[bytes]) -> dict[str, Any]:
        paths = [self._folder / f"request-{i}" for i in range(len(requests))]
        for path, request in zip(paths, requests, strict=True):
            path.write_bytes(request)
        return self._run(port, self._seconds, connections, paths)

    def _run(
        self, port: int, seconds: float, connections: int, requests: list[Path]
    ) -> dict[str, Any]:
        options = [str(port), str(seconds), str(connections), *map(str, requests)]
        done = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, str(CLIENT), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 120,
        )
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(done.stdout)
        failed = {
            status: n for status, n in result["statuses"].items() if not status.startswith("2")
        }
        if failed:
            raise RuntimeError(f"the service answered {failed}")
        return result


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _post(data: bytes) -> bytes:
    head = (
        f"POST /compress?size={GRID} HTTP/1.1",
        "Host: bench",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(data)}",
    )
    return "\r\n".join((*head, "", "")).encode() + data


def alternate(
    rounds: int, ours: Callable[[], dict[str, Any]], yardstick: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Measure both ``rounds`` times in turns; the ratio of each round, and their spread."""
    measured, bare, ratios = [], [], []
    for _ in range(rounds):
        measured.append(ours())
        bare.append(yardstick())
        ratios.append({"per_second": measured[-1]["per_second"] / bare[-1]["per_second"]})
    result = {"measured": measured, "yardstick": bare, **spread("ratio", ratios)}
    if all("cpu_ms" in one for one in measured + bare):
        mine, other = (statistics.median(r["cpu_ms"] for r in rs) for rs in (measured, bare))
        result["cpu_ratio"] = other / mine
    return result


def metered(server: int, measure: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """``measure``, with ``cpu_ms``: processor time of the process group ``server`` per request.

    Neighbours take time from a server, but hardly change how much of it an answer needs.
    """

    def measured() -> dict[str, Any]:
        before = servers.cpu_seconds(server)
        result = measure()
        after = servers.cpu_seconds(server)
        if before is not None and after is not None:
            result["cpu_ms"] = 1000 * (after - before) / result["requests"]
        return result

    return measured


def spread(name: str, rounds: list[dict[str, Any]], times: float = 1) -> dict[str, Any]:
    """Median, lowest and highest ``per_second`` of the rounds, multiplied by ``times``."""
    values = [times * one["per_second"] for one in rounds]
    return {
        name: statistics.median(values),
        f"{name}_lowest": min(values),
        f"{name}_highest": max(values),
    }


def reduce_only(files: list[bytes], threads: int, seconds: float) -> dict[str, Any]:
    """Decode and reduce ``files`` in turn in ``threads`` threads; pictures a second."""
    deadline = time.perf_counter() + seconds

    def work(first: int) -> int:
        done = 0
        for data in cycle(files[first:] + files[:first]):
            images.thumbnail(data, GRID)
            done += 1
            if time.perf_counter() >= deadline:
                break
        return done

    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, [i % len(files) for i in range(threads)]))
    return {
        "requests": done,
        "per_second": done / (time.perf_counter() - started),
        "cpu_ms": 1000 * (time.process_time() - cpu) / done,
    }
