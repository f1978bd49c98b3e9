"""First visits of a page with one photograph, in a throttled Chromium: when what is seen.

    python -m loadtest.bench.visits [--rounds 9] [--out FILE]

Three pages, which differ in their previews only: ``<img>`` alone, with ThumbHash, and with
``<img data-thumb>``. Every visit has an empty cache of its own. The pages take turns, so that a
machine that slows down slows all of them. Reported are medians in milliseconds from the start of
the navigation: the first preview, the first contentful and the largest paint, and the complete
photograph. *Sharpened* is a second visit whose client is cached and whose photograph is not.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import statistics
import tempfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import thumbstream
from loadtest.lib import client_browser, client_peers

CLIENT = Path(thumbstream.__file__).parent / "web" / "client"
PHOTOGRAPH_BYTES = 255_000
SIZE = (1200, 800)
INLINED = 24  # bytes, as many as ThumbHash has
ALONE, HASH, STREAM = "`<img>` alone", "ThumbHash", "`<img data-thumb>`"
RATES = {"1.6 Mbit/s, 150 ms": (1_600_000, 150), "400 kbit/s, 150 ms": (400_000, 150)}
MANY = 100
SINCE_SCRIPT = """painted - performance.getEntriesByType("resource")
  .find(({ name }) => name.endsWith("images.min.js")).responseEnd"""

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Visit</title>
<link rel="icon" href="data:,"><h1>A lake at dawn</h1>
<script>
window.seen = {};
const see = (name) => (seen[name] ??= performance.now());
new PerformanceObserver((list) => list.getEntries().forEach(({ startTime }) =>
  (seen.largest = startTime))).observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => list.getEntries().forEach(({ name, startTime }) =>
  name.startsWith("first-c") && (seen.first = startTime)))
  .observe({ type: "paint", buffered: true });
document.addEventListener("preview", () => seen.preview ? see("sharpened") : see("preview"), true);
document.addEventListener("load", ({ target }) => target.id === "it" && see("complete"), true);
</script>
{script}
<img id="it" src="/photograph.jpg?{visit}" alt="A lake" width="600" height="400"{attributes}>
"""
HASH_SCRIPT = """<script type="module">
import { thumbHashToDataURL } from "/thumbhash.js";
it.style.background = `url(${thumbHashToDataURL(Uint8Array.from(atob(it.dataset.hash),
  (letter) => letter.charCodeAt(0)))}) 0 0 / 100% 100%`;
it.dispatchEvent(new Event("preview"));
</script>"""
STREAM_SCRIPT = '<script type="module" src="/client/images.min.js"></script>'
THUMBHASH = "1QcSHQRnh493V4dIh4eXh1h4kJUI"  # of its own documentation

Figures = dict[str, float]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments().parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as name,
        _served(Path(name)) as origin,
        sync_playwright() as playwright,
    ):
        path = client_browser.chromium_path()
        browser = playwright.chromium.launch(
            executable_path=path, args=list(client_browser.CHROMIUM_FLAGS)
        )
        report: dict[str, Any] = {
            "environment": {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
                            "rounds": args.rounds, "chromium": browser.version,
                            "photograph": PHOTOGRAPH_BYTES, "inlined": INLINED},
            "visits": {rate: _visits(browser, origin, rate, args.rounds) for rate in RATES},
            "many": _many(browser, origin),
        }  # fmt: skip
        browser.close()
    print(table(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def table(report: dict[str, Any]) -> str:
    """The medians in Markdown."""
    lines = ["| | preview | sharpened | first paint | largest paint | photograph |",
             "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for rate, pages in report["visits"].items():
        for name, figures in pages.items():
            cells = [figures.get(key) for key in
                     ("preview", "sharpened", "first", "largest", "complete")]  # fmt: skip
            shown = " | ".join("-" if cell is None else f"{cell:,.0f}" for cell in cells)
            lines.append(f"| {rate}: {name} | {shown} |")
    many = f"{MANY} previews: {report['many']:.0f} ms from the arrival of the script"
    return "\n".join([*lines, "", many])


def _visits(browser: Browser, origin: str, rate: str, rounds: int) -> dict[str, Figures]:
    found: dict[str, list[Figures]] = {
        name: [] for name in (ALONE, HASH, STREAM, f"{STREAM}, cached")
    }
    for number in range(rounds):
        for name in (ALONE, HASH, STREAM):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            found[name].append(_visit(context, origin, name, rate, number))
            if name == STREAM:
                page = context.new_page()
                page.goto(f"{origin}/page?{STREAM}&{number}.0")
                page.evaluate("import('/client/images.min.js').then((it) => it.sharpen())")
                page.close()
                found[f"{name}, cached"].append(_visit(context, origin, name, rate, number + 0.5))
            context.close()
    return {
        name: {key: round(statistics.median(figures[key] for figures in visits if key in figures))
               for key in sorted({key for figures in visits for key in figures})}
        for name, visits in found.items()
    }  # fmt: skip


def _visit(context: BrowserContext, origin: str, name: str, rate: str, number: float) -> Figures:
    page = context.new_page()
    _throttle(page, *RATES[rate])
    page.goto(f"{origin}/page?{name}&{number}", wait_until="commit")
    page.wait_for_function("globalThis.seen?.complete", timeout=120_000)
    page.wait_for_timeout(300)
    figures: Figures = page.evaluate("seen")
    page.close()
    return figures


def _throttle(page: Page, bits: int, latency: int) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": latency, "downloadThroughput": bits / 8,
                  "uploadThroughput": bits / 8}  # fmt: skip
    session.send("Network.emulateNetworkConditions", conditions)


def _many(browser: Browser, origin: str) -> float:
    """Milliseconds from the arrival of the script to the last of many previews."""
    times = []
    for _ in range(5):
        page = browser.new_page()
        page.goto(f"{origin}/many")
        page.wait_for_function("globalThis.painted")
        times.append(float(page.evaluate(SINCE_SCRIPT)))
        page.close()
    return statistics.median(times)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A server of the pages, the photograph and the client's files, on loopback."""
    files = _files(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            kind, body = files[path] if path in files else ("text/html", _page(query, files))
            packed = kind != "image/jpeg"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            caching = "no-store" if kind == "text/html" else "max-age=31536000, immutable"
            self.send_header("Cache-Control", caching)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _files(folder: Path) -> dict[str, tuple[str, bytes]]:
    """By path: media type and body, gzipped unless it is a picture."""
    types = {".js": "text/javascript", ".bin": "application/octet-stream"}
    files = {f"/client/{path.name}": (types[path.suffix], path.read_bytes())
             for path in CLIENT.iterdir() if path.suffix in types}  # fmt: skip
    photograph = _photograph()
    stream = thumbstream.encode(photograph, size=32)
    client_peers.install(folder)
    peer = folder / "node_modules/thumbhash/thumbhash.js"
    files["/thumbhash.js"] = ("text/javascript", peer.read_bytes())
    files["/stream"] = ("text/plain", b64encode(stream[:INLINED]))
    files["/many"] = ("text/html", _many_page(stream))
    packed = {path: (kind, gzip.compress(body, 9)) for path, (kind, body) in files.items()}
    return packed | {"/photograph.jpg": ("image/jpeg", photograph)}


def _photograph() -> bytes:
    """A JPEG file of about `PHOTOGRAPH_BYTES`: waves and noise."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    waves = [120 + 60 * np.sin(x / a + y / b) for a, b in ((190, 140), (310, 90), (80, 230))]
    noise = np.random.default_rng(0).normal(0, 9, (height, width, 1))
    picture = Image.fromarray(np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8))
    files = []
    for quality in range(20, 96, 5):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        files.append(buffer.getvalue())
    return min(files, key=lambda file: abs(len(file) - PHOTOGRAPH_BYTES))


def _page(query: str, files: dict[str, tuple[str, bytes]]) -> bytes:
    script, attributes = "", ""
    if "data-thumb" in query:
        stream = gzip.decompress(files["/stream"][1]).decode()
        script, attributes = STREAM_SCRIPT, f' data-thumb="{stream}"'
    elif HASH in query:
        script, attributes = HASH_SCRIPT, f' data-hash="{THUMBHASH}"'
    visit = query.rpartition("&")[2]
    page = PAGE.replace("{script}", script).replace("{attributes}", attributes)
    return gzip.compress(page.replace("{visit}", visit).encode(), 9)


def _many_page(stream: bytes) -> bytes:
    images = "".join(
        f'<img width="60" height="40" alt="" src="/never?{i}" '
        f'data-thumb="{b64encode(stream[: INLINED + i % 40]).decode()}">'
        for i in range(MANY)
    )
    script = """<script type="module">
    let count = 0;
    document.addEventListener("preview", () => {
      if (++count === 100) window.painted = performance.now();
    }, true);
    </script>
    <script type="module" src="/client/images.min.js"></script>"""
    return f"<!doctype html><title>Many</title>{images}{script}".encode()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m loadtest.bench.visits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=9, help="visits of each page (default 9)")
    parser.add_argument("--out", type=Path, help="write the report to this JSON file, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
