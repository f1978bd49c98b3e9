"""Requests and uploads a second, each beside the least that the same machine could do.

Absolute numbers belong to a machine and to an hour; ratios travel. So every measurement alternates
with its yardstick, round by round:

- ``GET /thumb/{id}?bytes=64`` against a bare ASGI application that answers the same 64 bytes under
  the same headers on the same server;
- ``POST /compress`` against decoding and reducing the same files in as many threads;
- ``GET /thumbs`` with 50 ids, in thumbnails a second.

Everything runs on loopback, in a temporary folder, and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from base64 import b64encode
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import servers
import uploads
from load import GRID, Load, alternate, reduce_only, spread
from thumbstream.settings import available_cores

BYTES = 64
BATCH = 50
CALLERS = 2
"""Uploads under way for each thread that encodes: one is received while one is worked on."""
CONNECTION_HEADERS = {"date", "server", "connection"}
"""Header fields that the server itself adds."""


def main(argv: list[str] | None = None) -> int:
    """Run every measurement and print it; returns the exit status."""
    args = _arguments().parse_args(argv)
    threads = args.threads or available_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "STORE": f"sqlite:///{folder / 'bench.db'}",
            "ENCODE_WORKERS": str(threads),
        }
        files = uploads.kinds(args.pictures)
        with servers.serving(servers.SERVICE, settings, "/readyz") as real:
            ids = [_upload(real, uploads.synthetic(320, 240, seed)) for seed in range(BATCH)]
            path = f"/thumb/{ids[0]}?bytes={BYTES}"
            reply = _save_reply(real, path, folder)
            bare_arguments = (str(servers.HERE / "bare_app.py"), str(reply))
            load = Load(folder, args.connections, args.seconds)
            with servers.serving(bare_arguments, {}, path) as bare:
                gets = alternate(
                    args.rounds, partial(load.get, real, path), partial(load.get, bare, path)
                )
            batch_path = f"/thumbs?ids={','.join(ids)}&bytes={BYTES}"
            batch = [load.get(real, batch_path) for _ in range(args.rounds)]
            posts = {
                kind: alternate(
                    args.rounds,
                    partial(load.post, real, data, CALLERS * threads),
                    partial(reduce_only, data, threads, args.seconds),
                )
                for kind, data in files.items()
            }
    report = {
        "environment": _environment(load.generator, args, threads),
        "thumb": gets,
        "batch": {"ids": BATCH, "measured": batch, **spread("thumbs_per_second", batch, BATCH)},
        "compress": posts,
    }
    print(text(report))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def text(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    thumb, batch = report["thumb"], report["batch"]
    lines = [
        f"GET /thumb, {BYTES} bytes  {_rate(thumb['measured'])} requests/s, "
        f"{_latency(thumb['measured'])}",
        f"bare ASGI, the same     {_rate(thumb['yardstick'])} requests/s, "
        f"{_latency(thumb['yardstick'])}",
        f"ratio                   {_ratio(thumb)}",
        f"GET /thumbs, {BATCH} ids     {batch['thumbs_per_second']:,.0f} thumbs/s, "
        f"{_latency(batch['measured'])}",
    ]
    lines += [
        f"POST /compress, {kind}: {_rate(post['measured'])} pictures/s, decode and reduce alone "
        f"{_rate(post['yardstick'])}, ratio {_ratio(post)}"
        for kind, post in report["compress"].items()
    ]
    return "\n".join(lines)


def _rate(rounds: list[dict[str, Any]]) -> str:
    return f"{statistics.median(one['per_second'] for one in rounds):,.1f}"


def _latency(rounds: list[dict[str, Any]]) -> str:
    p50, p99 = (statistics.median(one[key] for one in rounds) for key in ("p50_ms", "p99_ms"))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _ratio(result: dict[str, Any]) -> str:
    return f"{result['ratio']:.2f} ({result['ratio_lowest']:.2f} to {result['ratio_highest']:.2f})"


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
    parser = argparse.ArgumentParser("bench_http.py", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "pictures", nargs="?", type=Path, help="a folder of pictures to upload as well"
    )
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement (default 3)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive (default 64)")
    parser.add_argument("--threads", type=int, help="that encode (default: one for each core)")
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
