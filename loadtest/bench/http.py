"""Requests and uploads a second, each next to the least that the same machine could do.

Absolute numbers belong to a machine and to an hour; ratios travel. So every measurement alternates
with its yardstick, round by round:

- ``GET /thumb/{id}?bytes=64`` against a bare ASGI application that answers the same 64 bytes under
  the same headers on the same server,
  and against a route of FastAPI that does the same;
- the same for 10,000 ids, and for the second read of each of them;
- ``GET /thumb`` during uploads against reads alone;
- the processor time of an upload's steps, with ``--peers`` against sharp making a WebP;
- ``POST /compress`` against decoding and reducing the same files in as many threads, and with
  ``--peers`` against other image servers that make a thumbnail of the same files;
- ``GET /thumbs`` with 50 ids, in thumbnails a second.

Everything runs on loopback, in a temporary folder, and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from loadtest.lib import peers, servers, targets, upload_cost, uploads
from loadtest.lib.load import GRID, Load, alternate, metered, reduce_only, spread
from thumbstream.ids import identify
from thumbstream.settings import available_cores
from thumbstream.storage import open_store

BYTES = 64
BATCH = 50
CALLERS = 4
"""Concurrent uploads per encoding worker: some are received while others are encoded."""
MANY = 10_000
"""Ids of reads that are spread over many streams."""
STREAM_BYTES = 450
"""Length of each of these streams."""
Running: TypeAlias = tuple[subprocess.Popen[bytes], int]
"""A server and its port."""
CONNECTION_HEADERS = {"date", "server", "connection"}
"""Header fields that the server itself adds."""


def main(argv: list[str] | None = None) -> int:
    """Run every measurement and print it; returns the exit status."""
    args = _arguments().parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        report = Bench(args, Path(name)).report()
    report["targets"] = targets.judged(report)
    print(text(report))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


class Bench:
    """All measurements of one run."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args, self._folder = args, folder
        self._threads = args.threads or available_cores()
        self._load = Load(folder, args.connections, args.seconds)
        self._files = uploads.kinds(args.pictures)
        self._peers = {
            name: (peer, peers.installed(peer, args.peers))
            for name, peer in peers.PEERS.items()
            if args.peers
        }

    def report(self) -> dict[str, Any]:
        """Measure everything; what is printed and written."""
        with servers.running(servers.SERVICE, self._settings("bench"), "/readyz") as real:
            ids = [_upload(real[1], uploads.synthetic(320, 240, seed)) for seed in range(BATCH)]
            gets = self._gets(real, ids) | self._many_gets()
            during = self._during_uploads(real, ids[0])
            posts = {kind: self._posts(real, files) for kind, files in self._files.items()}
            beside = {name: self._beside(real, *peer) for name, peer in self._peers.items()}
        sharp = self._args.peers and self._args.peers / "ipx" / "node_modules" / "sharp"
        costs = {
            kind: upload_cost.measure(files, GRID, self._args.rounds, self._args.seconds, sharp)
            for kind, files in self._files.items()
        }
        without = {**self._settings("plain"), "MEASURE_CURVES": "false"}
        with servers.running(servers.SERVICE, without, "/readyz") as plain:
            plain_posts = {kind: self._posts(plain, files) for kind, files in self._files.items()}
        return {
            "environment": _environment(self._load.generator, self._args, self._threads),
            **gets,
            "during_uploads": during,
            "cost": costs,
            "compress": posts,
            "compress_without_curves": plain_posts,
            "peers": beside,
        }

    def _settings(self, name: str) -> dict[str, str]:
        return {
            "STORE": f"sqlite:///{self._folder / name}.db",
            "ENCODE_WORKERS": str(self._threads),
        }

    def _gets(self, real: Running, ids: list[str]) -> dict[str, Any]:
        path = f"/thumb/{ids[0]}?bytes={BYTES}"
        batch_path = f"/thumbs?ids={','.join(ids)}&bytes={BYTES}"
        reply = _save_reply(real[1], path, self._folder)
        others: dict[str, tuple[str, ...]] = {
            "thumb": (str(servers.HERE / "bare_app.py"), str(reply)),
            "fastapi": (str(servers.HERE / "fastapi_app.py"),),
        }
        settings, found = self._settings("bench"), {}
        for name, arguments in others.items():
            with servers.running(arguments, settings, path) as other:
                ours, theirs = self._asking(real, path), self._asking(other, path)
                found[name] = alternate(self._args.rounds, ours, theirs)
        batch = [self._asking(real, batch_path)() for _ in range(self._args.rounds)]
        return {
            **found,
            "batch": {"ids": BATCH, "measured": batch, **spread("thumbs_per_second", batch, BATCH)},
        }

    def _many_gets(self) -> dict[str, Any]:
        """Reads of `MANY` ids: all of them in turn, and the second read of each."""
        settings = self._settings("many")
        paths = [f"/thumb/{key}?bytes={BYTES}" for key in asyncio.run(_fill(settings["STORE"]))]
        rounds, bare_app = self._args.rounds, str(servers.HERE / "bare_app.py")
        seconds: list[dict[str, Any]] = []
        with servers.running((bare_app, str(self._folder / "reply.json")), settings, "/") as bare:
            for _ in range(rounds):
                with servers.running(servers.SERVICE, settings, "/readyz") as real:
                    self._load.get_once(real[1], paths)
                    seconds.append(self._metered(real, self._load.get_once, paths)())
            second = alternate(
                rounds,
                iter(seconds).__next__,
                self._metered(bare, self._load.get_once, paths),
            )
            with servers.running(servers.SERVICE, settings, "/readyz") as real:
                for _ in range(2):
                    self._load.get_once(real[1], paths)
                many = alternate(
                    rounds,
                    self._metered(real, self._load.get_many, paths),
                    self._metered(bare, self._load.get_many, paths),
                )
        return {"many": {"ids": MANY, **many}, "second": second}

    def _during_uploads(self, real: Running, key: str) -> dict[str, Any]:
        """Reads of one id while pictures of 1 megapixel are uploaded, and reads alone."""
        files, callers = self._files[targets.SMALL], CALLERS * self._threads
        read = self._asking(real, f"/thumb/{key}?bytes={BYTES}")

        def during() -> dict[str, Any]:
            with ThreadPoolExecutor(1) as pool:
                posting = pool.submit(self._load.post, real[1], files, callers)
                result = read()
                posted = posting.result()
            return {**result, "uploads_per_second": posted["per_second"]}

        return alternate(self._args.rounds, during, read)

    def _metered(
        self,
        server: Running,
        load: Callable[[int, list[str]], dict[str, Any]],
        paths: list[str],
    ) -> Callable[[], dict[str, Any]]:
        process, port = server
        return metered(process.pid, partial(load, port, paths))

    def _asking(self, server: Running, path: str) -> Callable[[], dict[str, Any]]:
        process, port = server
        return metered(process.pid, partial(self._load.get, port, path))

    def _posts(self, real: Running, files: list[bytes]) -> dict[str, Any]:
        return alternate(
            self._args.rounds,
            self._uploads(real, files),
            partial(reduce_only, files, self._threads, self._args.seconds),
        )

    def _beside(self, real: Running, peer: peers.Peer, program: Path) -> dict[str, Any]:
        """Uploads to the service, and thumbnails that a peer makes of the same files."""
        files, callers = self._files[targets.LARGE], CALLERS * self._threads
        paths = [peer.path(str(i), GRID) for i in range(len(files))]
        with peers.serving(peer, program, files, self._threads) as (process, port):
            ask = partial(self._load.get_each, port, paths, callers)
            measured = alternate(
                self._args.rounds, self._uploads(real, files), metered(process.pid, ask)
            )
        return {"version": peer.version, "pictures": targets.LARGE, **measured}

    def _uploads(self, real: Running, files: list[bytes]) -> Callable[[], dict[str, Any]]:
        process, port = real
        callers = CALLERS * self._threads
        return metered(process.pid, partial(self._load.post, port, files, callers))


def text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    thumb, fastapi, batch = report["thumb"], report["fastapi"], report["batch"]
    lines = [
        f"GET /thumb, {BYTES} bytes  {_rate(thumb['measured'])} requests/s, "
        f"{_latency(thumb['measured'])}",
        f"bare ASGI, the same     {_rate(thumb['yardstick'])} requests/s, "
        f"{_latency(thumb['yardstick'])}",
        f"ratio                   {_ratio(thumb)}",
        f"a FastAPI route         {_rate(fastapi['yardstick'])} requests/s, "
        f"{_latency(fastapi['yardstick'])}, ratio {_ratio(fastapi)}",
        f"the same, {MANY:,} ids    {_rate(report['many']['measured'])} requests/s, "
        f"ratio {_ratio(report['many'])}",
        f"second read of each     {_rate(report['second']['measured'])} requests/s, "
        f"ratio {_ratio(report['second'])}",
        f"during uploads          {_rate(report['during_uploads']['measured'])} requests/s, "
        f"{_latency(report['during_uploads']['measured'])}, "
        f"ratio {_ratio(report['during_uploads'])}",
        f"GET /thumbs, {BATCH} ids     {batch['thumbs_per_second']:,.0f} thumbs/s, "
        f"{_latency(batch['measured'])}",
    ]
    for kind, cost in report["cost"].items():
        steps = ", ".join(f"{step} {ms:.2f}" for step, ms in cost["steps"].items())
        sharp = _sharp(cost)
        lines.append(f"processor time, {kind}: {cost['upload']:.2f} ms ({steps}){sharp}")
    for title, key in (("", "compress"), (" without curves", "compress_without_curves")):
        lines += [
            f"POST /compress{title}, {kind}: {_rate(post['measured'])} pictures/s, decode and "
            f"reduce alone {_rate(post['yardstick'])}, ratio {_ratio(post)}"
            for kind, post in report[key].items()
        ]
    lines += [
        f"POST /compress, {peer['pictures']}: {_rate(peer['measured'])} pictures/s, {name} "
        f"{_rate(peer['yardstick'])}, ratio {_ratio(peer)}"
        for name, peer in report["peers"].items()
    ]
    return "\n".join([*lines, "", targets.text(report["targets"])])


def _sharp(cost: dict[str, Any]) -> str:
    return f"; sharp {cost['sharp']:.2f} ms, ratio {cost['ratio']:.2f}" if "sharp" in cost else ""


def _rate(rounds: list[dict[str, Any]]) -> str:
    return f"{statistics.median(one['per_second'] for one in rounds):,.1f}"


def _latency(rounds: list[dict[str, Any]]) -> str:
    p50, p99 = (statistics.median(one[key] for one in rounds) for key in ("p50_ms", "p99_ms"))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _ratio(result: dict[str, Any]) -> str:
    of_time = f"; by processor time {result['cpu_ratio']:.2f}" if "cpu_ratio" in result else ""
    return (
        f"{result['ratio']:.2f} ({result['ratio_lowest']:.2f} to {result['ratio_highest']:.2f})"
        f"{of_time}"
    )


async def _fill(url: str) -> list[str]:
    """Store `MANY` streams of random bytes in the store at ``url``; returns their ids."""
    rng = random.Random(0)  # noqa: S311 - for a benchmark
    streams = [rng.randbytes(STREAM_BYTES) for _ in range(MANY)]
    store = open_store(url)
    await store.open()
    try:
        await store.put_many({identify(stream): stream for stream in streams})
    finally:
        await store.close()
    return [identify(stream) for stream in streams]


def _upload(port: int, data: bytes) -> str:
    status, _, body = servers.request(port, "POST", f"/compress?size={GRID}", data)
    if status not in (200, 201):
        raise RuntimeError(f"POST /compress answered {status}: {body[:500]!r}")
    return str(json.loads(body)["id"])


def _save_reply(port: int, path: str, folder: Path) -> Path:
    status, headers, body = servers.request(port, "GET", path)
    if status != 200 or len(body) != BYTES:
        raise RuntimeError(f"GET {path} answered {status} with {len(body)} bytes")
    kept = [pair for pair in headers if pair[0].lower() not in CONNECTION_HEADERS]
    reply = folder / "reply.json"
    reply.write_text(json.dumps({"headers": kept, "body": b64encode(body).decode()}))
    return reply


def _environment(generator: str, args: argparse.Namespace, threads: int) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "uvicorn": metadata.version("uvicorn"),
        "load": round(os.getloadavg()[0], 1),
        "load_generator": generator,
        "connections": args.connections,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "encode_threads": threads,
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.http", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "pictures", nargs="?", type=Path, help="a folder of pictures to upload as well"
    )
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive (default 64)")
    parser.add_argument("--threads", type=int, help="that encode (default: one for each core)")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="DIR",
        help="measure thumbor and ipx as well, installed into DIR where they are not there yet",
    )
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
