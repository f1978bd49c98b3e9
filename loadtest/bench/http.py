"""Requests and uploads a second, each beside the least that the same machine could do.

Absolute numbers belong to a machine and to an hour; ratios travel. So every measurement alternates
with its yardstick, round by round:

- ``GET /thumb/{id}?bytes=64`` against a bare ASGI application that answers the same 64 bytes under
  the same headers on the same server,
  and against a route of FastAPI that does the same;
- ``POST /compress`` against decoding and reducing the same files in as many threads, and with
  ``--peers`` against other image servers that make a thumbnail of the same files;
- ``GET /thumbs`` with 50 ids, in thumbnails a second.

Everything runs on loopback, in a temporary folder, and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from loadtest.lib import peers, servers, targets, uploads
from loadtest.lib.load import GRID, Load, alternate, metered, reduce_only, spread
from thumbstream.settings import available_cores

BYTES = 64
BATCH = 50
CALLERS = 2
"""Concurrent uploads per encoding worker: one is received while another is encoded."""
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
            gets = self._gets(real, ids)
            posts = {kind: self._posts(real, files) for kind, files in self._files.items()}
            beside = {name: self._beside(real, *peer) for name, peer in self._peers.items()}
        without = {**self._settings("plain"), "MEASURE_CURVES": "false"}
        with servers.running(servers.SERVICE, without, "/readyz") as plain:
            plain_posts = {kind: self._posts(plain, files) for kind, files in self._files.items()}
        return {
            "environment": _environment(self._load.generator, self._args, self._threads),
            **gets,
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
        f"GET /thumbs, {BATCH} ids     {batch['thumbs_per_second']:,.0f} thumbs/s, "
        f"{_latency(batch['measured'])}",
    ]
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
