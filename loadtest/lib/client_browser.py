"""How the client is measured: a headless Chromium, empty pages of the service, and its gallery."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import BrowserContext, FilePayload, Page, sync_playwright

from loadtest.lib import servers, uploads

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
PATIENCE_MS = 120_000
EMPTY = "/healthz"
"""A page of the service without scripts of its own and without a content security policy."""
SHAPES = ((480, 320), (320, 480), (400, 400), (550, 300))

Figures = dict[str, Any]


class Browser:
    """One Chromium with one cache; every measurement has a page of its own."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._context = context
        self._origin = origin
        chromium = context.browser
        self.version = chromium.version if chromium else ""
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(path=servers.HERE / "client_page.js")

    def contender(
        self, name: str, where: dict[str, object], streams: list[str], repeats: int
    ) -> Figures:
        """``ready``, ``decode``, ``page``, ``task`` in ms; ``difference`` of 255, if it has one."""
        ask = "async (given) => bench.measure(...given)"
        return self._asked(ask, [name, where, streams, repeats])

    def elements(self, where: dict[str, object], streams: list[str]) -> Figures:
        """``first``, ``page`` and ``task`` in milliseconds, of a page of ``<img data-thumb>``."""
        return self._asked("async (given) => bench.elements(...given)", [where, streams])

    def gallery(self, count: int) -> float:
        """Layout shift while ``count`` pictures are chosen, uploaded and shown."""
        files: list[FilePayload] = [
            {
                "name": f"{seed}.jpg",
                "mimeType": "image/jpeg",
                "buffer": uploads.synthetic(*SHAPES[seed % len(SHAPES)], seed),
            }
            for seed in range(count)
        ]
        with self._page("/gallery") as page:
            page.set_input_files("#files", files)
            page.wait_for_selector("body[data-state=shown]")
            shown = page.locator(".view.stream canvas").count()
            if shown != count:
                raise RuntimeError(f"the gallery shows {shown} of {count} pictures")
            moved: list[float] = page.evaluate("bench.shifts")
            return sum(moved)

    def _asked(self, expression: str, given: list[object]) -> Figures:
        with self._page(EMPTY) as page:
            answer: Figures = page.evaluate(expression, given)
            return answer

    @contextmanager
    def _page(self, path: str) -> Iterator[Page]:
        page = self._context.new_page()
        try:
            page.goto(self._origin + path)
            yield page
        finally:
            page.close()


def chromium_path() -> str:
    """The system's Chromium; raises `SystemExit` without one."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        raise SystemExit(f"no Chromium ({', '.join(CHROMIUM_NAMES)})")
    return path


@contextmanager
def opened(origin: str) -> Iterator[Browser]:
    """The system's Chromium, closed when the block ends. Raises `SystemExit` without one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=list(CHROMIUM_FLAGS)
        )
        try:
            yield Browser(browser.new_context(viewport={"width": 1280, "height": 900}), origin)
        finally:
            browser.close()
