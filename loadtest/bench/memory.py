"""Memory of the service over many uploads of different pictures.

    python -m loadtest.bench.memory --uploads 20000 --out loadtest/results/memory.json

Starts the real service (one process, SQLite in a temporary folder), uploads pictures of many shapes
and formats, no two the same, and reads from the kernel what the service holds in memory. Prints
resident memory by uploads, and ends with status 1 when it still grew after the first fifth: then
every thread has met every kind of picture, and what comes later is a leak.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from loadtest.lib import servers
from thumbstream.settings import available_cores

SIDES = range(40, 400, 12)
"""Pixels."""
FORMATS = ("JPEG", "JPEG", "PNG", "WEBP")
GRIDS = (32, 32, 32, 64)
SETTLED = 0.2
"""Part of the uploads after which memory should no longer grow."""
MOST_GROWTH_MIB = 16.0
"""From there to the end, from the median of the first tenth to the median of the last."""
SAMPLES = 200
KIB_IN_MIB = 1024


def main(argv: list[str] | None = None) -> int:
    """Upload, print and judge; returns the exit status."""
    args = _arguments().parse_args(argv)
    threads = args.threads or available_cores()
    with tempfile.TemporaryDirectory() as name:
        settings = {
            "STORE": f"sqlite:///{Path(name) / 'soak.db'}",
            "ENCODE_WORKERS": str(threads),
        }
        with servers.running(servers.SERVICE, settings, "/readyz") as (process, port):
            soak = Soak(port, process.pid, args.uploads)
            report = soak.run(args.connections or 2 * threads)
    report["environment"] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "libc": " ".join(platform.libc_ver()),
        "encode_threads": threads,
    }
    report["grown"] = grown(report["memory"])
    report["target_mib"] = MOST_GROWTH_MIB
    report["met"] = report["grown"] is None or report["grown"] <= MOST_GROWTH_MIB
    print(text(report))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if report["met"] else 1


class Soak:
    """Uploads to one service, and its memory meanwhile."""

    def __init__(self, port: int, pid: int, uploads: int) -> None:
        self._port, self._pid, self._uploads = port, pid, uploads
        self._every = max(1, uploads // SAMPLES)
        self._seeds = iter(range(uploads))
        self._lock = Lock()
        self._done = 0
        self._ids: set[str] = set()
        self._memory: list[dict[str, float]] = []
        self._started = 0.0

    def run(self, connections: int) -> dict[str, Any]:
        """Upload everything over ``connections`` connections."""
        self._started = time.perf_counter()
        self._sample()
        with ThreadPoolExecutor(connections) as pool:
            for caller in [pool.submit(self._upload) for _ in range(connections)]:
                caller.result()
        seconds = time.perf_counter() - self._started
        self._sample()
        return {
            "uploads": self._done,
            "different_streams": len(self._ids),
            "seconds": seconds,
            "per_second": self._done / seconds,
            # The kernel notes a peak late and counts in lots: what was seen may lie above it.
            "peak_mib": max(
                memory_mib(self._pid, "VmHWM"), *(one["rss_mib"] for one in self._memory)
            ),
            "memory": self._memory,
        }

    def _upload(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            while (seed := self._next()) is not None:
                path = f"/compress?size={GRIDS[seed % len(GRIDS)]}"
                kind = {"Content-Type": "application/octet-stream"}
                connection.request("POST", path, picture(seed), kind)
                response = connection.getresponse()
                body = response.read()
                if response.status not in (200, 201):
                    raise RuntimeError(f"picture {seed} was answered {response.status}: {body!r}")
                self._uploaded(str(json.loads(body)["id"]))
        finally:
            connection.close()

    def _next(self) -> int | None:
        with self._lock:
            return next(self._seeds, None)

    def _uploaded(self, key: str) -> None:
        with self._lock:
            self._ids.add(key)
            self._done += 1
            if self._done % self._every == 0:
                self._sample()

    def _sample(self) -> None:
        self._memory.append(
            {
                "uploads": self._done,
                "seconds": round(time.perf_counter() - self._started, 2),
                "rss_mib": round(memory_mib(self._pid, "VmRSS"), 1),
            }
        )


def picture(seed: int) -> bytes:
    """A picture file that no other seed gives."""
    rng = np.random.default_rng(seed)
    form = FORMATS[seed % len(FORMATS)]
    mode = "RGBA" if form != "JPEG" and seed % 3 == 0 else "RGB"
    width, height = (int(side) for side in rng.choice(SIDES, 2))
    coarse = rng.integers(0, 256, (5, 7, len(mode)), np.uint8)
    shapes = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    shapes.save(out, form, quality=80)
    return out.getvalue()


def memory_mib(pid: int, field: str) -> float:
    """``VmRSS`` (resident memory) or ``VmHWM`` (its peak) of a process, as Linux tells it."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / KIB_IN_MIB
    raise RuntimeError(f"the kernel says no {field} of process {pid}")


def grown(memory: list[dict[str, float]]) -> float | None:
    """MiB from the settled service to the end; None of too few samples to tell."""
    settled = [m["rss_mib"] for m in memory if m["uploads"] >= SETTLED * memory[-1]["uploads"]]
    some = len(settled) // 10
    if not some:
        return None
    return round(statistics.median(settled[-some:]) - statistics.median(settled[:some]), 1)


def text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    memory, change = report["memory"], report["grown"]
    lines = [f"{'uploads':>8} {'seconds':>8} {'resident':>11}"]
    lines += [
        f"{m['uploads']:>8} {m['seconds']:>8.0f} {m['rss_mib']:>7.1f} MiB" for m in _tenths(memory)
    ]
    lines.append(
        f"{report['uploads']} uploads, {report['per_second']:.1f}/s, {report['different_streams']} "
        f"different streams; peak {report['peak_mib']:.1f} MiB"
    )
    if change is None:
        lines.append("too few uploads to say whether memory grows")
    else:
        lines.append(
            f"grown by {change:+.1f} MiB after the first {SETTLED:.0%}; target: at most "
            f"{report['target_mib']:.0f}: {'met' if report['met'] else 'missed'}"
        )
    return "\n".join(lines)


def _tenths(memory: list[dict[str, float]]) -> Iterator[dict[str, float]]:
    step = max(1, len(memory) // 10)
    yield from islice(memory, 0, len(memory) - 1, step)
    yield memory[-1]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--uploads", type=int, default=20_000, help="(default 20000)")
    parser.add_argument("--connections", type=int, help="(default: two for each thread)")
    parser.add_argument("--threads", type=int, help="that encode (default: one for each core)")
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
