"""Makes the graphics of the benchmark of quality: screenshots of the service's pages, its plots.

    python -m loadtest.graphics PICTURES/graphics

Needs Chromium.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from loadtest.lib import servers
from loadtest.lib.client_browser import CHROMIUM_FLAGS, chromium_path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("", "gallery", "docs")
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
PLOTS = ("docs/performance/*.svg", "models/results/*-32.svg")


def make(folder: Path) -> int:
    """Write PNG files into ``folder``; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as store:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=list(CHROMIUM_FLAGS)
        )
        _plots(browser, folder)
        settings = {"STORE": f"sqlite:///{store}/streams.db"}
        with servers.serving(servers.SERVICE, settings, "/readyz") as port:
            _pages(browser, f"http://127.0.0.1:{port}", folder)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write PNG files")
    print(make(parser.parse_args().folder), "pictures")
