"""The client in what esbuild and Vite make of a page: worker, weights and kernels are found.

    python tests/packaging/bundlers_smoke.py

The package lies in ``node_modules`` as npm would put it there, and nothing is configured. What was
built is served with a policy that permits its own host only, with WebAssembly and without, and
opened in Chromium. Needs npx and the network.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from web.chromium import CHROMIUM_FLAGS, chromium

CLIENT = Path(__file__).resolve().parents[2] / "service" / "thumbstream" / "web" / "client"
ESBUILD = os.environ.get("ESBUILD", "npx --yes esbuild@0.25.10")
VITE = os.environ.get("VITE", "npx --yes vite@7.1.12")
PATIENCE_MS = 60_000

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>page</title>
<link rel="icon" href="data:,">
<script type="module" src="./main.js"></script>
<img width="90" height="60" alt="A lake at dawn" data-thumb="fvy6lzrcuFmVhAyZUTigXIHfZ0M=">
"""
MAIN = """
import { decode, toDataURL } from "thumbstream";
import { hasPreview, sharpen } from "thumbstream/images";

window.results = async () => {
  const image = document.querySelector("img");
  await sharpen();
  const background = getComputedStyle(image).backgroundImage.slice(0, 27);
  const { width, height } = await decode(image.dataset.thumb);
  const url = await toDataURL(Uint8Array.of(0x7e, 1, 2, 3));
  return [hasPreview(image), background, width, height, url.slice(0, 22)];
};
"""
WANTED = [True, 'url("data:image/bmp;base64,', 32, 21, "data:image/png;base64,"]


def run(command: str, *more: str, folder: Path) -> None:
    subprocess.run([*shlex.split(command), *more], cwd=folder, check=True, stdout=sys.stderr)


def with_esbuild(work: Path) -> Path:
    """As in docs/javascript.md: the worker is an entry point, the weights are copied."""
    built, package = work / "esbuild", work / "node_modules" / "thumbstream"
    entries = ("main.js", str(package / "worker.js"))
    options = ("--bundle", "--splitting", "--format=esm", "--minify", "--entry-names=[name]")
    run(ESBUILD, *entries, *options, "--log-level=warning", f"--outdir={built}", folder=work)
    shutil.copy(package / "client.bin", built)
    shutil.copy(work / "index.html", built)
    return built


def with_vite(work: Path) -> Path:
    built = work / "vite"
    run(VITE, "build", "--logLevel", "warn", "--outDir", str(built), folder=work)
    return built


class Strict(SimpleHTTPRequestHandler):
    """Files of a folder, under a strict policy; with the cookie ``plain``, without WebAssembly."""

    def end_headers(self) -> None:
        wasm = "" if "plain" in self.headers.get("Cookie", "") else " 'wasm-unsafe-eval'"
        policy = f"default-src 'self'; script-src 'self'{wasm}; img-src data:"
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(Strict, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def check(browser: Browser, folder: Path, *, wasm: bool) -> None:
    with served(folder) as origin:
        context = browser.new_context()
        if not wasm:
            context.add_cookies([{"name": "plain", "value": "1", "url": origin}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        asked: list[str] = []
        complaints: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on(
            "response",
            lambda answer: complaints.append(answer.url) if answer.status >= 400 else None,
        )
        page.goto(origin)
        page.wait_for_function("window.results")
        found = page.evaluate("results()")
        assert found == WANTED, found
        assert complaints == [], complaints
        assert len(page.workers) == 1, page.workers
        assert any(url.endswith(".bin") for url in asked), asked
        context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        work = Path(name)
        (work / "package.json").write_text('{"private": true, "type": "module"}')
        (work / "index.html").write_text(PAGE)
        (work / "main.js").write_text(MAIN)
        shutil.copytree(CLIENT, work / "node_modules" / "thumbstream")
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        for build in (with_esbuild, with_vite):
            folder = build(work)
            for wasm in (True, False):
                check(browser, folder, wasm=wasm)
                print(f"{folder.name}: decoded in a worker, {'with' if wasm else 'without'} wasm")
        browser.close()


if __name__ == "__main__":
    main()
