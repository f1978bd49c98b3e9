"""Makes the graphics of the benchmark: screenshots of the service's pages, and its plots.

    python -m thumbstream_models.evaluate.graphics PICTURES/graphics

Needs Chromium, and Playwright from the extra ``dev``.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("", "gallery", "docs")
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
PLOTS = ("docs/performance/*.svg", "models/results/*-32.svg")
_START_SECONDS = 60.0


def make(folder: Path) -> int:
    """Write PNG files into ``folder``; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _plots(browser, folder)
        with _service() as origin:
            _pages(browser, origin, folder)
        browser.close()
    return len(list(folder.glob("*.png")))


def _plots(browser: Browser, folder: Path) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 480})
    for pattern in PLOTS:
        for path in sorted(ROOT.glob(pattern)):
            page.goto(path.as_uri())
            page.screenshot(path=folder / f"plot-{path.stem}.png")
    page.close()


def _pages(browser: Browser, origin: str, folder: Path) -> None:
    for width in WIDTHS:
        for scheme in SCHEMES:
            page = browser.new_page(
                viewport={"width": width, "height": 800},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            for name in PAGES:
                page.goto(f"{origin}/{name}", wait_until="networkidle")
                page.screenshot(path=folder / f"page-{name or 'start'}-{width}-{scheme}.png")
            page.close()


@contextmanager
def _service() -> Iterator[str]:
    """A service on a free port of this machine, with an empty store: its origin."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "thumbstream", "serve", "--port", str(port)]
    with tempfile.TemporaryDirectory() as store:
        process = subprocess.Popen(command, cwd=store, stderr=subprocess.DEVNULL)
        try:
            _wait(f"{origin}/readyz")
            yield origin
        finally:
            process.terminate()
            process.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write PNG files")
    print(make(parser.parse_args().folder), "pictures")
