"""The browser client in a real Chromium, compared with ThumbHash and onnxruntime-web in one run.

Every contender has a page of its own in every round, one after the other, so that a machine that
slows down slows all of them. Reported are medians of the rounds and ratios to thumbstream in
WebAssembly. A round before the first fills the browser's cache. The peers are installed with npm
into a temporary folder, and left out without npm. Pixels of plain JavaScript must be those of
WebAssembly within 1 of 255; ``tests/models/test_client_file.py`` compares both with ONNX Runtime.

Exits with 1 if a target of `loadtest.report.client` is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import thumbstream
from loadtest.lib import client_browser, client_peers, servers, uploads
from loadtest.report.client import ELEMENTS, HASH, ONNX, PLAIN, WASM, judged, table, targets

BYTES = 64
SIZE = 32  # pixels of a picture's sides
MODEL = Path(__file__).resolve().parents[2] / "models/zoo/thumbstream-2"
CLIENT = Path(thumbstream.__file__).parent / "web" / "client"
CODE = {
    WASM: ("thumbstream.min.js",),
    PLAIN: ("thumbstream.min.js", "plain_kernels.min.js"),
    ELEMENTS: ("images.min.js", "thumbstream.min.js", "worker.min.js"),
}
WEIGHTS = ("client.bin",)
ROUNDING = 1  # of 255

Figures = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments().parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        beside = _peers(folder, args.peers)
        (folder / "synthesis.onnx").write_bytes((MODEL / "synthesis.onnx").read_bytes())
        settings = {"STORE": f"sqlite:///{folder / 'bench.db'}"}
        with (
            servers.serving(servers.SERVICE, settings, "/readyz") as port,
            client_peers.served(folder) as files,
            client_browser.opened(f"http://127.0.0.1:{port}") as browser,
        ):
            where = _where(port, files)
            streams = [_stream(port, seed) for seed in range(args.thumbnails)]
            names = [WASM, PLAIN, *([HASH, ONNX] if beside else [])]
            times = _measured(browser, names, where, streams, args)
            moved = browser.gallery(args.gallery)
            chromium = browser.version
        report: dict[str, Any] = {
            "environment": _environment(args) | {"chromium": chromium},
            "bytes": _sizes(folder if beside else None),
            "milliseconds": times,
            "layout_shift": moved,
        }
    report["targets"] = judged(report)
    print(f"{table(report)}\n\n{targets(report)}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(target["met"] for target in report["targets"].values()) else 1


def _peers(folder: Path, installed: Path | None) -> bool:
    """Whether there are peers, in ``node_modules`` of ``folder`` then."""
    try:
        if installed:
            (folder / "node_modules").symlink_to(installed.resolve())
        else:
            client_peers.install(folder)
    except client_peers.PeersError as error:
        print(f"Without {HASH} and {ONNX}: {error}")
        return False
    return True


def _where(port: int, files: str) -> dict[str, object]:
    """Addresses of what pages load; those of the client are immutable ones."""
    _, headers, _ = servers.request(port, "GET", "/client/client.bin")
    place = dict(headers)["location"].removesuffix("client.bin")
    return {
        "client": f"/client/{place}",
        "peers": f"{files}node_modules/",
        "network": f"{files}synthesis.onnx",
    }


def _stream(port: int, seed: int) -> str:
    """The first bytes of a picture's stream in base64."""
    picture = uploads.synthetic(240, 240, seed)
    status, _, body = servers.request(port, "POST", f"/compress?size={SIZE}", picture)
    if status not in (200, 201):
        raise RuntimeError(f"no stream: {status} {body[:200]!r}")
    _, _, stream = servers.request(port, "GET", f"/thumb/{json.loads(body)['id']}?bytes={BYTES}")
    return b64encode(stream).decode()


def _measured(
    browser: client_browser.Browser,
    names: list[str],
    where: dict[str, object],
    streams: list[str],
    args: argparse.Namespace,
) -> dict[str, Figures]:
    """Medians of the rounds by contender; of the longest task the longest."""
    rounds: dict[str, list[Figures]] = {name: [] for name in [*names, ELEMENTS]}
    for number in range(args.rounds + 1):
        for name, figures in rounds.items():
            if name == ELEMENTS:
                found = browser.elements(where, streams)
            else:
                found = browser.contender(name, where, streams, args.repeats)
                difference = found.pop("difference")
                if difference is not None and difference > ROUNDING:
                    raise RuntimeError(f"{name} draws another picture: {difference} of 255 off")
            if number:  # the first round filled the cache
                figures.append(found)
    return {
        name: {
            key: round(most([figures[key] for figures in found]), 2)
            for key in found[0]
            for most in [max if key == "task" else statistics.median]
        }
        for name, found in rounds.items()
    }


def _sizes(folder: Path | None) -> dict[str, dict[str, int]]:
    """Gzipped bytes of the code, and of it with the weights; peers as they are published."""
    sizes = {name: _gzipped(CLIENT, names, WEIGHTS) for name, names in CODE.items()}
    if folder:
        for name, package in ((HASH, "thumbhash"), (ONNX, "onnxruntime-web")):
            files = [f"node_modules/{package}/{file}" for file in client_peers.FILES[package]]
            sizes[name] = _gzipped(folder, files, ["synthesis.onnx"] if name == ONNX else [])
    return sizes


def _gzipped(folder: Path, code: Sequence[str], weights: Sequence[str]) -> dict[str, int]:
    bytes_of = [len(gzip.compress((folder / name).read_bytes(), 9)) for name in (*code, *weights)]
    return {"code": sum(bytes_of[: len(code)]), "all": sum(bytes_of)}


def _environment(args: argparse.Namespace) -> Figures:
    return {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "rounds": args.rounds,
        "thumbnails": args.thumbnails,
        "gallery": args.gallery,
        "bytes_each": BYTES,
        "peers": client_peers.VERSIONS,
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.client", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=7, help="pages for each (default 7)")
    parser.add_argument("--repeats", type=int, default=2, help="turns in a page (default 2)")
    parser.add_argument("--thumbnails", type=int, default=100, help="of a page (default 100)")
    parser.add_argument("--gallery", type=int, default=60, help="its pictures (default 60)")
    parser.add_argument("--peers", type=Path, help="node_modules that has them, to install nothing")
    parser.add_argument("--out", type=Path, help="write the report to this JSON file, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
